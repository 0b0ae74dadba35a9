"""Both lists of clips, built from the miniature video site and from a tar mirror."""

import hashlib
import io
import tarfile
import threading
from collections import Counter, defaultdict
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import av
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.miniature.addresses import has_clip
from pipelines.miniature.lists import write_lists
from pipelines.miniature.rows import row_at
from pipelines.miniature.server import serving
from pipelines.miniature.video_site import watch_template, write_mirror
from schemas.sample import SAMPLE_RATE_HZ
from tests.commands import status
from tests.in_process import job_here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROWS = 600
KINDS = ("audiocaps", "vggsound")
# What becomes of a row's clip, by what is odd about it; what a tar says where it has no web.
PLANTED = {
    "plain": "ok",
    "test": "ok",
    "same_clip": "ok",
    "twin": "filtered/duplicate_media",
    "silent": "filtered/silent",
    "short": "filtered/too_short",
    "no_audio": "invalid/no_audio",
    "truncated": "invalid/truncated",
    "empty": "invalid/empty",
    "html": "invalid/no_video",
    "gone_404": "dead/http_404",
    "forbidden_403": "blocked/http_403",
    "error_503": "transient/http_5xx",
    "slow": "transient/timeout",
}
OF_A_TAR = {
    "html": "invalid/undecodable",
    "gone_404": "dead/no_such_file",
    "forbidden_403": "dead/no_such_file",
    "error_503": "ok",
    "slow": "ok",
}
NEVER_A_CANDIDATE = {"repeated", "few_columns", "many_columns", "bad_start", "bad_utf8"}
SECRETS = ("cookie-word", "cookies-of-me", "proxy-word", "proxy-me", "7654321", "web_safari")


class Upstream(BaseHTTPRequestHandler):
    """A person's own proxy: passes everything on to whoever knows its word."""

    def do_GET(self):
        if "Basic cHJveHktbWU6cHJveHktd29yZA==" != self.headers["Proxy-Authorization"]:
            self.send_error(407)
            return
        parts = urlsplit(self.path)
        onward = HTTPConnection(parts.hostname, parts.port, timeout=30)
        onward.request(self.command, f"{parts.path}?{parts.query}", headers=dict(self.headers))
        answer = onward.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        while data := answer.read(65_536):
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Build the lists twice; the site's through a proxy and with cookies."""
    folder = tmp_path_factory.mktemp("videos")
    cookies = folder / "cookies-of-me.txt"
    cookies.write_text(
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/watch\tFALSE\t0\tsession\tcookie-word\n"
    )
    mirror = write_mirror(folder / "mirror.tar", ROWS, 0)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    with serving(0, ROWS) as base:
        lists = write_lists(folder / "lists", base, ROWS, 0)
        video = {
            "site": watch_template(base),
            "timeout_s": 30,
            "cookies_file": str(cookies),
            "proxy": f"http://proxy-me:proxy-word@127.0.0.1:{proxy.server_port}",
            "rate_limit": 7654321,
            "player_client": ["web_safari"],
        }
        for name, media in (("site", {}), ("tar", {"media": mirror})):
            content = {
                "name": "videos",
                "root": str(folder / name),
                "sources": [{"kind": kind, "list": str(lists[kind])} | media for kind in KINDS],
                "shard_rows": 200,
                "fetch": {"allow_private_hosts": True} | ({} if media else {"video": video}),
                "encode": {"clip": "pocket", "clap": "pocket"},
            }
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
            job_here("build", folder / f"{name}.yaml")
    proxy.shutdown()
    return folder / "site", folder / "tar"


def candidates():
    """Return the rows of both lists that get a key."""
    rows = (row for row in map(row_at, range(ROWS)) if has_clip(row))
    return [row for row in rows if row.oddity not in NEVER_A_CANDIDATE]


def rows_of(root):
    """Return every row of a root: what became of it, and the digest of its media and of its vectors."""
    rows, ids = defaultdict(list), {}
    for path in sorted((root / "media").glob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            ids[row["key"]] = row["id"]
            rows[row["id"]] += [row["outcome"], row["reason"], row["sha256"], row["error_message"]]
    for path in sorted((root / "media").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if extension != "json":  # says where the row is from
                    data = tar.extractfile(member).read()
                    rows[ids[key]].append((extension, hashlib.sha256(data).hexdigest()))
    for path in sorted((root / "vectors").rglob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            rows[ids[row.pop("key")]].append(hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest())
    return rows


def test_equal_where_the_inputs_are(roots):
    """Clips cut out of whole videos and a mirror's clips give the same sound, frames, table and vectors."""
    site, tar = map(rows_of, roots)
    same = [row for row in site if site[row] == tar[row]]
    differ = sum(row.owner.oddity in OF_A_TAR for row in candidates())

    assert site.keys() == tar.keys()
    assert len(candidates()) - differ == len(same)
    assert sum("ok" == site[row][0] for row in same) > len(same) / 2


@pytest.mark.parametrize("origin", [0, 1], ids=["site", "tar"])
def test_outcomes_are_those_that_were_planted(roots, origin):
    """All of them, counted."""
    table = PLANTED | (OF_A_TAR if origin else {})
    expected = Counter(table[row.owner.oddity] for row in candidates())

    assert expected == Counter(status(roots[origin])["reasons"])


def test_every_clip_has_its_length(roots):
    """PyAV decodes each sound: ten seconds at 48 kHz, to the sample."""
    lengths_s = set()
    for path in sorted((roots[0] / "media").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".flac"):
                    with av.open(io.BytesIO(tar.extractfile(member).read())) as file:
                        assert (1, SAMPLE_RATE_HZ) == (
                            file.streams.audio[0].channels,
                            file.streams.audio[0].rate,
                        )
                        lengths_s.add(sum(frame.samples for frame in file.decode(audio=0)) / SAMPLE_RATE_HZ)

    assert {10.0} == lengths_s


def test_secrets_stay_in_the_file(roots):
    """Neither what says who asks, nor where it lies, is anywhere in the root: no table, record or report."""
    files = [path for path in roots[0].rglob("*") if path.is_file()]
    found = [(path.name, word) for path in files for word in SECRETS if word.encode() in plain(path)]

    assert files
    assert [] == found


def plain(path):
    """Return the bytes of a file; of a table, whose file is packed, its rows and metadata."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    table = pq.ParquetFile(path).read()
    return f"{table.to_pylist()}{table.schema.metadata}".encode()
