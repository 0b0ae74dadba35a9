import gc
import pickle
import subprocess
import sys
import threading

import pytest

from pipelines.fetch.stages import FetchClips, FetchImages
from pipelines.filter.captions import DetectLanguage
from pipelines.filter.pictures import FilterPictures
from pipelines.filter.sounds import FilterSounds
from pipelines.stage import check_chain
from pipelines.store.shards import ROW
from schemas.candidate import CANDIDATE
from schemas.dataset import Fetch
from schemas.sample import MEMBERS, SAMPLE

CHAINS = {
    "image": (DetectLanguage("en"), FetchImages(Fetch(), "me@example.org"), FilterPictures(64, 4.0)),
    "clip": (DetectLanguage("en"), FetchClips(Fetch(), "me@example.org"), FilterSounds(1.0, -60.0)),
}
GIVEN = {*CANDIDATE.names, *ROW}


@pytest.mark.parametrize("kind", CHAINS)
def test_chains_fit_together(kind):
    """Each stage reads what is there, and in the end there is all that is committed of the kind."""
    made = check_chain(CHAINS[kind], GIVEN)
    of_clips = {"peak_dbfs", "sound_s", "full_scale_share", "frame_change"}

    assert set(SAMPLE.names) - (of_clips if kind == "image" else set()) <= made
    assert set(MEMBERS[kind]) - {"json", "txt"} <= made


@pytest.mark.parametrize(
    "stage", [stage for chain in CHAINS.values() for stage in chain], ids=lambda stage: type(stage).__name__
)
def test_stages_travel(stage):
    """To workers as pickles, and as the keys under which they are opened once."""
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert hash(stage) == hash(pickle.loads(pickle.dumps(stage)))


def test_a_worker_that_is_dropped_ends_its_threads(server, asking):
    """Nobody need call `close()`."""
    before = threading.active_count()
    work = FetchImages(Fetch(allow_private_hosts=True)).open()
    assert work(asking(server.url("put/plain.jpg")))["outcome"] == ["ok"]
    del work
    gc.collect()

    assert threading.active_count() == before


def test_a_process_can_end_without_closing(server):
    """An open stage keeps no process from ending, and says nothing at its end."""
    code = f"""
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
work = FetchImages(Fetch(allow_private_hosts=True)).open()
url = {server.url("put/plain.jpg")!r}
batch = {{"media_url": [url], "url": [url], "source": ["cc3m"], "outcome": ["ok"], "reason": [""]}}
print(work(batch)["outcome"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("['ok']\n", "")


def test_stages_are_light():
    """Describing a chain loads neither aiohttp nor OpenCV: commands answer at once."""
    code = """
import sys
import pipelines.source.checks, pipelines.fetch.stages
import pipelines.filter.captions, pipelines.filter.pictures, pipelines.filter.sounds
print(sorted({"aiohttp", "cv2", "img2dataset", "py3langid", "duckdb"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
