import base64
import json

import pytest

from tests.in_process import job_here
from tests.pipelines.fetch.forward_proxy import USERINFO, WORD, ForwardProxy
from tests.pipelines.fetch.pictures import make_pictures
from tests.pipelines.fetch.raw_server import RawServer, make_answer

JPEG = make_pictures()["plain.jpg"]
ANSWER = make_answer("HTTP/1.1 200 OK", f"Content-Length: {len(JPEG)}", "Connection: close", body=JPEG)
SECRETS = (WORD, USERINFO, "pass%3A", base64.b64encode(f"me:{WORD}".encode()).decode())


@pytest.fixture
def described(tmp_path):
    """Write the file of a dataset of two pictures, of a host that resolves nowhere here."""

    def write(port):
        rows = [f"a bell {number}\thttp://pictures.example:{port}/{number}%28.jpg\n" for number in range(2)]
        (tmp_path / "list.tsv").write_text("".join(rows))
        content = {
            "name": "bells",
            "root": str(tmp_path / "root"),
            "contact": "tests@localhost",
            "sources": [{"kind": "cc3m", "list": str(tmp_path / "list.tsv")}],
            "encode": {"clip": "pocket", "clap": "pocket"},
        }
        (tmp_path / "bells.yaml").write_text(json.dumps(content))
        return tmp_path / "bells.yaml"

    return write


def test_a_proxy_leaves_no_trace(tmp_path, monkeypatch, described):
    """The pictures arrive, and its password is in no file, no record and no line of the job."""
    with RawServer(ANSWER) as server, ForwardProxy(wants=True) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        ended = job_here("build", described(server.port))
    counts = json.loads(next((tmp_path / "root").glob("runs/*/run.json")).read_text())["outcomes"]
    written = [path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()]

    assert 2 == sum(rows for outcome, rows in counts.items() if outcome == "ok")
    assert 2 == len(server.heads)
    assert len(written) > 5
    for secret in SECRETS:
        assert secret not in ended.stdout + ended.stderr
        assert not any(secret.encode() in data for data in written)


def test_a_proxy_that_refuses_is_one_sentence(tmp_path, monkeypatch, described):
    """No picture is asked for twice, and no version is published."""
    with ForwardProxy(wants=True) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        ended = job_here("build", described(1), check=False)

    assert 1 == ended.returncode
    assert f"failed/proxy: the proxy 127.0.0.1:{proxy.port} wants credentials (407)" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not [*(tmp_path / "root").glob("versions/*")]


def test_a_proxy_that_is_none_is_one_sentence(tmp_path, monkeypatch, described):
    """Before anything is written."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@proxy.example:1080")
    ended = job_here("build", described(1), check=False)

    assert 1 == ended.returncode
    assert "HTTPS_PROXY is no http proxy; write it as http://" in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout
    assert not (tmp_path / "root").exists()
