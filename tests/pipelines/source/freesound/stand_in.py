"""A server that behaves like Freesound's API version 2, on a clock that a test turns."""

import json
import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np

KEY = "s3cret-key-of-a-test"
DEEDS = {
    "Creative Commons 0": "http://creativecommons.org/publicdomain/zero/1.0/",
    "Attribution": "https://creativecommons.org/licenses/by/4.0/",
    "Attribution NonCommercial": "https://creativecommons.org/licenses/by-nc/3.0/",
}
MAX_PAGE = 150


class TurnedClock:
    """Time goes on when somebody sleeps, and by a tenth of a second with every look."""

    def __init__(self):
        self.now_s = 1_000_000.0
        self.slept_s = []

    def get_time_s(self):
        self.now_s += 0.1
        return self.now_s

    def wait(self, length_s):
        self.slept_s.append(length_s)
        self.now_s += length_s


def make_sounds(count):
    """Sounds in the order of their creation, as a search returns them."""
    names = [*DEEDS]
    rng = np.random.default_rng(0)
    for number in range(count):
        vector_D = rng.normal(size=8)
        yield {
            "id": 1000 + number,
            "url": f"https://freesound.org/people/ann/sounds/{1000 + number}/",
            "name": f"Dog {number}.wav",
            "tags": ["dog", "bark"],
            "description": f"A dog\tbarks\r\n<b>{number}</b> times &amp; more",
            "username": "ann",
            "license": DEEDS[names[number % 3]],
            "gen_ai_preference": "no-gen-ai" if number % 10 == 9 else "no-additional-preferences",
            "duration": 2.0 + number,
            "category": "Sound effects",
            "subcategory": "Animals",
            "created": "2020-01-01T00:00:00",
            "pack": None,
            "previews": {f"preview-{kind}": f"http://localhost:1/{1000 + number}-{kind}"
                         for kind in ("hq-ogg", "hq-mp3", "lq-ogg", "lq-mp3")},
            "sim_laion_clap": [float(each) for each in vector_D / np.linalg.norm(vector_D)],
        }  # fmt: skip


class StandIn:
    """What the server has, and what it has seen."""

    def __init__(self, clock, sounds, *, per_min, per_day):
        self.clock, self.sounds = clock, list(sounds)
        self.limits = (("min", "minute", per_min, 60.0), ("day", "day", per_day, 86_400.0))
        self.times_s = []  # of the requests that were answered
        self.refused = []  # the unit of each 429
        self.seen = []  # every path with its query, and every header
        self.broken = 0  # requests that are to fail with a 503
        self.max_page = MAX_PAGE
        self.files = {}  # path -> the bytes of a preview

    def answer(self, path, headers):
        self.seen.append((path, dict(headers)))
        if headers.get("Authorization") != f"Token {KEY}":
            return 401, {"detail": "Invalid token."}
        if self.broken:
            self.broken -= 1
            return 503, {"detail": "Down."}
        for _, word, most, length_s in self.limits:
            now_s = self.clock.now_s
            if sum(time_s > now_s - length_s for time_s in self.times_s) >= most:
                self.refused.append(word)
                says = "Request was throttled because of exceeding a request limit rate"
                return 429, {"detail": f"{says} ({most}/{word})"}
        self.times_s.append(self.clock.now_s)
        split = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
        if split.path != "/apiv2/search/":
            return 404, {"detail": "Not found."}
        if "[" in asked.get("filter", "") and "TO" not in asked["filter"]:
            return 400, {"detail": "Bad filter."}
        return 200, self.make_page(asked)

    def make_page(self, asked):
        size = min(int(asked.get("page_size", 15)), self.max_page)
        page = int(asked.get("page", 1))
        last = math.ceil(len(self.sounds) / size)
        fields = asked.get("fields", "id,name").split(",")
        found = self.sounds[(page - 1) * size : page * size]
        following = f"{self.url}/search/?{urlencode(asked | {'page': page + 1})}"
        return {
            "count": len(self.sounds),
            "next": following if page < last else None,
            "previous": None,
            "results": [{field: sound.get(field) for field in fields} for sound in found],
        }


@contextmanager
def served(stand_in):
    """Serve it on this machine, at `stand_in.url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/previews/"):
                body = stand_in.files.get(self.path)
                status, kind = (200, "audio/ogg") if body else (404, "text/plain")
            else:
                status, content = stand_in.answer(self.path, self.headers)
                body, kind = json.dumps(content).encode(), "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *said):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_port}/apiv2"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
