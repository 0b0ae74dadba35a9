import cv2
import numpy as np
import pytest

from pipelines.miniature.rows import WorldRow


def decoded(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_every_row_without_a_planted_fault_is_there(web):
    """Pictures of 60 rows in a list decode, and so do the odd formats."""
    plain = [WorldRow(source, n) for source in ("wit", "cc3m", "cc12m") for n in range(60)]
    good = {"plain", "attribution", "alt", "png", "webp", "gif", "tiff", "query", "quotes", "person"}
    shapes = {}
    for row in plain:
        if row.oddity in good:
            status, _, body = web.get(web.url(row))
            shapes[row] = (status, decoded(body).shape)

    assert {row.oddity for row in shapes} >= {"plain", "png", "tiff", "query", "quotes", "person"}
    assert {status for status, _ in shapes.values()} == {200}
    assert {shape for _, shape in shapes.values()} == {(320, 320, 3), (320, 240, 3), (240, 320, 3)}


@pytest.mark.parametrize(
    ("oddity", "magic"),
    [
        pytest.param("plain", b"\xff\xd8\xff", id="jpeg"),
        pytest.param("png", b"\x89PNG", id="png"),
        pytest.param("webp", b"RIFF", id="webp"),
        pytest.param("gif", b"GIF8", id="gif"),
        pytest.param("tiff", b"II*\x00", id="tiff"),
        pytest.param("svg", b"<?xml", id="svg"),
    ],
)
def test_formats(web, oddity, magic):
    """A picture is what its name says."""
    assert web.body(oddity, "wit").startswith(magic)


def test_tiny_and_stretched(web):
    """Below 64 pixels, and past four to one."""
    tiny = decoded(web.body("tiny", "cc3m"))
    stretched = decoded(web.body("stretched", "cc3m"))

    assert max(tiny.shape[:2]) < 64
    assert stretched.shape[1] > 4 * stretched.shape[0]


@pytest.mark.parametrize("source", ["wit", "cc3m", "cc12m", "vggsound"])
def test_twins_have_the_same_bytes(web, source):
    """One picture or clip under two URLs."""
    twin = web.row("twin", source)

    assert web.url(twin) != web.url(twin.drawn)
    assert web.get(web.url(twin))[2] == web.get(web.url(twin.drawn))[2]


def test_truncated_pictures_end_too_early(web):
    """The answer is complete and the JPEG in it is not."""
    body = web.body("truncated", "cc3m")

    assert body.startswith(b"\xff\xd8\xff")
    assert not body.endswith(b"\xff\xd9")


def test_a_giant_is_a_few_bytes(web):
    """A PNG whose header claims 3.6 billion pixels."""
    body = web.body("giant", "cc12m")

    assert len(body) < 1000
    assert tuple(np.frombuffer(body[16:24], ">u4")) == (60_000, 60_000)
