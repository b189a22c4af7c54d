"""What CI runs, by name: `nox` runs all of it, `nox -s lint types` some, `nox -l` lists it.

Sessions run in the environment that nox is installed in: `.venv/bin/pip install '.[test]'`, then `.venv/bin/nox`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"

BIN = Path(sys.executable).parent
"""Where the environment's programs are; it need not be activated."""
TESTS = (str(BIN / "pytest"), "-n", "auto", "--dist", "worksteal")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting: ruff."""
    session.run(str(BIN / "ruff"), "check", ".")
    session.run(str(BIN / "ruff"), "format", "--check", ".")


@nox.session
def imports(session: nox.Session) -> None:
    """Which room may import which: import-linter, with the contracts of pyproject.toml."""
    session.run(str(BIN / "lint-imports"), env={"PYTHONPATH": "."})


@nox.session
def types(session: nox.Session) -> None:
    """Static types: mypy."""
    session.run(str(BIN / "mypy"))


@nox.session
def tests(session: nox.Session) -> None:
    """All tests; words after `--` go to pytest: `nox -s tests -- tests/planning -x`."""
    session.run(*TESTS, *session.posargs)


@nox.session
def slurm(session: nox.Session) -> None:
    """A real Slurm on this machine, where it can be installed; says why where it can't."""
    session.run("tests/execution/slurm/run.sh", env={"PYTHON": sys.executable}, external=True)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """The tests with line coverage, as HTML in htmlcov/; needs `pip install '.[dev]'`."""
    session.run(*TESTS, "--cov", "--cov-report=term:skip-covered", "--cov-report=html", *session.posargs)


@nox.session(default=False)
def speed(session: nox.Session) -> None:
    """The benchmarks of fgbench's own code, one at a time."""
    session.run(str(BIN / "pytest"), "--benchmark-only", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Writes requirements.lock from this environment; run the tests first."""
    frozen = session.run(sys.executable, "-m", "pip", "freeze", "--exclude", "fgbench", silent=True)
    lines = sorted(str(frozen).splitlines(), key=str.lower)
    if odd := [line for line in lines if "==" not in line or "+" in line]:
        session.error(f"only released versions can be locked, not: {', '.join(odd)}")
    path = Path("requirements.lock")
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    path.write_text("\n".join([*comments, *lines]) + "\n", encoding="utf-8")
