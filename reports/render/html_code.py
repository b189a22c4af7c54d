"""The page's own script and style, and the policy by which a browser runs no other."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = (
    "dom",
    "theme",
    "address",
    "stored",
    "filters",
    "tables",
    "curves",
    "records",
    "preview",
    "differences",
    "images",
    "compare",
    "figures",
    "start",
)
"""Files of the script, joined in this order: each uses names of those before it."""
STYLES = ("page", "interaction")


@dataclass(frozen=True)
class PageCode:
    """JavaScript and CSS of the whole page."""

    script: str
    style: str

    @property
    def policy(self) -> str:
        """The content security policy that allows these, and images within the page, and nothing else."""
        style, script = _sha256(self.style), _sha256(self.script)
        return f"default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'"


def page_code() -> PageCode:
    """The same for every page."""
    return PageCode(_joined(f"scripts/{name}.js" for name in SCRIPTS), _joined(f"{name}.css" for name in STYLES))


def _joined(names: Iterable[str]) -> str:
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
