"""The pages beside the code: what they link to and name exists, and they agree on the version."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(<?([^)>#\s]+)(?:#[^)]*)?>?\)")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name] or sorted(ROOT.glob("*.md"))  # an archive has no history


def test_links_between_pages_lead_to_files_that_are_there() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages()
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`((?:benchmarks|datasets|methods|reports|results|tests)/[\w/.]+\.(?:py|yaml))`", text(page))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_citation_and_changelog_have_the_version_of_the_project() -> None:
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    citation = yaml.safe_load(text("CITATION.cff"))
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", text("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert citation["version"] == newest[1] == version
