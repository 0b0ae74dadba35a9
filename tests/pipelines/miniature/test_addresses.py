import re
import sys
from collections import Counter
from urllib.parse import unquote, urlsplit

import pytest

from pipelines.miniature.addresses import (
    clip_path,
    clip_template,
    media_url,
    row_behind,
    start_s,
    youtube_id,
)
from pipelines.miniature.rows import WorldRow, row_at

BASE = "http://127.0.0.1:8123"
PICTURES = ("wit", "cc3m", "cc12m")


def test_a_path_leads_back_to_its_row():
    """Every URL names the row that it belongs to; rows that share it share that row."""
    for index in range(1200):
        row = row_at(index)
        path = unquote(urlsplit(media_url(BASE, row)).path) if row.source in PICTURES else clip_path(row)
        assert row.owner == row_behind(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/pictures/cc3m/photo-000004.png",
        "/pictures/cc3m/other-000004.jpg",
        "/pictures/laion/photo-000004.jpg",
        "/pictures/wit/0/00/World_000000.jpg",
        "/wikipedia/commons/0/00/World_000000.jpg",
        "/clips/AAAAAAAAAAA_000000.mp4",
        "/clips/JsKFCCbChQw_000001.mp4",
        "/clips/JsKFCCbChQw_000000.webm",
        "/../etc/passwd",
    ],
)
def test_other_paths_lead_nowhere(path):
    """A path that no list has is nobody's, even if it is nearly right."""
    assert row_behind(path) is None


def test_an_id_is_like_youtubes():
    """11 characters, and another for every clip."""
    ids = {youtube_id(WorldRow(source, n)) for source in ("audiocaps", "vggsound") for n in range(42)}
    own = {WorldRow(s, n).owner for s in ("audiocaps", "vggsound") for n in range(42)}

    assert len(own) == len(ids)
    assert all(re.fullmatch(r"[\w-]{11}", name) for name in ids)


def test_the_template_gives_the_clips_path():
    """Filling in the dataset file's media template gives the URL that the server knows."""
    row = WorldRow("vggsound", 4)
    url = clip_template(BASE).format(youtube_id=youtube_id(row), start_s=start_s(row))

    assert BASE + clip_path(row) == url
    assert url.endswith("_000148.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_pictures_are_spread_over_hosts():
    """WIT has a host of its own, the CC lists have many, one of them large."""
    wit = {urlsplit(media_url(BASE, WorldRow("wit", n))).hostname for n in range(270)}
    hosts = Counter(
        urlsplit(media_url(BASE, WorldRow(source, n))).hostname
        for source in ("cc3m", "cc12m")
        for n in range(600)
    )

    assert {"127.0.0.1"} == wit
    assert hosts["127.0.0.2"] > 0.05 * 3000
    assert {f"127.0.0.{last}" for last in range(2, 31)} == {h for h in hosts if "invalid" not in h}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_a_strict_host_has_nothing_but_strict_urls():
    """Who says 429 or breaks does so for every URL, so that waiting for it holds up nobody else."""
    by_host: dict[str, set[str]] = {}
    for source in ("cc3m", "cc12m"):
        for n in range(600):
            row = WorldRow(source, n)
            host = urlsplit(media_url(BASE, row)).hostname or ""
            by_host.setdefault(host, set()).add(row.owner.oddity)

    assert {"wait_seconds"} == by_host["127.0.0.29"]
    assert {"wait_date"} == by_host["127.0.0.30"]
    assert {"reset", "refused", "tls"} == by_host["127.0.0.28"]
    assert {"slow"} == by_host["127.0.0.27"]


@pytest.mark.parametrize(
    ("oddity", "url"),
    [
        pytest.param("refused", r"http://127\.0\.0\.\d+:1/pictures/.*", id="closed-port"),
        pytest.param("no_such_host", r"http://photos-\d\.invalid/pictures/.*", id="no-such-host"),
        pytest.param("ftp", r"ftp://127\.0\.0\.\d+:8123/pictures/.*", id="another-scheme"),
        pytest.param("tls", r"https://127\.0\.0\.\d+:8123/pictures/.*", id="https-without-tls"),
        pytest.param("query", r"http://.*/größe/.*\.jpg\?w=640&caption=gr%C3%B6.*", id="query"),
    ],
)
def test_faults_that_lie_in_the_url(oddity, url):
    """Some URLs fail before any server is asked."""
    row = next(row for n in range(120) if (row := WorldRow("cc12m", n)).oddity == oddity)

    assert re.fullmatch(url, media_url(BASE, row))


def test_another_server_has_all_media_itself():
    """Only the loopback server has thirty addresses."""
    hosts = {
        urlsplit(media_url("http://world.example", WorldRow("cc3m", n))).netloc
        for n in range(120)
        if WorldRow("cc3m", n).oddity in ("plain", "wait_date", "slow")
    }

    assert {"world.example"} == hosts
