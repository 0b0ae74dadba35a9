import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipelines.decode import child_pool
from pipelines.decode.child_pool import ChildPool
from pipelines.errors import StopJob, UndecodableMediaError
from tests.commands import HOME
from tests.pipelines.decode import bombs


@pytest.fixture
def make_pool():
    """Make pools, which end with the test."""
    pools = []

    def make(max_pixels=40_000_000, **limits):
        pools.append(ChildPool(max_pixels, **limits))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def test_a_child_stays_warm_and_serves_threads(make_pool):
    """One is the most, whoever asks; what it returns are the pixels of the file."""
    pool = make_pool()
    data = bombs.save("PPM", 30, 20)
    with ThreadPoolExecutor(6) as threads:
        pictures = list(threads.map(lambda decoder: pool.decode(data, decoder), [b"o", b"p"] * 6))

    assert {(20, 30, 3)} == {picture.shape for picture in pictures}
    # OpenCV's channels are blue, green and red.
    assert [(150, 120, 90), (90, 120, 150)] == [tuple(map(int, picture[0, 0])) for picture in pictures[:2]]
    assert 1 == len(pool._idle)


def test_a_picture_has_its_cpu_time_and_no_more(make_pool):
    """The kernel ends a child within a second of its limit, and the next picture has a child of its own."""
    pool = make_pool(cpu_s=0)
    slow = bombs.make_slow_picture()
    reasons = []
    # The limit is at a whole second, so one of a dozen pictures of a tenth of a second or more meets it.
    for _ in range(12):
        try:
            pool.decode(slow, b"o")
        except UndecodableMediaError as error:
            reasons.append(error.reason)
            break

    assert ["too_complex"] == reasons
    assert (20, 30, 3) == pool.decode(bombs.save("PPM", 30, 20), b"o").shape


def test_a_child_that_does_not_answer_is_ended(make_pool):
    """Stopped, starved or waiting: it uses no CPU time, so the clock ends it."""
    pool = make_pool(wall_s=1.0)
    data = bombs.save("PPM", 30, 20)
    pool.decode(data, b"o")
    stopped = pool._idle[0]
    os.kill(stopped.pid, signal.SIGSTOP)

    with pytest.raises(UndecodableMediaError, match="too_complex"):
        pool.decode(data, b"o")
    assert -signal.SIGKILL == stopped.returncode
    assert (20, 30, 3) == pool.decode(data, b"o").shape


def test_a_child_that_died_is_replaced(make_pool):
    """As after an attack that breaks a decoder; the worker lives on."""
    pool = make_pool()
    data = bombs.save("PPM", 30, 20)
    pool.decode(data, b"o")
    pool._idle[0].kill()
    pool._idle[0].wait()

    assert (20, 30, 3) == pool.decode(data, b"o").shape


def test_the_limit_of_pixels_is_the_decoders_own(make_pool):
    """Whichever of its two sizes a file's decoder believes, room is never given to more."""
    pool = make_pool(max_pixels=1_000_000)
    for decoder in (b"o", b"p"):
        with pytest.raises(UndecodableMediaError) as refused:
            pool.decode(bombs.make_two_header_tiff(real_px=8_000), decoder)
        assert refused.value.reason in {"too_many_pixels", "undecodable"}
        with pytest.raises(UndecodableMediaError, match="too_many_pixels"):
            pool.decode(bombs.save("JPEG2000", 1_001, 1_000), decoder)
    assert (1_000, 1_000, 3) == pool.decode(bombs.save("JPEG2000", 1_000, 1_000), b"o").shape


@pytest.mark.parametrize("decoder", [b"o", b"p"])
def test_memory_has_a_limit(make_pool, decoder):
    """A canvas of 100 MB is more than this child may take; the next picture is decoded by the same one."""
    pool = make_pool(memory_bytes=2**25)
    small = bombs.save("PPM", 30, 20)
    pool.decode(small, decoder)
    child = pool._idle[0]
    with pytest.raises(UndecodableMediaError, match=r"too_complex|undecodable"):
        pool.decode(bombs.make_frame_bomb(2, 5_000), decoder)

    assert (20, 30, 3) == pool.decode(small, decoder).shape
    assert [child] == pool._idle


@pytest.mark.parametrize("junk", [b"", b"\0" * 100, b"P6\n3 3\n255\n", b"<html>"])
def test_junk_is_undecodable(make_pool, junk):
    """And leaves the child as it was."""
    pool = make_pool()
    with pytest.raises(UndecodableMediaError, match="undecodable"):
        pool.decode(junk, b"o")
    assert (20, 30, 3) == pool.decode(bombs.save("PPM", 30, 20), b"o").shape


def test_pictures_of_any_depth_come_through(make_pool):
    """Grey, 16 bits, transparent: the arrays are those of OpenCV in this process."""
    import cv2

    pool = make_pool()
    rng = np.random.default_rng(0)
    for shape, dtype in (((9, 7), np.uint8), ((9, 7, 3), np.uint16), ((9, 7, 4), np.uint8)):
        picture = rng.integers(0, np.iinfo(dtype).max, shape, dtype)
        data = cv2.imencode(".tiff", picture)[1].tobytes()
        np.testing.assert_array_equal(picture, pool.decode(data, b"o"))


def test_an_installation_that_cannot_decode_stops_the_job(make_pool, monkeypatch):
    """No picture is to blame for a child that does not start."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StopJob, match="run `echolens doctor`"):
        make_pool().decode(bombs.save("PPM"), b"o")


def test_a_child_gets_no_credentials(make_pool, monkeypatch):
    """A decoder that an attack takes over finds none in its environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    pool = make_pool()
    pool.decode(bombs.save("PPM"), b"o")
    environment = Path(f"/proc/{pool._idle[0].pid}/environ").read_bytes()

    assert b"OPENCV_IO_MAX_IMAGE_PIXELS=40000000" in environment
    assert b"hidden" not in environment


def test_a_child_ends_with_its_parent():
    """However the parent ends."""
    code = (
        "from pipelines.decode.child_pool import get_pool\n"
        "get_pool(1000).decode(b'P6 1 1 255\\nabc', b'o')\n"
        "print(get_pool(1000)._idle[0].pid, flush=True)\n"
        "input()\n"
    )
    words = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    child.wait(timeout=30)
    assert not child.is_running()


def test_a_pool_is_shared_by_a_process():
    """One for each limit of pixels."""
    assert child_pool.get_pool(1_000) is child_pool.get_pool(1_000)
