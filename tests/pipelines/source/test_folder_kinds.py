"""Files of a folder whose endings say nothing: told by their bytes, or counted as rejects."""

import io
import shutil
import subprocess

import fsspec
import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.decode.kinds import HEAD_BYTES, find_kind
from pipelines.errors import ListError
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg


def picture(form):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 120, 150)).save(file, form)
    return file.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return a sound as a file with an ending."""
    folder = tmp_path_factory.mktemp("sounds")
    soundfile.write(folder / "tone.wav", np.sin(np.arange(24_000) / 9) / 2, 48_000)

    def make(ending):
        path = folder / f"tone.{ending}"
        if not path.exists():
            command = [find_ffmpeg(), "-v", "error", "-i", str(folder / "tone.wav"), f"file:{path}"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path.read_bytes()

    return make


HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1heicmiaf" + bytes(200)
HEIC_BY_OTHERS = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_a_picture_is_told_by_its_bytes(form):
    """Every format that is decoded."""
    assert "image" == find_kind(picture(form)[:HEAD_BYTES])


@pytest.mark.parametrize(
    "ending",
    [
        "wav", "mp3", "aac", "m4a", "ogg", "opus", "flac", "aiff", "au", "caf", "w64", "ac3", "mka", "avi",
        "mpg", "ts", "m2ts", "wma", "wv", "tta", "mov",
    ],
)  # fmt: skip
def test_a_sound_is_told_by_its_bytes(sound, ending):
    """Every container that ffmpeg is let read."""
    assert "clip" == find_kind(sound(ending)[:HEAD_BYTES])


@pytest.mark.parametrize(
    "data",
    [
        b"", b"BMW is a maker of cars, and BM begins its name", b"P1 comes before P2", b"MAC",
        b"\xff\xfeT\0e\0x\0t\0", ("Tëxt" * 400).encode("utf-16"), b"%PDF-1.7", b"PK\3\4", b"GGG", bytes(4096),
        b"\x47" + bytes(600), HEIC, HEIC_BY_OTHERS, b"\xff\xfb",
    ],
)  # fmt: skip
def test_what_no_decoder_reads_is_of_no_kind(data):
    """Texts that begin as a format does, other documents, and formats without a decoder."""
    assert find_kind(data[:HEAD_BYTES]) is None


@pytest.fixture
def album(written, tmp_path, sound):
    """Media with endings that say nothing, and what else lies in a folder."""
    files = {
        "a bell.jfif": picture("JPEG"), "b bird.avif": picture("AVIF"), "c cat": picture("PNG"),
        "d dog.JPG_large": picture("JPEG"), "e eel.aiff": sound("aiff"), "f fox.MPG": sound("mpg"),
        "g goat.bin": sound("mp3"), "h hen.heic": HEIC, "i ibis.pdf": b"%PDF-1.7", "j jay.part": b"",
        "README": b"about", "ReadMe.md": b"about", "a bell.txt": b"A bell.", "c cat.TXT": b"A cat.",
        "g goat.json": b"{}", "metadata.csv": b"file_name,text\n", ".hidden": picture("PNG"),
        ".DS_Store": b"Bud1", "k.tar.gz.d/.x/l.png": picture("PNG"),
    }  # fmt: skip
    for name, data in files.items():
        written(f"album/{name}", data)
    return tmp_path / "album"


CAPTIONS = [
    ("image", "A bell."), ("image", "b bird"), ("image", "A cat."), ("image", "d dog"), ("clip", "e eel"),
    ("clip", "f fox"), ("clip", "g goat"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "zip", "gztar", "tar", "memory"])
def test_files_of_a_folder_are_taken_or_counted(plan, album, kind):
    """What decoders read is a row, the rest a reject; what is about media, or hidden, is neither."""
    place = str(album)
    if kind == "memory":
        place = "memory://album"
        fsspec.filesystem("memory").put(f"{album}/", "/album", recursive=True)
    elif kind != "folder":
        place = shutil.make_archive(str(album.parent / "packed"), kind, album)
    done = plan({"kind": "folder", "list": place})

    assert CAPTIONS == [(row["kind"], row["caption"]) for row in done.candidates]
    assert {"unknown_format": 3} == done.counts.reject_reasons
    assert (10, 7) == (done.counts.rows_read, done.counts.candidates)
    named = [row["text"].rpartition("/")[2].rpartition("#")[2] for row in done.rows("rejects")]
    assert ["h hen.heic", "i ibis.pdf", "j jay.part"] == [name.replace("%20", " ") for name in named]


def test_a_folder_of_nothing_but_unknown_names(plan, written, tmp_path):
    """It is looked into before it is said to have no media."""
    written("album/one", b"%PDF-1.7")
    with pytest.raises(ListError, match="has no pictures or sounds"):
        plan({"kind": "folder", "list": str(tmp_path / "album")})
    written("album/two", picture("PNG"))

    assert 1 == plan({"kind": "folder", "list": str(tmp_path / "album")}).counts.candidates


def test_a_file_that_cannot_be_read_is_a_reject(plan, album):
    """A link to nowhere, whose name does not say what it was."""
    (album / "m moth").symlink_to(album / "nowhere")

    assert {"unknown_format": 3, "unreadable": 1} == plan(
        {"kind": "folder", "list": str(album)}
    ).counts.reject_reasons
