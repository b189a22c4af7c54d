"""Unpacking is complete or has no effect, and never writes outside its folder."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import stat
import tarfile
import zipfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from datasets.fetching.download import FetchError
from datasets.fetching.unpack import finish, unpack

FORK = multiprocessing.get_context("fork")


def silent(done: int, total: int | None) -> None:
    pass


def tar(file: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(file, mode) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def plain(name: str, content: bytes = b"bird") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def zipped(file: Path, members: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return file


def content(folder: Path) -> dict[str, bytes]:
    """Every file below, including hidden ones."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


TARS = [(".tgz", "w:gz"), (".tar", "w"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")]


@pytest.mark.parametrize(("suffix", "mode"), TARS)
def test_a_tar_archive_is_unpacked_and_nothing_else_is_left(tmp_path: Path, suffix: str, mode: str) -> None:
    file = tar(tmp_path / f"birds{suffix}", plain("images/a.jpg"), plain("images.txt", b"1 a.jpg"), mode=mode)
    reported = []
    unpack(file, tmp_path / "to", lambda done, total: reported.append((done, total)))
    assert content(tmp_path / "to") == {"images/a.jpg": b"bird", "images.txt": b"1 a.jpg"}
    assert reported
    assert all(done <= total for done, total in reported)


def test_a_zip_archive_is_unpacked(tmp_path: Path) -> None:
    unpack(zipped(tmp_path / "birds.zip", {"images/a.jpg": b"bird"}), tmp_path / "to", silent)
    assert content(tmp_path / "to") == {"images/a.jpg": b"bird"}


@pytest.mark.parametrize(
    "member",
    [
        plain("../outside.txt"),
        plain("images/../../outside.txt"),
        plain("/outside.txt"),
        link("images", "/etc"),
        link("images", "../.."),
        link("images", "/etc/passwd", tarfile.LNKTYPE),
        link("images", "../../outside.txt", tarfile.LNKTYPE),
        link("images", "good.txt"),
        link("images", "good.txt", tarfile.LNKTYPE),
        link("device", "", tarfile.CHRTYPE),
        link("pipe", "", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member[0].name}->{member[0].linkname}",
)
def test_a_tar_archive_that_leads_out_or_has_links_is_refused_entirely(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes]
) -> None:
    file = tar(tmp_path / "evil.tgz", plain("good.txt"), member)
    (tmp_path / "to").mkdir()
    with pytest.raises(FetchError, match=r"evil.tgz: .*don't trust this archive") as caught:
        unpack(file, tmp_path / "to", silent)
    assert "\n" not in str(caught.value)
    assert sorted(content(tmp_path)) == ["evil.tgz"]


def test_links_too_long_for_the_resolver_lead_nowhere(tmp_path: Path) -> None:
    """CVE-2025-4517: where a path is longer than the system resolves, `realpath` stops following its links."""
    folder, step = "d" * 247, "abcdefghijklmnop"
    members, path = [], ""
    for letter in step:
        deeper = tarfile.TarInfo(f"{path}{folder}")
        deeper.type = tarfile.DIRTYPE
        members += [(deeper, b""), link(f"{path}{letter}", folder)]
        path += f"{folder}/"
    short = "/".join(step)
    members += [
        link(f"{short}/{'l' * 254}", "../" * len(step)),
        link("escape", f"{short}/{'l' * 254}/../../outside"),
        plain("escape/victim.txt", b"overwritten"),
    ]
    victim = tmp_path / "outside" / "victim.txt"
    victim.parent.mkdir()
    victim.write_bytes(b"untouched")
    file = tar(tmp_path / "evil.tar", *members, mode="w")
    with pytest.raises(FetchError, match=r"is a link; nothing was unpacked, don't trust this archive"):
        unpack(file, tmp_path / "to" / "data", silent)
    assert content(tmp_path) == {"evil.tar": file.read_bytes(), "outside/victim.txt": b"untouched"}


@pytest.mark.parametrize("name", ["zeros.tgz", "zeros.zip"])
def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, name: str) -> None:
    file, zeros = tmp_path / name, bytes(150 * 2**20)
    if name.endswith(".zip"):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros.jpg", zeros)
    else:
        tar(file, plain("zeros.jpg", zeros))
    with pytest.raises(FetchError, match="would become more than 100 times its size"):
        unpack(file, tmp_path / "to", silent)
    assert content(tmp_path / "to") == {}


@pytest.mark.parametrize("name", ["birds.tar", "birds.zip"])
def test_an_archive_is_refused_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = tmp_path / name
    if name.endswith(".zip"):
        zipped(file, {"a.jpg": bytes(3_000)})
    else:
        tar(file, plain("a.jpg", bytes(3_000)), mode="w")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(total=10_000, used=8_000, free=2_000))
    with pytest.raises(FetchError, match=r"has 0\.0 GB free; free some space, and the same command resumes"):
        unpack(file, tmp_path / "to", silent)
    assert content(tmp_path / "to") == {}


