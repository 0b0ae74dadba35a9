import struct

import pytest

from pipelines.fetch.truncation import is_cut_file, is_cut_picture
from tests.pipelines.fetch.pictures import make_pictures

PICTURES = make_pictures()


@pytest.mark.parametrize("name", PICTURES)
def test_a_whole_picture_is_not_cut(name):
    """Of any format of the web."""
    assert not is_cut_picture(PICTURES[name])


@pytest.mark.parametrize("name", ["plain.jpg", "rgb.png", "animated.gif", "lossy.webp", "some.bmp"])
def test_a_picture_without_its_end_is_cut(name):
    """Formats that mark their end, or state their length."""
    data = PICTURES[name]

    assert is_cut_picture(data[: len(data) * 9 // 10])


def box(kind, body, *, large=False):
    """Return a box of an MP4; a large one has its length in 8 bytes."""
    if large:
        return struct.pack(">I4sQ", 1, kind, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind) + body


def element(number, body, length=None):
    """Return an element of Matroska with its length in 8 bytes."""
    return number + (b"\x01" + (len(body) if length is None else length).to_bytes(7)) + body


EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
UNKNOWN = (1 << 56) - 1
FILES = {
    "mp4": box(b"ftyp", b"isom") + box(b"moov", bytes(50)) + box(b"mdat", bytes(200)),
    "mp4-large-box": box(b"ftyp", b"isom") + box(b"mdat", bytes(200), large=True),
    "matroska": element(EBML, bytes(10)) + element(SEGMENT, bytes(200)),
    "riff": b"RIFF" + (200).to_bytes(4, "little") + bytes(200),
}


@pytest.mark.parametrize("name", FILES)
def test_a_media_file_states_its_length(tmp_path, name):
    """The whole is whole, also with notes behind it, and what lacks one byte is cut."""
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert not is_cut_file(path)
    path.write_bytes(FILES[name] + b"appended notes, no box")
    assert not is_cut_file(path)
    path.write_bytes(FILES[name][:-1])

    assert is_cut_file(path)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"fLaC" + bytes(100), id="format-without-length"),
        pytest.param(b"RIFF" + b"\xff" * 4 + bytes(20), id="riff-of-a-pipe"),
        pytest.param(element(EBML, b"") + element(SEGMENT, bytes(20), UNKNOWN), id="matroska-of-a-pipe"),
        pytest.param(box(b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat") + bytes(9), id="mp4-to-the-end"),
    ],
)
def test_a_file_that_states_no_length_is_not_cut(tmp_path, data):
    """Whether it is whole shows when it is decoded."""
    path = tmp_path / "file"
    path.write_bytes(data)

    assert not is_cut_file(path)
