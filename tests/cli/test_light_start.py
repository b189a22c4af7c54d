"""Verbs that compute nothing start without torch, which takes seconds to load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import contextlib, io, json, sys
import run_all

loaded = {}
for words in json.loads(sys.argv[1]):
    sys.argv = ["run_all.py", *words]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            run_all.main()
        except SystemExit as ended:
            assert ended.code in (0, None), (words, ended.code)
    loaded[" ".join(words)] = sorted({"torch", "torchvision", "timm"} & sys.modules.keys())
    if words == ["--help"]:
        loaded["--help"] += sorted({"pandas", "matplotlib"} & sys.modules.keys())
print(json.dumps(loaded))
"""


def test_verbs_that_compute_nothing_load_no_torch(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    page = tmp_path / "page.md"
    page.write_text("<!-- table: runs -->\n<!-- /table -->\n", encoding="utf-8")
    results = ["--results", str(tmp_path)]
    asked = [
        ["--help"],
        ["list", "methods"],
        ["list", "suites"],
        ["data", "list", "--data", str(tmp_path)],
        ["status", *results],
        ["report", "--readme", str(page), *results],
        ["report", "--check", "--readme", str(page), *results],
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {words: names for words, names in json.loads(done.stdout).items() if names} == {}
