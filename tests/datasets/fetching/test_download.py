"""Downloads from faulty servers end with the right file or with one clear line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from datasets.fetching import download
from datasets.fetching.download import FetchError
from tests.helpers.fake_archives import GOOD, OTHER, WRONG, Get, mini, sha256, whole
from tests.helpers.file_server import Answer, FileServer

# Connections that break


def test_dropped_connections_are_resumed(tmp_path: Path, server: FileServer, get: Get) -> None:
    # More drops than attempts are allowed in a row: each brings new data.
    drops = [Answer(GOOD, sends=20_000)] * 6
    get(mini(server.serve("/mini", *drops, Answer(GOOD))))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, *(f"bytes={20_000 * number}-" for number in range(1, 7))]


def test_a_missing_content_length_is_taken_from_the_archive(tmp_path: Path, server: FileServer, get: Get) -> None:
    cut = Answer(GOOD, sends=50_000, says_length=False)
    get(mini(server.serve("/mini", cut, Answer(GOOD)), size=len(GOOD)))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, "bytes=50000-"]


def test_a_server_that_ignores_ranges_sends_everything_again(tmp_path: Path, server: FileServer, get: Get) -> None:
    get(mini(server.serve("/mini", Answer(GOOD, sends=50_000), Answer(GOOD, knows_ranges=False))))
    assert whole(tmp_path / "data")
    assert [status for _, _, status in server.requests] == [200, 200]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_two_versions_of_a_file_are_never_mixed(
    tmp_path: Path, server: FileServer, get: Get, heeds_if_range: bool
) -> None:
    old = Answer(OTHER, tag='"old"', sends=50_000)
    new = Answer(GOOD, tag='"new"', heeds_if_range=heeds_if_range)
    get(mini(server.serve("/mini", old, new), archive=None))  # no checksum would notice
    assert whole(tmp_path / "data")
    assert [status for _, _, status in server.requests] == ([200, 200] if heeds_if_range else [200, 206, 200])


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_a_file_of_unknown_version_is_downloaded_from_its_beginning(
    tmp_path: Path, server: FileServer, get: Get, tag: str
) -> None:
    get(mini(server.serve("/mini", Answer(OTHER, tag=tag, sends=50_000), Answer(GOOD, tag=tag)), archive=None))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, None]


def test_attempts_without_progress_are_limited(tmp_path: Path, server: FileServer, get: Get) -> None:
    # Without ranges every try begins anew and ends no further: no progress, though bytes arrive.
    url = server.serve("/mini", Answer(GOOD, sends=1000, knows_ranges=False))
    with pytest.raises(FetchError, match=r"/mini: the connection was lost after 1000 of \d+ bytes \(4 attempts\)"):
        get(mini(url))
    assert len(server.requests) == 4, "one that brought something new, and one after each of three pauses"
    assert not (tmp_path / "data" / "mini").exists()


def test_a_transient_server_error_is_retried(tmp_path: Path, server: FileServer, get: Get) -> None:
    get(mini(server.serve("/mini", Answer(status=503), Answer(status=429), Answer(GOOD))))
    assert whole(tmp_path / "data")


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
