"""Lists that strangers wrote: what a row says can lead nowhere but where its list lies."""

import gzip
import io
import os
import resource
import shutil
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.errors import ListError
from pipelines.fetch.stages import FetchImages
from pipelines.source.registry import find_origins
from pipelines.source.wit import COLUMNS as WIT
from schemas.dataset import Dataset, Fetch

COLUMNS = {"url": pa.string(), "caption": pa.string(), "key": pa.string(), "status": pa.string()}


@pytest.fixture
def private(tmp_path):
    """A picture that no list lies beside."""
    (tmp_path / "private").mkdir()
    Image.new("RGB", (80, 80), "red").save(tmp_path / "private" / "holiday.jpg")
    return tmp_path / "private" / "holiday.jpg"


@pytest.fixture
def shards(tmp_path):
    """Write a folder of img2dataset with these rows: url, key."""

    def write(*rows):
        folder = tmp_path / "foreign"
        folder.mkdir()
        columns = [[url for url, _ in rows], ["a"] * len(rows), [key for _, key in rows]]
        table = pa.table([*columns, ["success"] * len(rows)], schema=pa.schema(list(COLUMNS.items())))
        pq.write_table(table, folder / "00000.parquet")
        with tarfile.open(folder / "00000.tar", "w"):
            pass
        return folder

    return write


def fetched(sources, rows):
    """Fetch rows (source, url, media_url) as a build of these sources would; return their outcomes."""
    origins = find_origins(Dataset(name="test", root="/nowhere", sources=sources))
    work = FetchImages(Fetch(timeout_s=5, retries=0), "me@example.org", origins=origins).open()
    source, url, media_url = (list(column) for column in zip(*rows, strict=True))
    batch = {"source": source, "url": url, "media_url": media_url}
    done = work(batch | {"outcome": ["ok"] * len(rows), "reason": [""] * len(rows)})
    work.close()
    return list(zip(done["outcome"], done["reason"], strict=True))


@pytest.mark.parametrize("key", [None, "", "../x", "a#b", "k" * 65, "00000\x1b", "a/b"])
def test_a_row_without_a_key_is_a_reject(plan, shards, private, key):
    """Its own URL would else be taken for a place of the folder."""
    folder = shards((private.as_uri(), key), ("http://a.example/1.jpg", "000000001"))
    done = plan({"kind": "img2dataset", "list": str(folder)})

    assert ({"key": 1}, 1) == (done.counts.reject_reasons, done.counts.candidates)
    assert [f"{(folder / '00000.tar').as_uri()}#000000001.jpg"] == done.column("media_url")


