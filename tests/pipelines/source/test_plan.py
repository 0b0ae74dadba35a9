import os
from pathlib import Path

import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.miniature.lists import write_lists
from pipelines.source.plan import make_plan, preview
from pipelines.store.root import Root
from schemas.candidate import CANDIDATE, FILTERED, REJECT, SHARD
from schemas.dataset import Dataset

HOME = Path(__file__).parents[3]
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n"


def dataset(root, *sources, **keys):
    return Dataset(name="test", root=str(root), sources=sources, **keys)


def test_tables_are_the_schemas(plan, written, cc):
    """Every table has exactly the columns, types and metadata of its schema."""
    done = plan({"kind": "cc3m", "list": written("c.gz", cc(200))})
    read = done.root.read_table

    assert CANDIDATE.equals(read("candidates/00000.parquet").schema, check_metadata=True)
    assert FILTERED.equals(read("plan/filtered.parquet").schema, check_metadata=True)
    assert REJECT.equals(read("plan/rejects.parquet").schema, check_metadata=True)
    assert SHARD.equals(read("plan/shards.parquet").schema, check_metadata=True)


@pytest.mark.parametrize("keys", [{"threads": 1}, {"threads": 4}, {"memory": "200MiB"}], ids=str)
def test_the_same_bytes_on_any_machine(plan, written, keys, cc, bytes_of):
    """Threads and memory change nothing in what is written."""
    sources = [
        {"kind": "cc3m", "list": written("c.gz", cc(30_000, compresslevel=1))},
        {"kind": "cc12m", "list": written("d.tsv", "http://a.example/1\t\n" * 30)},
    ]

    assert bytes_of(plan(*sources).root) == bytes_of(plan(*sources, **keys).root)


def test_a_plan_that_is_there_is_found(plan, written, cc, bytes_of):
    """A second call reads no list."""
    path = written("c.gz", cc(300))
    done = plan({"kind": "cc3m", "list": path})
    there = bytes_of(done.root)
    Path(path).unlink()

    assert done.counts == make_plan(dataset(done.root.url, {"kind": "cc3m", "list": path}), done.root)
    assert there == bytes_of(done.root)


def test_preview_writes_nothing(plan, written, tmp_path, cc):
    """A preview counts what the plan would, and leaves no trace."""
    source = {"kind": "cc3m", "list": written("c.gz", cc(300))}
    counts = preview(dataset(tmp_path / "elsewhere", source))

    assert not (tmp_path / "elsewhere").exists()
    assert counts == plan(source).counts


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param({"kind": "cc3m", "list": "/nowhere/list.tsv"}, ListError, id="missing"),
        pytest.param({"kind": "vggsound", "list": "b.csv", "labels": ["cat"]}, ConfigError, id="label"),
        pytest.param(
            {"kind": "vggsound", "list": "b.csv", "media": "file:///{x}"}, ConfigError, id="template"
        ),
        pytest.param({"kind": "cc3m", "list": "cut.gz"}, ListError, id="cut-off"),
    ],
)
def test_an_error_leaves_nothing(plan, written, tmp_path, source, error, cc):
    """An error of the second list is one sentence, before anything is written."""
    written("b.csv", "abcdefghijk,1,dog,train\n")
    written("cut.gz", cc(20_000)[:-1000])
    good = {"kind": "cc3m", "list": written("c.gz", cc(300))}
    bad = source | {"list": str(tmp_path / source["list"])}

    with pytest.raises(error) as caught:
        plan(good, bad)

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root-0").exists()


# Of 600 rows, as `pipelines/miniature/rows.py` mixes them.
WORLD = {
    # rows read, rejects, duplicates, filtered
    "wit": (270, {"columns": 3, "encoding": 1, "no_url": 1}, 4, {"language": 168, "no_caption": 4}),
    "cc3m": (120, {"columns": 2, "encoding": 1, "no_url": 1}, 2, {}),
    "cc12m": (120, {"columns": 2, "encoding": 1, "no_url": 1}, 2, {}),
    "audiocaps": (48, {"columns": 2, "encoding": 1, "number": 2}, 3, {}),
    "vggsound": (42, {"columns": 2, "number": 1}, 1, {"split": 6}),
}


def test_the_miniature_world(plan, tmp_path):
    """The five lists of the world hold what was planted there, oddity by oddity."""
    more = {"wit": {"languages": ["en"]}, "vggsound": {"split": "train"}, "audiocaps": {"take": "text"}}
    lists = write_lists(tmp_path / "lists", "http://127.0.0.1:8000", 600, 0)
    done = plan(*({"kind": kind, "list": str(lists[kind])} | more.get(kind, {}) for kind in WORLD))

    assert WORLD == {
        source.kind: (source.rows_read, source.reject_reasons, source.duplicates, source.filtered)
        for source in done.counts.sources
    }
    assert {"image", "clip", "text"} == set(done.column("kind"))


def test_on_an_object_store(written, cc):
    """A root may be any URL; here one in the memory of the process."""
    from pipelines.source.database import DatabaseSize
    from pipelines.source.plan import _plan

    wanted = dataset(
        "memory://bucket/root", {"kind": "cc3m", "list": written("c.gz", cc(300))}, shard_rows=100
    )
    root = Root.from_url(wanted.root)
    scratch = Path(written("scratch/x", b"")).parent
    counts = _plan(scratch, lambda *said: None, wanted, root, DatabaseSize())

    assert counts.shards == len(root.list_names("candidates", ".parquet"))


def test_img2dataset_reads_the_candidates(plan, written, tmp_path, cc):
    """img2dataset's own reader takes candidates/ as a list of URLs, with the plan's shards as its shards."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import pyarrow.feather
    from img2dataset.reader import Reader

    done = plan({"kind": "cc3m", "list": written("c.gz", cc(1000))}, shard_rows=100)
    extra = [name for name in CANDIDATE.names if name not in ("url", "caption")]
    folder = tmp_path / "feather"
    folder.mkdir()
    reader = Reader(
        str(tmp_path / "root-0" / "candidates"),
        "parquet",
        "url",
        "caption",
        None,
        None,
        extra,
        100,
        set(),
        str(folder),
    )
    shards = dict(reader)

    assert list(range(len(done.shards))) == list(shards)
    assert done.shards == [
        pyarrow.feather.read_table(path).select(CANDIDATE.names).to_pylist() for path in shards.values()
    ]


def test_headers_for_a_host_that_no_url_has_are_said(plan, written):
    """A host without a scheme is https at port 443, but for this machine."""
    urls = ["https://a.example/1.jpg", "HTTPS://B.example:443/2.jpg", "http://127.0.0.1:9017/3.jpg"]
    urls += ["http://c.example:8080/4.jpg", "https://b\u00fccher.example/5.jpg"]
    fits = ["a.example", "b.example", "127.0.0.1:9017", "http://c.example:8080", "xn--bcher-kva.example"]
    others = ["http://a.example", "127.0.0.1", "c.example:8080", "example", "https://a.example:444"]
    headers = {host: {"Authorization": "Bearer $TOK"} for host in [*fits, *others]}
    place = written("a.csv", "url\n" + "\n".join(urls))
    counts = plan({"kind": "table", "list": place}, contact="me@a.example", fetch={"headers": headers}).counts

    assert tuple(others) == counts.asked.not_named
    assert "http://a.example fits no URL of the lists" in counts.warnings[0]
