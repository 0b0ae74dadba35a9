"""Files of a root that promise more than they have: refused before they are in memory."""

import io
import json
import resource
import struct
import tarfile
import time
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DamagedArchiveError, StorageError
from pipelines.index.file_check import check_index_file
from pipelines.lookup.media import MediaReader
from pipelines.report.media import read_members
from pipelines.store import parquet_file
from pipelines.store.json_file import MAX_BYTES, read_json, read_mapping
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_media
from pipelines.store.untrusted_tar import iterate_infos, read_member
from schemas.version import Version

BLOCK = 512


@pytest.fixture
def root(tmp_path):
    return Root.from_url(str(tmp_path))


@pytest.fixture(autouse=True)
def small_and_quick():
    """No attack takes 300 MB or ten seconds of a core."""
    used_kb, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used_kb < 300_000
    assert time.process_time() - began < 10


def header(name=b"0000000.jpg", size=b"00000001000\0", kind=b"0"):
    """Return the header of a member with a right checksum, whatever it says."""
    made = bytearray(BLOCK)
    made[: len(name)], made[100:108] = name, b"0000444\0"
    made[124 : 124 + len(size)], made[156:157], made[257:265] = size, kind, b"ustar\00000"
    made[148:156] = b"%06o\0 " % (sum(made) + 8 * 32)
    return bytes(made)


TARS = {
    "negative": header(size=b"-0000001000\0") + bytes(BLOCK),
    "negative-binary": header(size=b"\xff" * 11 + b"\0") + bytes(BLOCK),
    "negative-long-name": header(size=b"-0000001000\0", kind=b"L") + bytes(BLOCK),
    "larger-than-the-file": header(size=b"77777777777\0") + bytes(BLOCK),
    "huge-binary": header(size=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7) + bytes(BLOCK),
    "long-name-of-8-GB": header(size=b"77777777777\0", kind=b"L") + bytes(BLOCK),
    "pax-of-8-GB": header(size=b"77777777777\0", kind=b"x") + bytes(BLOCK),
    "chain-of-long-names": (header(size=b"00000001000\0", kind=b"L") + b"n" * BLOCK) * 5000,
    "chain-of-pax": (header(size=b"00000000006\0", kind=b"x") + b"6 a=b\n".ljust(BLOCK, b"\0")) * 5000,
    "no-number": header(size=b"zzzzzzzzzzz\0") + bytes(BLOCK),
    "link": header(kind=b"2", size=b"00000000000\0"),
    "device": header(kind=b"3", size=b"00000000000\0"),
    "sparse": header(kind=b"S") + bytes(BLOCK),
    "empty": b"",
    "text": b"hello" * 300,
}


@pytest.mark.parametrize("name", TARS)
def test_a_hostile_tar_ends(root, name):
    """In every reader of tars: an error or no members, never the same header for ever."""
    root.write("media/00000.tar", TARS[name] + bytes(2 * BLOCK))
    columns = {"key": ["0000000"], "outcome": ["ok"], "reason": [""], "caption": ["a"], "kind": ["image"]}
    columns |= {"id": ["i"], "source": ["folder"], "width": pa.array([1], pa.int32())}
    columns |= {"length_s": pa.array([None], pa.float64())}
    root.write_table("media/00000.parquet", pa.table(columns))
    shard = Shard(0, "image", "local", 1)
    with pytest.raises(StorageError, match=r"00000\.tar"):
        list(read_media(root, shard, 10))
    for read in (
        lambda: read_members(root, 0, ["0000000"]),
        lambda: MediaReader(rows_of(root))._read_index(shard),
    ):
        with suppress(StorageError):
            assert len(read()) < 2


def rows_of(root):
    class Rows:
        pass

    rows = Rows()
    rows.root = root
    return rows