@pytest.mark.parametrize("kind", ["img2dataset", "folder"])
@pytest.mark.parametrize(
    "form",
    [
        "file://{0}",
        "{1}/../private/holiday.jpg",
        "{1}/%2e%2e/private/holiday.jpg",
        "{1}/link.jpg",
        "FILE://{0}",
        "tar://{0}",
        "{1}x/holiday.jpg",
        "{1}/fifo.jpg",
        "file:///dev/zero",
        "{1}/zero.jpg",
    ],
)
def test_a_local_place_lies_below_the_folder_of_its_list(tmp_path, private, kind, form):
    """However it is written, and wherever links lead; the other files of the folder are read."""
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(private, folder / "own.jpg")
    (folder / "link.jpg").symlink_to(private)
    (folder / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo.jpg")
    shutil.copytree(private.parent, f"{folder}x")
    hostile, own = form.format(private, folder.as_uri()), f"{folder.as_uri()}/own.jpg"
    outcomes = fetched([{"kind": kind, "list": str(folder)}], [(kind, u, u) for u in (hostile, own)])

    link = ("blocked", "link_out")
    assert outcomes[0] in (
        {link} if "link" in form or "1}/zero" in form else {("invalid", "bad_url"), ("dead", "no_such_file")}
    )
    assert ("ok", "") == outcomes[1]


def test_a_list_of_another_kind_reads_no_file(tmp_path, private):
    """Nor does a kind that the dataset does not name, nor one whose template leads elsewhere."""
    (tmp_path / "album").mkdir()
    url = private.as_uri()
    sources = [
        {"kind": "folder", "list": str(tmp_path / "album")},
        {"kind": "vggsound", "list": "x.csv", "media": "file:///mirror/{youtube_id}.mp4"},
    ]
    rows = [(kind, "http://127.0.0.1/", url) for kind in ("cc3m", "img2dataset", "folder", "vggsound", "wit")]

    assert {("invalid", "bad_url")} == set(fetched(sources, rows))


def test_links_and_special_files_of_a_folder(plan, private, tmp_path):
    """A link that leads out is a reject, and so is a FIFO, which would wait for ever."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("own.jpg", "leak.jpg", "pipe.jpg"):
        shutil.copy(private, folder / name)
    (private.parent / "id_rsa").write_text("PRIVATE KEY")
    (folder / "leak.txt").symlink_to(private.parent / "id_rsa")
    os.mkfifo(folder / "pipe.txt")
    os.mkfifo(folder / "fifo.wav")
    (folder / "out.jpg").symlink_to(private)
    (folder / "endless.jpg").symlink_to("/dev/zero")
    (folder / "inside.jpg").symlink_to("own.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    done = plan({"kind": "folder", "list": str(folder)})

    assert {"link_out": 3, "special_file": 2} == done.counts.reject_reasons
    assert {"gone", "inside", "own"} == set(done.column("caption"))
    assert not any("PRIVATE" in row["text"] for row in done.rows("rejects"))


@pytest.mark.parametrize("name", ["00000.parquet", "00000.tar"])
@pytest.mark.parametrize("how", ["fifo", "device", "link", "bomb"])
def test_a_hostile_shard_of_img2dataset(plan, shards, tmp_path, name, how):
    """Neither a file that never ends, nor one of another folder, nor one that fills memory is read."""
    folder = shards(("http://a.example/1.jpg", "000000001"))
    file = folder / name
    shutil.move(file, tmp_path / name)
    if how == "fifo":
        os.mkfifo(file)
    elif how == "bomb":
        rows = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 2**20]))
        table = pa.table({"url": rows, "caption": rows, "key": rows, "status": rows})
        pq.write_table(table, file, compression="zstd", store_schema=False, dictionary_pagesize_limit=2**22)
    else:
        file.symlink_to("/dev/zero" if how == "device" else tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ListError, match=r"is no file of that folder|is no shard|cannot be read"):
        plan({"kind": "img2dataset", "list": str(folder)})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_a_long_caption_is_a_reject_and_is_not_read(plan, private, tmp_path):
    """In a folder, a zip and a packed tar: 600 MB of text take no memory."""
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(private, folder / "bell.jpg")
    with (folder / "bell.txt").open("wb") as sparse:
        sparse.truncate(600 * 10**6)
    with zipfile.ZipFile(tmp_path / "album.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(private, "bell.jpg")
        packed.writestr("bell.txt", b"a" * 2 * 10**8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loose, zipped = (
        plan({"kind": "folder", "list": str(tmp_path / name)}) for name in ("album", "album.zip")
    )

    assert {"long_caption": 1} == loose.counts.reject_reasons == zipped.counts.reject_reasons
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_every_long_field_is_a_reject(plan, written):
    """A language of a megabyte would be a line of every page."""
    rows = [("x" * 400, "a"), ("en", "b" * 40_000), ("en", "c")]
    lines = [f"{page}\thttp://a.example/\thttp://b.example/{number}.jpg\t\t\t\t{caption}" + "\t" * 10
             for number, (page, caption) in enumerate(rows)]  # fmt: skip
    done = plan({"kind": "wit", "list": written("wit.tsv", "\n".join(["\t".join(WIT), *lines]) + "\n")})

    assert {"long_field": 1, "long_caption": 1} == done.counts.reject_reasons
    assert ["c"] == done.column("caption")


def test_a_packed_list_is_read_block_by_block(plan, tmp_path):
    """A gzip of 200 MB of one letter is one record that is too long, and never in memory."""
    path = tmp_path / "list.tsv.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(b"a bell\thttp://a.example/1.jpg\n")
        for _ in range(50):
            packed.write(b"a" * 4 * 10**6)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = plan({"kind": "cc3m", "list": str(path)})

    assert {"too_long": 1} == done.counts.reject_reasons
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000


def test_an_archive_that_unpacks_to_far_more_is_damaged(plan, private, tmp_path):
    """A zip of many members, and a packed tar, which must be unpacked to be listed."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.write(private, "bell.jpg")
        for number in range(8):
            packed.writestr(f"{number}.wav", bytes(5 * 10**7))
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz", compresslevel=1) as packed:
        info = tarfile.TarInfo("bell.wav")
        info.size = 4 * 10**8
        packed.addfile(info, io.BytesIO(bytes(info.size)))
    for name in ("bomb.zip", "bomb.tar.gz"):
        with pytest.raises(ListError, match="is damaged or cut off"):
            plan({"kind": "folder", "list": str(tmp_path / name)})
