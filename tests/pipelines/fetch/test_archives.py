import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile

from pipelines.errors import ConfigError, UnreadableMediaError
from pipelines.fetch import archives, files
from pipelines.fetch.stages import FetchClips
from pipelines.source.checks import check_sources
from schemas.dataset import Dataset, Fetch
from tests.origins import ORIGINS

NAMES = ("a b.flac", "./inner/-x 'é'.flac", "empty.flac")


def sound(seed):
    """A second of noise as FLAC, that no packing makes smaller."""
    file = io.BytesIO()
    wave_T = np.random.default_rng(seed).uniform(-0.5, 0.5, 16_000)
    soundfile.write(file, wave_T, 16_000, format="FLAC")
    return file.getvalue()


def packed(path, members):
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """The same members in a folder and in one archive of each kind."""
    folder = tmp_path_factory.mktemp("mirror")
    members = {name: sound(number) for number, name in enumerate(NAMES[:2])} | {NAMES[2]: b""}
    for name, data in members.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    for suffix in archives.SUFFIXES:
        packed(folder / f"m{suffix}", members)
    return folder


@pytest.fixture(scope="module")
def work():
    """The opened stage."""
    work = FetchClips(Fetch(), origins=ORIGINS).open()
    yield work
    work.close()


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
@pytest.mark.parametrize("scheme", ["file", "tar"])
def test_a_mirror_in_an_archive_gives_what_its_folder_gives(work, asking, mirror, suffix, scheme):
    """Every column, and the outcomes of what is empty or not there."""
    names = ("a b.flac", "inner/-x 'é'.flac", "empty.flac", "nothing.flac")
    archive = f"{scheme}://{mirror}/m{suffix}"
    rows = {"source": "vggsound", "url": "https://youtu.be/x", "start_s": 30.0, "length_s": 2.0}
    loose = work(asking(*[f"file://{mirror}/{name}" for name in names], **rows))
    inside = work(asking(*[f"{archive}#{name}" for name in names], **rows))

    assert loose | {"media_url": inside["media_url"]} == inside
    assert ["", "", "empty", "no_such_file"] == inside["reason"]


def test_any_of_several_archives(mirror, tmp_path):
    """A mirror in twenty parts is named by one template; nobody need know what lies in which."""
    for part in range(3):
        packed(tmp_path / f"vggsound_{part:02d}.tar.gz", {f"x{part}_000030.mp4": sound(part)})
    place = files.parse_location(f"tar://{tmp_path}/vggsound_*.tar.gz#x2_000030.mp4")

    assert sound(2) == files.read(place, 10**6)


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_packed_tar_is_read_from_the_middle():
    """Once it is listed, a member costs what lies between it and the checkpoint before it, not the whole."""
    whole = np.random.default_rng(0).bytes(40 << 20)
    file = Counting(gzip.compress(whole[: 20 << 20], 1) + bytes(512) + gzip.compress(whole[20 << 20 :], 1))
    listed = archives.SeekableGzip(file, archives.GzipCheckpoints())
    while listed.read(1 << 20):
        pass
    assert len(whole) == listed.tell()
    for start in (39 << 20, 5, 21 << 20, 19 << 20):
        file.taken = 0
        reading = archives.SeekableGzip(file, listed.checkpoints)
        reading.seek(start)

        assert whole[start : start + 100_000] == reading.read(100_000)
        assert file.taken < 10 << 20


def test_an_archive_is_listed_once(mirror):
    """However many of its members are asked for; one that was written anew is listed again."""
    url = f"file://{mirror}/m.tar.gz#a b.flac"
    files.read(files.parse_location(url), 10**6)
    before = archives._list.cache_info().misses
    for _ in range(3):
        files.read(files.parse_location(url), 10**6)
    assert before == archives._list.cache_info().misses
    packed(mirror / "m.tar.gz", {"a b.flac": sound(7)})

    assert sound(7) == files.read(files.parse_location(url), 10**6)


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_an_archive_without_its_end(tmp_path, suffix):
    """It has an outcome, whichever member is asked for."""
    archive = packed(tmp_path / f"m{suffix}", {"a.flac": sound(0), "b.flac": sound(1)})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])

    with pytest.raises(UnreadableMediaError, match="invalid/truncated"):
        files.read(files.parse_location(f"file://{archive}#b.flac"), 10**6)


def test_the_byte_limit_holds_for_members(mirror):
    """A member past it is not unpacked."""
    with pytest.raises(UnreadableMediaError, match="invalid/too_many_bytes"):
        files.read(files.parse_location(f"zip://{mirror}/m.zip#a b.flac"), 1000)


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_an_archive_on_the_web_is_refused_before_anything_is_asked(suffix):
    """Each clip would cost the whole of it."""
    source = {
        "kind": "vggsound",
        "list": "v.csv",
        "media": f"https://example.org/m{suffix}#{{youtube_id}}.mp4",
    }
    file = {"name": "a", "root": "r", "contact": "you@example.org", "sources": [source]}

    with pytest.raises(ConfigError, match="download it once and name it with file:///"):
        check_sources(Dataset.model_validate(file))
