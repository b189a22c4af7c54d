"""`run_all.py new method NAME` copies `methods/_template` to a new method's folder, which passes every check."""

from __future__ import annotations

import keyword
import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

import methods
from benchmarks.cli.views.terminal import lines
from benchmarks.errors import UserError

TEMPLATE = methods.FOLDER / "_template"
RESERVED = {"all", "null", "true", "false", "yes", "no", "on", "off"}
"""Names with another meaning on the command line, or in YAML."""
LONGEST = 60
"""Letters of a name: with dataset and backbone it is part of the names of folders, which have 255 at most."""

app = typer.Typer(help="Writes the files of something new.", no_args_is_help=True)


@app.callback()
def new() -> None:
    """Writes the files of something new."""


@app.command("method")
def new_method(name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")]) -> None:
    """Write methods/NAME: a working method, to be replaced by your paper's."""
    write_method(name, methods.FOLDER)
    lines(
        [
            f"methods/{name} is written. Replace what is marked TODO, then check it:",
            f"    python -m pytest tests/methods methods/{name} -k {name}    # needs: pip install '.[test]'",
            "    python run_all.py list methods --check",
            f"    python run_all.py run methods --only method=plain,{name}",
        ]
    )


def write_method(name: str, root: Path) -> Path:
    """Writes the folder `root/name` whole or not at all. Raises `UserError` for a name that can't be one."""
    check_name(name, root)
    class_name = "".join(part.capitalize() for part in name.split("_")).removesuffix("Method") + "Method"
    names = {"methods._template": f"methods.{name}", '"_template"': f'"{name}"'}
    names |= {"TemplateMethod": class_name, "template_method": name}

    def renamed(text: str) -> str:
        for old, new in names.items():
            text = text.replace(old, new)
        return text

    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=root) as scratch:
            folder = Path(scratch) / name
            folder.mkdir()
            for file in TEMPLATE.iterdir():
                if file.is_file():
                    (folder / renamed(file.name)).write_text(
                        renamed(file.read_text(encoding="utf-8")), encoding="utf-8"
                    )
            return folder.rename(root / name)
    except OSError as error:
        raise UserError(f"{root / name} can't be written: {error.strerror}") from error


def check_name(name: str, root: Path) -> None:
    """Raises `UserError` unless `name` can be a Python package in `root` that nothing else is called."""
    if not re.fullmatch(f"[a-z][a-z0-9_]{{,{LONGEST - 1}}}", name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} can't be a method's name: use up to {LONGEST} lower-case letters, digits and underscores, begin "
            "with a letter, and avoid Python's keywords"
        )
    if name in RESERVED or hasattr(methods, name) or (root / name).exists() or (root / f"{name}.py").exists():
        raise UserError(f"{name!r} is taken in methods/; choose another name")
