"""`weights list`, `fetch` and `verify` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from methods import hub, hub_download
from tests.helpers.fakes.fake_hub import TAG, FakeHub, weights_of

ROOT = Path(__file__).parents[3]
WEIGHTS = weights_of()
Command = Callable[..., tuple[int, str]]


def test_the_list_has_what_recipes_and_suites_need_and_where_it_is(
    fake: FakeHub, fgbench: Command, tmp_path: Path
) -> None:
    (tmp_path / "vgg16.tv_in1k.safetensors").write_bytes(b"1234")
    code, said = fgbench("weights", "list", "--weights", tmp_path)
    assert code == 0
    lines = said.splitlines()
    row = next(line for line in lines if "resnet50.tv_in1k" in line)
    assert "sef" in row + lines[lines.index(row) + 1], "many recipes start from it, so their names take two lines"
    assert not [line for line in lines if line.startswith("none ")], "a recipe from scratch needs no file"
    assert "102" in row
    assert "no" in row.split()
    assert "--weights" in next(line for line in said.splitlines() if "vgg16.tv_in1k" in line)
    assert "suite cub100" in next(line for line in said.splitlines() if "tf_efficientnet_lite0.in1k" in line)
    assert "bilinear_cnn" in next(line for line in said.splitlines() if "vgg11.tv_in1k" in line), "a second network"
    assert "mobilenetv2_100" not in said, "the ablations start from a file of their own"
    assert fake.pages.requests == []


def test_the_list_as_json_names_file_and_place(tmp_path: Path, fgbench: Command) -> None:
    (tmp_path / "resnet50.tv_in1k.safetensors").write_bytes(b"1234")
    rows = {row["weights"]: row for row in json.loads(fgbench("weights", "list", "--json", "--weights", tmp_path)[1])}
    row = rows["resnet50.tv_in1k"]
    assert (row["here"], row["file"]) == ("--weights", str(tmp_path / "resnet50.tv_in1k.safetensors"))
    assert (row["bytes"], row["repository"]) == (4, "timm/resnet50.tv_in1k")
    assert (rows["vgg16.tv_in1k"]["here"], rows["vgg16.tv_in1k"]["file"]) == (None, None)


def test_fetch_downloads_once_and_says_what_came(fake: FakeHub, fgbench: Command, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    code, said = fgbench("weights", "fetch", TAG)
    assert code == 0
    assert "downloading about 2 MB" in said
    assert f"{TAG}: here, 2 MB, revision 111111111111, SHA-256 " in said
    assert "downloading" not in fgbench("weights", "fetch", TAG)[1]
    (tmp_path / f"{TAG}.safetensors").write_bytes(WEIGHTS)
    assert "goes before" in fgbench("weights", "fetch", TAG, "--weights", tmp_path)[1]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("test_resnet", 2, "one of: test_resnet.r160_in1k"),
        ("resnet50.tv_in2k", 2, "nearest: resnet50.tv_in1k"),
        (TAG, 1, "HTTP 404"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(fake: FakeHub, refused: Command, name: str, code: int, words: str) -> None:
    found, said = refused("weights", "fetch", name)
    assert found == code
    assert words in said


def test_verify_tells_a_damaged_file_from_one_that_the_hub_has_replaced(fake: FakeHub, fgbench: Command) -> None:
    fake.offer(TAG, WEIGHTS)
    file = hub_download.fetch(TAG)
    code, said = fgbench("weights", "verify", TAG)
    assert (code, "as the hub has it" in said) == (0, True)
    fake.offer(TAG, WEIGHTS[:-1] + b"x", revision="2" * 40)
    code, said = fgbench("weights", "verify", TAG)
    assert (code, "the hub, which has another by now" in said) == (0, True)
    fake.refuse(TAG, 503)
    code, said = fgbench("weights", "verify")
    assert (code, "as it came from the hub" in said, "HTTP 503" in said) == (0, True, True)
    file.resolve().write_bytes(WEIGHTS[:-1] + b"y")
    code, said = fgbench("weights", "verify", TAG)
    assert (code, "damaged" in said) == (1, True)
    file.resolve().write_bytes(WEIGHTS[:1000])
    code, said = fgbench("weights", "verify")
    assert (code, "cut off" in said) == (1, True)


def test_verify_compares_the_other_files_where_the_hub_lacks_one(
    fake: FakeHub, fgbench: Command, tmp_path: Path
) -> None:
    fake.offer(TAG, WEIGHTS)
    for tag in ("resnet18.tv_in1k", TAG):
        (tmp_path / f"{tag}.safetensors").write_bytes(WEIGHTS)
    code, said = fgbench("weights", "verify", "--weights", tmp_path)
    assert code == 0
    assert f"{TAG}.safetensors: as the hub has it" in said
    assert "not compared with what the hub has now: resnet18.tv_in1k" in said


def test_verify_asks_the_hub_about_no_file_without_a_tag(fake: FakeHub, fgbench: Command, tmp_path: Path) -> None:
    (tmp_path / "test_resnet.safetensors").write_bytes(WEIGHTS)
    code, said = fgbench("weights", "verify", "--weights", tmp_path)
    assert code == 0
    assert "test_resnet.safetensors: readable; nothing to compare it with" in said
    assert fake.pages.requests == []


def test_the_environment_names_hub_and_cache_as_for_other_programs(fake: FakeHub) -> None:
    """In a process of its own, since huggingface_hub reads HF_ENDPOINT and HF_HOME when it is loaded."""
    fake.offer(TAG, WEIGHTS)
    command = [sys.executable, "run_all.py", "weights", "fetch", TAG]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80, "fit for a log file"
    assert hub.cached(TAG) is not None
