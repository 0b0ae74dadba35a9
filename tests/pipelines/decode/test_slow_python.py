"""Parts of pictures that Pillow parses in Python: left out, or decoded in a child that has a deadline."""

import io
import struct
import time

import pytest
from PIL import Image

from pipelines.decode.header import read_header
from pipelines.decode.pixels import open_picture
from pipelines.decode.sound import open_sound
from pipelines.errors import UndecodableMediaError


def make_jpeg(segments):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "JPEG", dpi=(72, 72))
    own = file.getvalue()
    # Four of them lie in 60 kB of a segment.
    blocks = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5_000
    return own[:2] + (b"\xff\xed" + struct.pack(">H", len(blocks) + 2) + blocks) * segments + own[2:]


def test_blocks_of_photoshop_are_not_read_by_the_million():
    """45 MB of them took 4.5 s of a core; those of an honest file stay."""
    began = time.process_time()
    assert "photoshop" not in open_picture(make_jpeg(700)).info
    assert time.process_time() - began < 1
    assert "photoshop" in open_picture(make_jpeg(2)).info


def make_bmp(compression, data=b""):
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, compression, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078) + head + bytes(1024) + data


def test_runs_of_a_bmp_are_decoded_in_a_child():
    """Pillow reads them two bytes at a time: 50 MB took half a minute."""
    plain, runs = make_bmp(0, bytes(64)), make_bmp(1, b"\x08\x00\0\0" * 8 + b"\0\1")

    assert [True, False] == [read_header(data).is_counted for data in (plain, runs)]
    assert (8, 8) == open_picture(plain).size == open_picture(runs).size


def test_a_sound_that_leads_before_its_beginning(capfd):
    """It is none, and no traceback is printed for it."""
    kind = b"COMM" + struct.pack(">IHIH", 18, 1, 100, 16) + b"\x40\x0e\xac\x44" + bytes(6)
    body = kind + (b"ANNO" + bytes(4)) * 20_000 + b"SSND" + struct.pack(">I", 208) + bytes(208)
    with pytest.raises(UndecodableMediaError):
        open_sound(b"FORM" + struct.pack(">I", len(body) + 4) + b"AIFF" + body)

    assert "Traceback" not in capfd.readouterr().err
