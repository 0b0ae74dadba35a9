"""A service with everything that can be closed closed, as one that others can reach would be run."""

import base64
import http.server
import threading
from pathlib import Path

import httpx
import pytest

from tests.pipelines.serve.running import serve

TOKEN = "a token that nobody guesses"
RATE = 5


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_token_rate_and_pictures_of_the_intranet(built, tmp_path):
    """Only who has the token is answered, so often as may be; the token is written down nowhere."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    options = ["--no-page", "--token-env", "TRIED", "--rate", str(RATE), "--allow-private-image-urls"]
    link = tmp_path / "data"
    link.symlink_to(built.root)
    with serve(link, *options, env={"TRIED": TOKEN}) as served:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=served.url, timeout=60) as client:
            refused = client.post("/v1/lookup", json={"text": "a bell"})
            health = client.get("/readyz")
            answered = client.post("/v1/lookup", json={"text": "a bell"}, headers=headers)
            key = answered.json()["hits"][0]["key"]
            basic = base64.b64encode(f":{TOKEN}".encode()).decode()
            media = client.get(f"/v1/media/{key}", headers={"Authorization": f"Basic {basic}"})
            (tmp_path / "a.jpg").write_bytes(media.content)
            server = http.server.ThreadingHTTPServer(
                ("127.0.0.1", 0), lambda *args: handler(*args, directory=str(tmp_path))
            )
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/a.jpg"
            named = client.post("/v1/lookup", json={"image_url": url, "k": 1}, headers=headers)
            server.shutdown()
            told = [client.get("/v1/about", headers=headers) for _ in range(220)]

    assert (401, 200, 200, 200) == tuple(each.status_code for each in (refused, health, answered, media))
    assert 200 == named.status_code, named.text
    assert key == named.json()["hits"][0]["key"]
    assert {200, 429} == {each.status_code for each in told}
    assert "1" == told[-1].headers["retry-after"]
    assert TOKEN not in served.said + Path(f"{link}.stderr").read_text()
