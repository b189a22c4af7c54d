"""Tables and names of people's own datasets: opened and shown as text, or refused in one line."""

from __future__ import annotations

import io
import os
from pathlib import Path
from random import Random

import pytest

from benchmarks.cli import data_rows
from benchmarks.cli.views import terminal
from benchmarks.console import PlainConsole
from benchmarks.environment import Environment
from datasets import Dataset, open_dataset
from datasets.curation import split as splitting
from tests.helpers.fuzzing import NASTY, Fuzz, damaged, damaged_text
from tests.helpers.image_bytes import WHOLE
from tests.helpers.small_folders import cub_like, draw, draw_noise

TABLE = "path,label,split,x,y,width,height\n" + "".join(
    f"images/{number}.png,{('auk', 'coot')[number % 2]},{('train', 'test')[number > 3]},1,2.5,6,5\n"
    for number in range(6)
)
OBEYED = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F))}


def opened(name: str, root: Path) -> Dataset:
    """The dataset, with all that a reader may leave for later."""
    dataset = open_dataset(name, root)
    dataset.check_classes()
    _ = dataset.boxes, dataset.parts, dataset.split_hash, dataset.departure(), dataset.split(0.2)
    for row in range(len(dataset)):
        file = dataset.file(row)
        assert file is not None
        assert (root / name).resolve() in file.resolve().parents
    return dataset


def test_an_image_table_is_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    for number in range(6):
        draw(tmp_path / "mine" / "images" / f"{number}.png")
    (tmp_path / "secret.png").write_bytes(WHOLE["png"])
    for chance in fuzz.draws("images.csv", 200):
        content = damaged_text(TABLE, chance).encode("utf-8", "surrogatepass")
        if chance.randrange(4) == 0:
            content = damaged(TABLE.encode(), chance)
        if chance.randrange(6) == 0:
            content = content.replace(b"images/1.png", b"../secret.png")
        (tmp_path / "mine" / "images.csv").write_bytes(content)
        fuzz.attempt(lambda: opened("mine", tmp_path))


def test_the_tables_of_cub_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = cub_like(tmp_path / "CUB_200_2011")
    tables = {file: file.read_bytes() for file in sorted(folder.rglob("*.txt"))}
    (tmp_path / "secret.jpg").write_bytes(WHOLE["jpeg"])
    for chance in fuzz.draws("tables of CUB", 150):
        file = chance.choice(list(tables))
        content = tables[file]
        if file.name == "images.txt" and chance.randrange(3) == 0:
            file.write_bytes(content.replace(b"001.Auk/a.jpg", b"../../secret.jpg"))
        elif chance.randrange(2):
            file.write_bytes(damaged(content, chance))
        else:
            file.write_bytes(damaged_text(content.decode(), chance).encode("utf-8", "surrogatepass"))
        fuzz.attempt(lambda: opened(folder.name, tmp_path))
        file.write_bytes(content)


def _name(chance: Random) -> str:
    odd = [text for value in NASTY if isinstance(value, str) and (text := value.replace("/", "∕").replace("\0", ""))]
    name = "".join(chance.choice((*odd, "auk", " ", "\udc80", "\x9b", "\u2066")) for _ in range(chance.randrange(1, 3)))
    return os.fsdecode(os.fsencode(name)[:200]).strip("/") or "x"


def test_any_name_of_a_file_is_opened_and_shown_as_text(
    fuzz: Fuzz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for chance in fuzz.draws("file names", 60):
        said = io.StringIO()
        monkeypatch.setattr(terminal, "console", PlainConsole(file=said, width=100))
        root, dataset = tmp_path / str(fuzz.number), _name(chance)
        labels = ["auk", _name(chance)]
        for number in range(6):
            suffix = chance.choice((".png", ".PNG", ".jpg"))
            file = root / dataset / ("train", "test")[number > 3] / labels[number % 2] / (_name(chance) + suffix)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(WHOLE["png"])
        fuzz.attempt(lambda root=root, dataset=dataset: opened(dataset, root))
        terminal.show(data_rows.short_rows(data_rows.rows(Environment(root))), dataset)
        terminal.line(dataset)
        assert not OBEYED.intersection(said.getvalue()), fuzz.where
        said.getvalue().encode()


def test_a_folder_of_any_names_is_split_and_read_back_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    for chance in fuzz.draws("names to split", 40):
        folder = tmp_path / str(fuzz.number) / "mine"
        labels = ["auk", _name(chance)]
        for number in range(6):
            draw_noise(folder / labels[number % 2] / f"{number}{_name(chance)}.png")
        done = fuzz.attempt(lambda folder=folder: splitting.split(folder, 0.3, 0, lambda done, total: None))
        if done is not None:
            counts = open_dataset("mine", folder.parent).counts
            assert (counts["train"], counts["test"]) == (done.train.total(), done.test.total()), fuzz.where