def test_a_member_has_a_most(tmp_path):
    """A picture of a gigabyte is not read, nor are more members than a tar may have."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(3):
            tar.addfile(tarfile.TarInfo(f"{number}.jpg"))
        info = tarfile.TarInfo("3.jpg")
        info.size = 2000
        tar.addfile(info, io.BytesIO(bytes(2000)))
    with (tmp_path / "a.tar").open("rb") as file:
        infos = list(iterate_infos(file))
        with pytest.raises(DamagedArchiveError, match="has 2,000 bytes"):
            read_member(file, infos[3], 1000)
        file.seek(0)
        with pytest.raises(DamagedArchiveError, match="more than 2 members"):
            list(iterate_infos(file, max_members=2))

    assert ["0.jpg", "1.jpg", "2.jpg", "3.jpg"] == [info.name for info in infos]


def bomb(path, columns, **how):
    pq.write_table(pa.table(columns), path, compression="zstd", **how)


def test_a_text_that_is_repeated_is_counted_before_it_is_read(root, tmp_path):
    """100 kB of Parquet, of which each row is one megabyte of the dictionary: 20 GB."""
    (tmp_path / "candidates").mkdir()
    rows = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), pa.array(["x" * 2**20]))
    bomb(
        tmp_path / "candidates" / "00000.parquet",
        {"caption": rows},
        store_schema=False,
        dictionary_pagesize_limit=2**22,
    )
    with pytest.raises(StorageError, match=r"it takes 20,000 MiB in memory and 512 are the most"):
        root.read_table("candidates/00000.parquet", ["caption"])

    assert (tmp_path / "candidates" / "00000.parquet").stat().st_size < 10**6


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.nulls(10_000, pa.list_(pa.float16(), 2000)), "38 MiB"),
        (pa.array(["short"] * 40_000), None),
        (pa.array([["a"]] * 10), "is of list"),
        (pa.array([{"a": 1}] * 10), "is of struct"),
    ],
    ids=["wide-nulls", "many-short", "lists", "structs"],
)
def test_what_a_column_takes_is_known_from_the_footer(root, tmp_path, monkeypatch, column, said):
    """Lists of null, of which a row takes as much as any; short texts pass, however many."""
    monkeypatch.setattr(parquet_file, "MAX_BYTES", 2**24)
    bomb(tmp_path / "x.parquet", {"surprise": column})
    if said is None:
        assert len(column) == root.read_table("x.parquet").num_rows
        return
    with pytest.raises(StorageError, match=said):
        root.read_table("x.parquet")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"PAR1" + b"\xff" * 20 + struct.pack("<I", 2**31 - 1) + b"PAR1",
        b"PAR1" + bytes(99) + b"PAR1",
    ],
    ids=["empty", "head", "long-footer", "zeros"],
)
def test_a_damaged_footer(root, data):
    """As a disk may leave it, or a stranger."""
    root.write("x.parquet", data)
    with pytest.raises(StorageError, match=r"x\.parquet|cannot be read"):
        root.read_table("x.parquet")


JSONS = {
    "deep": b"[" * 100_000,
    "deep-mapping": b'{"number":' * 50_000,
    "large": b"[" + b"0," * MAX_BYTES + b"0]",
    "long-number": b'{"number": ' + b"9" * 100_000 + b"}",
    "not-utf8": b'{"name": "\xff\xfe"}',
    "nan": b'{"number": NaN}',
    "list": b"[]",
    "word": b'"x"',
    "nothing": b"",
}


@pytest.mark.parametrize("name", JSONS)
def test_a_hostile_json_file(root, name):
    """Too large, too deep, or something else: one sentence that names the file."""
    root.write("versions/0001.json", JSONS[name])
    with pytest.raises(StorageError, match=r"versions/0001\.json (is damaged|has more than)") as caught:
        read_json(root, "versions/0001.json", Version, "put it back")
    if name not in {"nan", "long-number"}:
        with pytest.raises(StorageError, match=r"0001\.json"):
            read_mapping(root, "versions/0001.json", "put it back")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def write_faiss(path, factory="IVF4,SQfp16"):
    """Write a real index of 16 dimensions and 300 rows; return its bytes."""
    import faiss

    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    index = faiss.index_factory(16, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add_with_ids(vectors, np.arange(300))
    faiss.write_index(index, str(path))
    return path.read_bytes()


@pytest.mark.parametrize("factory", ["IDMap2,Flat", "IVF4,SQfp16", "OPQ4,IVF4,PQ4np"])
def test_ours_pass_and_every_cut_is_a_sentence(tmp_path, factory):
    """Of the three kinds of index that we build; and no damaged length reaches FAISS."""
    path = tmp_path / "x.faiss"
    data = write_faiss(path, factory)
    check_index_file(path, 16, "x.faiss")
    rng = np.random.default_rng(1)
    # Not the last arrays: codes and ids may be anything.
    for cut in rng.integers(0, len(data), 60).tolist():
        path.write_bytes(data[:cut])
        with pytest.raises(StorageError, match=r"x\.faiss is no index that Echolens builds"):
            check_index_file(path, 16, "x.faiss")
    for field in (4, 12):  # its dimensions and its rows
        path.write_bytes(data[:field] + b"\x7f" * 8 + data[field + 8 :])
        with pytest.raises(StorageError, match=r"x\.faiss is no index"):
            check_index_file(path, 16, "x.faiss")


def test_an_index_that_names_another_file_is_not_opened(tmp_path, monkeypatch):
    """Inverted lists on disk: FAISS would map the named file, to be read and written."""
    import faiss

    from pipelines.index import files
    from schemas.index_card import IndexCard
    from tests.fuzz.fuzzed_root import KEPT

    victim = tmp_path / "victim"
    victim.write_bytes(bytes(10**6))
    write_faiss(tmp_path / "x.faiss", "IVF4,SQfp16")
    index = faiss.read_index(str(tmp_path / "x.faiss"))
    lists = faiss.OnDiskInvertedLists(4, index.code_size, str(victim))
    lists.merge_from_1(index.invlists)
    index.replace_invlists(lists)
    root = Root.from_url(str(tmp_path))
    faiss.write_index(index, str(tmp_path / "evil.faiss"))
    assert str(victim).encode() in root.read("evil.faiss")
    before = victim.read_bytes()
    card = json.loads((KEPT / "indices" / "main" / "0002" / "clip_text.json").read_text())
    card["space"]["dims"], card["bytes"] = 16, root.get_size("evil.faiss")
    monkeypatch.setattr(faiss, "read_index", lambda *_: pytest.fail("FAISS opened it"))
    with pytest.raises(StorageError, match="its lists are b'ilod'"):
        files.map_index(root, "evil.faiss", IndexCard.model_validate(card))
    assert before == victim.read_bytes()


def test_other_kinds_of_index_are_not_opened(tmp_path):
    """A graph, or an index within an index within an index."""
    import faiss

    path = tmp_path / "x.faiss"
    faiss.write_index(faiss.index_factory(16, "HNSW8"), str(path))
    with pytest.raises(StorageError, match="begins with b'IHN"):
        check_index_file(path, 16, "x.faiss")
    index = faiss.IndexFlatIP(16)
    for _ in range(9):
        index = faiss.IndexIDMap(index)
    faiss.write_index(index, str(path))
    with pytest.raises(StorageError, match="nested too deeply"):
        check_index_file(path, 16, "x.faiss")
    faiss.write_index(faiss.IndexFlatIP(8), str(path))
    with pytest.raises(StorageError, match="of 8 dimensions"):
        check_index_file(path, 16, "x.faiss")
