"""Arrays of npz files of strangers: refused before they take memory, and never objects."""

import io
import os
import resource
import zipfile

import numpy as np
import pytest

from pipelines.errors import ListError
from pipelines.source.listed.npz import read_matrix, read_shape


@pytest.fixture(autouse=True)
def small():
    """No file takes 200 MB."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 200_000


def write_npz(path, name, data, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, data)
    return str(path)


def make_header(shape, dtype="<f2", magic=b"\x93NUMPY\x01\x00"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return magic + len(text).to_bytes(2 if magic[6] == 1 else 4, "little") + text


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_is_read_as_it_is(tmp_path, dtype, save):
    """Compressed or not, whatever its floating type."""
    wanted = np.random.default_rng(0).normal(size=(50, 7)).astype(dtype)
    save(tmp_path / "a.npz", l14_img=wanted, dedup=np.zeros(3))

    shape = read_shape(str(tmp_path / "a.npz"), "l14_img")
    assert (50, 7, dtype) == (shape.rows, shape.dims, shape.dtype)
    assert np.array_equal(wanted, read_matrix(str(tmp_path / "a.npz"), "l14_img"))


# What an npz may hold -> what is said of it.
HOSTILE = {
    "objects": (lambda: saved(np.array([[{}, 1]], dtype=object)), "is .* of object"),
    "whole-numbers": (lambda: saved(np.ones((2, 2), np.int64)), "of int64"),
    "one-row": (lambda: saved(np.ones(5)), "name one of a vector a row"),
    "bomb": (lambda: make_header((2**19, 1024)) + bytes(2**20), "ends in the middle"),
    "promises-8-GB": (lambda: make_header((2**22, 1024)), "an array may have"),
    "long-vectors": (lambda: make_header((1, 10**6)), "an array may have"),
    "negative": (lambda: make_header((-1, 4)), "an array may have|no header"),
    "too-short": (lambda: make_header((3, 4)) + bytes(10), "ends in the middle"),
    "too-long": (lambda: make_header((1, 2)) + bytes(10), "longer than its header says"),
    "header-of-4-GB": (
        lambda: make_header((1, 2), magic=b"\x93NUMPY\x02\x00"),
        "header of array 'v' is of version",
    ),
    "code": (
        lambda: b"\x93NUMPY\x01\x00" + (20).to_bytes(2, "little") + b"__import__('os').abc\n",
        "no header",
    ),
    "no-array": (lambda: b"hello", "no header"),
    "empty": (lambda: b"", "no header"),
}


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_array_is_one_sentence(tmp_path, case):
    """And nothing of it is unpickled or believed."""
    make, said = HOSTILE[case]
    url = write_npz(tmp_path / "a.npz", "v.npy", make())
    if case == "bomb":
        # Believed up to its size, so the matrix of 1 GiB is asked for, and only what comes is touched.
        assert 2**19 == read_shape(url, "v").rows
    with pytest.raises(ListError, match=said) as error:
        read_matrix(url, "v")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "no end"), (b"PK\x05\x06", "no end"), (b"no zip at all" * 20, "no end")],
)
def test_what_is_no_npz_is_said(tmp_path, data, said):
    """Whatever it is."""
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ListError, match=f"is no npz that can be read .*{said}.*; download it again"):
        read_shape(str(tmp_path / "a.npz"), "v")


def test_a_damaged_array_is_noticed(tmp_path):
    """By the checksum that the npz has of it."""
    np.savez(tmp_path / "a.npz", v=np.ones((100, 8), np.float32))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[1000] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ListError, match="Bad CRC"):
        read_matrix(str(tmp_path / "a.npz"), "v")


def test_a_directory_that_fills_memory_is_refused(tmp_path):
    """Python reads all of it before the first array."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for number in range(12_000):
            archive.writestr(f"{number:060d}.npy", b"")
    with pytest.raises(ListError, match="has too many arrays"):
        read_shape(str(tmp_path / "a.npz"), "v")


def test_a_pipe_is_not_waited_for(tmp_path):
    """Nobody writes into it."""
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(ListError, match="no regular file"):
        read_shape(str(tmp_path / "a.npz"), "v")


def test_another_array_is_named(tmp_path):
    """Those that are there."""
    np.savez(tmp_path / "a.npz", b32_img=np.ones((1, 2)), b32_txt=np.ones((1, 2)))
    with pytest.raises(ListError, match=r"no array 'l14_img'; name one that it has: b32_img, b32_txt"):
        read_shape(str(tmp_path / "a.npz"), "l14_img")
    with pytest.raises(ListError, match="is not there"):
        read_shape(str(tmp_path / "b.npz"), "l14_img")
