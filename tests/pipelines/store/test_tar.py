"""Tars are written byte for byte as Python's tarfile writes them, and their members are found again."""

import io
import tarfile

import pytest

from pipelines.errors import DamagedArchiveError, StorageError
from pipelines.store.tar import iterate_headers, write_tar


def as_tarfile(path, members):
    """Write the same with the standard library."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o444
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("sizes", [[], [0], [1, 511, 512, 513], [9216], [8704, 0], [3_000_000, 7]], ids=str)
def test_bytes_are_those_of_tarfile(tmp_path, sizes):
    """Members of any size, up to and over the ends of blocks and records."""
    members = [(f"{number:09d}.clap_audio.npy", b"\xff" * size) for number, size in enumerate(sizes)]
    as_tarfile(tmp_path / "expected.tar", members)
    write_tar(tmp_path / "made.tar", iter(members))

    assert (tmp_path / "expected.tar").read_bytes() == (tmp_path / "made.tar").read_bytes()


def test_names_need_not_be_ascii(tmp_path):
    """A name is stored as UTF-8, and the longest that fits is a hundred bytes."""
    members = [("é" * 50, b"a")]
    as_tarfile(tmp_path / "expected.tar", members)
    write_tar(tmp_path / "made.tar", members)

    assert (tmp_path / "expected.tar").read_bytes() == (tmp_path / "made.tar").read_bytes()


def test_a_name_that_does_not_fit_is_refused(tmp_path):
    """Nothing is cut off in silence."""
    with pytest.raises(StorageError, match="up to 100 bytes"):
        write_tar(tmp_path / "made.tar", [("n" * 101, b"")])


def test_members_are_found_by_their_headers(tmp_path):
    """Each with its name and its bytes, which may be read or not."""
    members = [
        (f"{number:09d}.é.jpg", bytes([number]) * size) for number, size in enumerate([0, 1, 512, 9216])
    ]
    write_tar(tmp_path / "made.tar", members)
    with (tmp_path / "made.tar").open("rb") as file:
        skipped = [name for name, _, _ in iterate_headers(file)]
        read = [(name, file.read(size).rstrip(b"\0")) for name, _, size in iterate_headers(file)]

    assert [name for name, _ in members] == skipped
    assert [(name, data.rstrip(b"\0")) for name, data in members] == read


def test_a_tar_of_another_format_is_refused(tmp_path):
    """What is not written by this project is not guessed at."""
    with tarfile.open(tmp_path / "made.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("n" * 200))

    with (
        (tmp_path / "made.tar").open("rb") as file,
        pytest.raises(DamagedArchiveError, match="its byte 0 begins"),
    ):
        list(iterate_headers(file))
