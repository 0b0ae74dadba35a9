"""What a host that must be asked slowly costs the others: the same rows with and without it, one run.

ECHOLENS_LANE_ROWS=4000 pytest -m bench -s tests/bench/test_lanes.py
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROWS = int(os.environ.get("ECHOLENS_LANE_ROWS", "4000"))
HERE = Path(__file__).parent
SERVER = HERE.parent / "pipelines" / "fetch" / "ratelimit" / "counting_server.py"
LIMITED, OTHERS = "127.0.0.2", [f"127.0.0.{last}" for last in range(3, 28)]

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address"),
]


@pytest.fixture
def port(tmp_path):
    """Of a server of pictures of about 10 kB."""
    Image.effect_noise((160, 120), 50).save(tmp_path / "noise.jpg")
    command = [sys.executable, SERVER, tmp_path / "noise.jpg", "0.05", LIMITED, *OTHERS]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        yield int(server.stdout.readline())
        server.kill()


def counts(port):
    """What each address was asked since the last call."""
    with urllib.request.urlopen(f"http://{OTHERS[0]}:{port}/_counts") as answer:
        return json.load(answer)


def fetched(folder, port, limited_rows):
    """Fetch all rows; return when the server was asked for others, and for the limited host."""
    folder.mkdir()
    urls = [f"http://{OTHERS[row % len(OTHERS)]}:{port}/{row}.jpg" for row in range(ROWS)]
    urls += [f"http://{LIMITED}:{port}/{row}.jpg" for row in range(limited_rows)]
    (folder / "list.tsv").write_text("".join(f"caption {row}\t{url}\n" for row, url in enumerate(urls)))
    content = {
        "name": "lanes",
        "root": str(folder / "data"),
        "shard_rows": 200,
        "sources": [{"kind": "cc3m", "list": str(folder / "list.tsv")}],
        "fetch": {
            "allow_private_hosts": True,
            "limits": {LIMITED: {"connections": 2, "requests_per_s": 5}},
        },
    }
    (folder / "lanes.yaml").write_text(yaml.safe_dump(content))
    subprocess.run(
        [sys.executable, HERE / "fetch_only.py", folder / "lanes.yaml", folder / "seconds.json"],
        check=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)},
    )
    found = counts(port)
    others_s = sorted(s for name in OTHERS for s in found[name]["came_s"])
    assert ROWS == len(others_s)
    return others_s, sorted(found.get(LIMITED, {"came_s": []})["came_s"])


def test_others_run_at_full_speed_beside_a_limited_host(port, tmp_path):
    """The limited host gets its five requests a second, and the others are through as soon as without it."""
    counts(port)
    limited_rows, rates = 150, []
    for number, rows in enumerate((0, limited_rows, 0, limited_rows)):
        others_s, limited_s = fetched(tmp_path / str(number), port, rows)
        rates.append(ROWS / (others_s[-1] - others_s[0]))
        line = f"others {rates[-1]:.0f} requests/s"
        if limited_s:
            line += f"; limited host {len(limited_s) / (limited_s[-1] - limited_s[0]):.2f} requests/s, "
            line += f"done {limited_s[-1] - others_s[-1]:.0f} s after them"
        print(f"\n{line}")

    assert max(rates[1], rates[3]) > 0.85 * min(rates[0], rates[2])
