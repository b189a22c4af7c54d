"""Downloads from faulty servers end with the right file or with one clear line."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from datasets.fetching import download
from datasets.fetching.download import FetchError
from tests.helpers.fakes.fake_archives import GOOD, OTHER, WRONG, Get, mini, sha256, whole
from tests.helpers.fakes.file_server import Answer, FileServer

# Connections that break


CUT = Answer(GOOD, sends=50_000)
OLD = Answer(OTHER, tag='"old"', sends=50_000)
REST = "bytes=50000-"
UNRELIABLE = {
    # More drops than attempts are allowed in a row: each brings new data.
    "drops": (
        [*[Answer(GOOD, sends=20_000)] * 6, Answer(GOOD)],
        [(None, 200), *((f"bytes={20_000 * number}-", 206) for number in range(1, 7))],
    ),
    "ranges are ignored": ([CUT, Answer(GOOD, knows_ranges=False)], [(None, 200), (REST, 200)]),
    "another version": ([OLD, Answer(GOOD, tag='"new"')], [(None, 200), (REST, 200)]),
    "another version, If-Range is ignored": (
        [OLD, Answer(GOOD, tag='"new"', heeds_if_range=False)],
        [(None, 200), (REST, 206), (None, 200)],
    ),
    "no version": ([Answer(OTHER, tag="", sends=50_000), Answer(GOOD, tag="")], [(None, 200)] * 2),
    "weak version": ([Answer(OTHER, tag='W/"a"', sends=50_000), Answer(GOOD, tag='W/"a"')], [(None, 200)] * 2),
    "busy": ([Answer(status=503), Answer(status=429), Answer(GOOD)], [(None, 503), (None, 429), (None, 200)]),
}
"""Answers of a server; Range header and status of each request that they lead to."""


@pytest.mark.parametrize("case", UNRELIABLE)
def test_a_download_is_resumed_or_begun_again_and_two_versions_are_never_mixed(
    tmp_path: Path, server: FileServer, get: Get, case: str
) -> None:
    answers, requests = UNRELIABLE[case]
    get(mini(server.serve("/mini", *answers), archive=None))  # no checksum would notice
    assert whole(tmp_path / "data")
    assert [(asked, status) for _, asked, status in server.requests] == requests


def test_a_missing_content_length_is_taken_from_the_archive(tmp_path: Path, server: FileServer, get: Get) -> None:
    cut = Answer(GOOD, sends=50_000, says_length=False)
    get(mini(server.serve("/mini", cut, Answer(GOOD)), size=len(GOOD)))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, REST]


def test_attempts_without_progress_are_limited(tmp_path: Path, server: FileServer, get: Get) -> None:
    # Without ranges every try begins anew and ends no further: no progress, though bytes arrive.
    url = server.serve("/mini", Answer(GOOD, sends=1000, knows_ranges=False))
    with pytest.raises(FetchError, match=r"/mini: the connection was lost after 1000 of \d+ bytes \(4 attempts\)"):
        get(mini(url))
    assert len(server.requests) == 4, "one that brought something new, and one after each of three pauses"
    assert not (tmp_path / "data" / "mini").exists()


def test_a_file_that_was_complete_when_the_process_ended_is_not_fetched_again(
    tmp_path: Path, server: FileServer, get: Get
) -> None:
    url = server.serve("/mini", Answer(GOOD))
    downloads = tmp_path / "data" / ".downloads"
    downloads.mkdir(parents=True)
    part = download.Partial.of(downloads, "mini.tar.gz", url)
    part.begin('"one"')
    part.data.write_bytes(GOOD)
    get(mini(url))
    assert whole(tmp_path / "data")
    assert [status for _, _, status in server.requests] == [416]


# Wrong files


def test_a_wrong_file_is_named_removed_and_the_next_mirror_tried(tmp_path: Path, server: FileServer, get: Get) -> None:
    bad, good = server.serve("/bad", Answer(WRONG)), server.serve("/good", Answer(GOOD))
    notes = get(mini(bad, good))
    assert whole(tmp_path / "data")
    assert (
        f"{bad}: has SHA-256 {sha256(WRONG)}, {sha256(GOOD)} was expected; the downloaded file was removed"
        in notes.lines
    )
    assert [path.name for path in (tmp_path / "data" / ".downloads").glob("*.part*")] == []


def test_md5_is_used_without_a_sha256(server: FileServer, get: Get) -> None:
    expected = hashlib.md5(GOOD).hexdigest()
    url = server.serve("/mini", Answer(WRONG))
    with pytest.raises(FetchError, match=f"MD5 {hashlib.md5(WRONG).hexdigest()}, {expected} was expected"):
        get(mini(url, archive=None, md5=expected))
    server.serve("/mini", Answer(GOOD))
    get(mini(url, archive=None, md5=expected))


def test_without_a_published_checksum_the_one_found_is_reported(server: FileServer, get: Get) -> None:
    notes = get(mini(server.serve("/mini", Answer(GOOD)), archive=None))
    assert f"mini.tar.gz: no checksum is published; its SHA-256 is {sha256(GOOD)}" in notes.lines


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(
    tmp_path: Path, server: FileServer, get: Get
) -> None:
    url = server.serve("/mini", Answer(GOOD + b"more"))
    with pytest.raises(FetchError, match=rf"the file there has {len(GOOD) + 4} bytes, {len(GOOD)} were expected"):
        get(mini(url, size=len(GOOD)))
    assert list((tmp_path / "data" / ".downloads").glob("*.part")) == []


@pytest.mark.parametrize(
    "page",
    [
        Answer(b"<p>hello</p><title>\nWe have\n moved &amp; gone</title>", kind="text/html; charset=utf-8"),
        Answer(b"\n<!DOCTYPE html><title>We have moved &amp; gone</title>"),
    ],
)
def test_a_web_page_in_place_of_an_archive_is_refused_with_its_title(
    tmp_path: Path, server: FileServer, get: Get, page: Answer
) -> None:
    with pytest.raises(FetchError, match=r"/mini: a web page was sent instead of the file \(We have moved & gone\)"):
        get(mini(server.serve("/mini", page), archive=None))
    assert not (tmp_path / "data" / "mini").exists()


def test_a_dead_mirror_is_skipped_and_redirects_are_followed(tmp_path: Path, server: FileServer, get: Get) -> None:
    server.serve("/there", Answer(GOOD, sends=50_000), Answer(GOOD))
    moved = server.serve("/moved", Answer(status=302, location="/there"))
    notes = get(mini(server.url + "/gone", moved))
    assert whole(tmp_path / "data")
    assert f"{server.url}/gone: HTTP 404 Not Found" in notes.lines
    assert server.requests[-1] == ("/there", "bytes=50000-", 206), "a redirect keeps the range"


def test_one_line_names_the_fault_of_every_mirror(server: FileServer, get: Get) -> None:
    nobody = "http://127.0.0.1:9/mini"
    with pytest.raises(
        FetchError, match=r"mini.tar.gz can't be fetched: .*gone: HTTP 404.* \| .*no connection"
    ) as caught:
        get(mini(server.url + "/gone", nobody))
    assert "\n" not in str(caught.value)


def test_without_a_connection_the_error_says_where_to_put_the_file(tmp_path: Path, get: Get) -> None:
    advice = f"; run the command again, or put the file into {re.escape(str(tmp_path / 'data'))}$"
    with pytest.raises(FetchError, match=f"no connection.*{advice}"):
        get(mini("http://127.0.0.1:9/mini"))


@pytest.mark.parametrize("length", ["abc", "²", "-5", "1" * 5_000, "12 \x1b[31m"])
def test_a_size_that_is_no_number_is_named_and_the_next_mirror_tried(
    tmp_path: Path, server: FileServer, get: Get, length: str
) -> None:
    resumed = [CUT, Answer(GOOD, length=length)]
    odd, good = server.serve("/odd", Answer(GOOD, length=length)), server.serve("/good", *resumed, Answer(GOOD))
    notes = get(mini(odd, good, server.serve("/last", Answer(GOOD))))
    assert whole(tmp_path / "data")
    for url in (odd, good):
        assert f"{url}: the server gives {length[:20]!r} as the file's size" in notes.lines


def test_a_redirect_to_something_that_is_no_address_is_a_dead_mirror(
    tmp_path: Path, server: FileServer, get: Get
) -> None:
    astray = server.serve("/moved", Answer(status=302, location="http://[bad"))
    notes = get(mini(astray, server.serve("/good", Answer(GOOD))))
    assert whole(tmp_path / "data")
    assert any(line.startswith(f"{astray}: redirected to a wrong address") for line in notes.lines)


def test_a_file_without_a_stated_size_does_not_fill_the_disk(
    tmp_path: Path, server: FileServer, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    endless = Answer(bytes(2**20), says_length=False)
    with pytest.raises(FetchError, match=r"no size was stated, and after 0\.0 GB the disk has no room for more"):
        get(mini(server.serve("/endless", endless), archive=None))
    assert list((tmp_path / "data" / ".downloads").glob("*.part*")) == []