@pytest.mark.parametrize(
    "name", ["../outside.txt", "a/../../outside.txt", "/outside.txt", "..\\outside.txt", "C:\\a.txt"]
)
def test_a_zip_archive_that_leads_out_is_refused_entirely(tmp_path: Path, name: str) -> None:
    file = zipped(tmp_path / "evil.zip", {"good.txt": b"", name: b""})
    with pytest.raises(FetchError, match="leads out of the folder"):
        unpack(file, tmp_path / "to", silent)
    assert sorted(content(tmp_path)) == ["evil.zip"]


def test_a_link_in_a_zip_archive_is_refused(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("images")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    file = zipped(tmp_path / "evil.zip", {member: b"/etc"})
    with pytest.raises(FetchError, match="'images' is a link"):
        unpack(file, tmp_path / "to", silent)


@pytest.mark.parametrize(("suffix", "mode"), [*TARS, (".zip", None)])
@pytest.mark.parametrize("damage", ["cut short", "no archive"])
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, suffix: str, mode: str | None, damage: str) -> None:
    file = tmp_path / f"birds{suffix}"
    if mode is None:
        zipped(file, {"a.jpg": os.urandom(50_000)})
    else:
        tar(file, plain("a.jpg", os.urandom(50_000)), mode=mode)
    file.write_bytes(file.read_bytes()[:20_000] if damage == "cut short" else b"not an archive at all" * 50)
    with pytest.raises(
        FetchError, match=f"birds{suffix} is damaged or no archive .*; delete it and fetch again"
    ) as caught:
        unpack(file, tmp_path / "to", silent)
    assert "\n" not in str(caught.value)
    assert content(tmp_path / "to") == {}


def test_a_damaged_member_of_a_zip_archive_is_noticed(tmp_path: Path) -> None:
    file = zipped(tmp_path / "birds.zip", {"a.jpg": b"bird" * 100})
    file.write_bytes(file.read_bytes().replace(b"birdbird", b"biRdbird", 1))
    with pytest.raises(FetchError, match="damaged"):
        unpack(file, tmp_path / "to", silent)


def test_existing_files_are_kept_unless_the_archive_replaces_them(tmp_path: Path) -> None:
    (tmp_path / "to" / "devkit").mkdir(parents=True)
    (tmp_path / "to" / "devkit" / "labels.mat").write_bytes(b"put there by hand")
    (tmp_path / "to" / "devkit" / "meta.mat").write_bytes(b"damaged")
    file = tar(tmp_path / "kit.tgz", plain("devkit/meta.mat"), plain("devkit/new/more.mat"))
    unpack(file, tmp_path / "to", silent)
    assert content(tmp_path / "to") == {
        "devkit/labels.mat": b"put there by hand",
        "devkit/meta.mat": b"bird",
        "devkit/new/more.mat": b"bird",
    }


def test_an_interrupted_move_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tar(tmp_path / "kit.tgz", plain("a.txt"), plain("images/1.jpg"), plain("z.txt"))
    move = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "images":
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(file, tmp_path / "to", silent)
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [".unpacked-kit.tgz", "a.txt"]
    finish("kit.tgz", tmp_path / "to")
    assert sorted(content(tmp_path / "to")) == ["a.txt", "images/1.jpg", "z.txt"]
    finish("kit.tgz", tmp_path / "to")


def unpack_until_killed(steps: int, file: Path, to: Path) -> None:
    """Unpacks; the process kills itself after so many members and renames."""
    left = steps

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def act_or_die(*arguments: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return act(*arguments)

        return act_or_die

    for name in ("rename", "replace", "rmdir"):
        setattr(Path, name, counted(getattr(Path, name)))
    unpack(file, to, counted(silent))


@pytest.mark.parametrize("name", ["kit.tar.gz", "kit.zip"])
def test_a_kill_at_any_moment_leaves_nothing_or_everything(tmp_path: Path, name: str) -> None:
    before = {"devkit/meta/own.mat": b"put there by hand"}
    members = {"birds/1.jpg": b"auk", "birds/2.jpg": b"coot", "devkit/meta/new.mat": b"1", "devkit/new.mat": b"2"}
    file = tmp_path / name
    if name.endswith(".zip"):
        zipped(file, members)
    else:
        tar(file, *(plain(member, data) for member, data in members.items()))
    outcomes = []
    for steps in count():
        to = tmp_path / f"to{steps}"
        (to / "devkit" / "meta").mkdir(parents=True)
        (to / "devkit" / "meta" / "own.mat").write_bytes(before["devkit/meta/own.mat"])
        process = FORK.Process(target=unpack_until_killed, args=(steps, file, to))
        process.start()
        process.join(60)
        killed = process.exitcode == -signal.SIGKILL
        assert killed or process.exitcode == 0
        finish(name, to)
        found = {path: data for path, data in content(to).items() if not path.startswith(".unpacking-")}
        assert found in (before, before | members)
        outcomes.append(found != before)
        unpack(file, to, silent)
        assert content(to) == before | members
        if not killed:
            break
    assert outcomes == sorted(outcomes), "from some step on everything is there"
    assert outcomes.count(False) > len(members)
    assert outcomes.count(True) > 5
