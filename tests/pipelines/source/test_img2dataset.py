import io
import os
import subprocess
import sys
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.errors import ListError


def shard(folder, name, rows, extension="jpg"):
    """Write a shard as img2dataset does: rows are (url, caption, status)."""
    folder.mkdir(exist_ok=True)
    keys = [f"{name}{number:04d}" for number in range(len(rows))]
    table = pa.table(
        {
            "caption": pa.array([caption for _, caption, _ in rows], pa.string()),
            "url": [url for url, _, _ in rows],
            "key": keys,
            "status": [status for _, _, status in rows],
            "error_message": [None if status == "success" else "HTTP Error 404" for _, _, status in rows],
            "width": pa.array([256] * len(rows), pa.int32()),
        }
    )
    pq.write_table(table, folder / f"{name}.parquet")
    with tarfile.open(folder / f"{name}.tar", "w") as tar:
        for key, (_, _, status) in zip(keys, rows, strict=True):
            for member in ("json", extension, "txt") if status == "success" else ():
                info = tarfile.TarInfo(f"{key}.{member}")
                info.size = 2
                tar.addfile(info, io.BytesIO(b"{}"))


@pytest.fixture
def dataset(tmp_path):
    """Two shards, of which the first has no picture at all."""
    folder = tmp_path / "cc"
    shard(folder, "00000", [("http://a.example/0", "gone", "failed_to_download")])
    rows = [
        ("http://a.example/1", "a bell", "success"),
        ("http://a.example/2", None, "success"),
        ("http://a.example/3", "too large", "failed_to_resize"),
        (None, "no address", "success"),
    ]
    shard(folder, "00001", rows, "webp")
    (folder / "00001_stats.json").write_text("{}")
    return folder


def test_rows_of_the_folder(plan, dataset):
    """A picture is named by its tar and member, and keeps the key it had; what is not there is filtered."""
    done = plan({"kind": "img2dataset", "list": str(dataset)})
    tar = (dataset / "00001.tar").as_uri()

    assert [("http://a.example/1", f"{tar}#000010000.webp", "000010000", "local", "image")] == [
        tuple(row[name] for name in ("url", "media_url", "source_key", "lane", "kind"))
        for row in done.candidates
    ]
    assert {"no_media": 2, "no_caption": 1} == done.counts.filtered
    assert {"no_url": 1} == done.counts.reject_reasons
    assert 5 == done.counts.rows_read


def test_captions_alone(plan, dataset):
    """A caption needs no picture."""
    done = plan({"kind": "img2dataset", "list": str(dataset), "take": "text"})

    assert ["gone", "a bell", "too large"] == done.column("caption")
    assert {"text"} == set(done.column("kind"))


def test_what_the_folder_lacks_may_come_from_a_list(plan, dataset, written):
    """A row that the folder rules out does not hide the same row of a list that would fetch it."""
    path = written("list.tsv", "gone\thttp://a.example/0\na bell\thttp://a.example/1\n")
    done = plan({"kind": "img2dataset", "list": str(dataset)}, {"kind": "cc3m", "list": path})

    assert [("img2dataset", "a bell"), ("cc3m", "gone")] == [
        (row["source"], row["caption"]) for row in done.candidates
    ]
    assert [1, 1] == [source.duplicates for source in done.counts.sources]


def test_no_caption_column(plan, dataset):
    """A folder fetched without captions has candidates without captions."""
    for name in ("00000", "00001"):
        table = pq.read_table(dataset / f"{name}.parquet").drop_columns("caption")
        pq.write_table(table, dataset / f"{name}.parquet")
    done = plan({"kind": "img2dataset", "list": str(dataset)})

    assert {"no_media": 2, "no_caption": 2} == done.counts.filtered


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda folder: (folder / "00001.tar").unlink(), "without 00001.tar; copy both", id="no-tar"
        ),
        pytest.param(
            lambda folder: (folder / "00001.tar").write_bytes(b"x" * 600), "cannot be read", id="bad-tar"
        ),
        pytest.param(
            lambda folder: (folder / "00001.parquet").write_bytes(b""), "no shard", id="bad-parquet"
        ),
        pytest.param(
            lambda folder: pq.write_table(pa.table({"x": [1]}), folder / "00001.parquet"),
            "no shard",
            id="others",
        ),
        pytest.param(
            lambda folder: [path.unlink() for path in folder.iterdir()], "has no NNNNN.parquet", id="empty"
        ),
        pytest.param(lambda folder: folder.rename(folder.with_name("dd")), "cannot be read", id="missing"),
    ],
)
def test_damaged_folder(plan, dataset, damage, message):
    """A folder that is not whole is refused."""
    damage(dataset)
    with pytest.raises(ListError, match=message):
        plan({"kind": "img2dataset", "list": str(dataset)})


@pytest.mark.slow
def test_a_folder_that_img2dataset_wrote(plan, tmp_path):
    """The real thing: img2dataset fetches from a server, and its folder is a source."""
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (80, 80, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.jpg")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *of: Quiet(*of, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        lines = "".join(f"{base}/{number}.jpg\tpicture {number}\n" for number in range(4))
        (tmp_path / "list.tsv").write_text("url\tcaption\n" + lines)
        keys = ("url_list", "input_format", "url_col", "caption_col", "output_format", "output_folder")
        values = (tmp_path / "list.tsv", "tsv", "url", "caption", "webdataset", tmp_path / "out")
        command = [f"--{key}={value}" for key, value in zip(keys, values, strict=True)]
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from img2dataset.main import main; main()",
                *command,
                "--processes_count=1",
            ],
            check=True,
            env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"},
        )
        server.shutdown()
    done = plan({"kind": "img2dataset", "list": str(tmp_path / "out")})

    assert ["picture 0", "picture 1", "picture 2"] == sorted(done.column("caption"))
    assert {"no_media": 1} == done.counts.filtered
    with tarfile.open(tmp_path / "out" / "00000.tar") as tar:
        assert {url.partition("#")[2] for url in done.column("media_url")} <= set(tar.getnames())


@pytest.mark.parametrize(
    ("output_format", "message"),
    [
        (
            "files",
            "output_format=files, and what can be read is webdataset, .* and files, .*; say kind: folder",
        ),
        (
            "tfrecord",
            "output_format=tfrecord, and what can be read is webdataset, .*write it again as one of",
        ),
        ("parquet", "output_format=parquet, and what can be read is webdataset, .*write it again as one of"),
        ("lost", r"has 00001\.parquet without 00001\.tar; copy both"),
    ],
)
def test_another_output_format_is_named(plan, dataset, output_format, message):
    """What lies there in place of a tar says which; one sentence says what can be read."""
    (dataset / "00001.tar").unlink()
    if output_format == "files":
        (dataset / "00001").mkdir()
    elif output_format == "tfrecord":
        (dataset / "00001.tfrecord").write_bytes(b"")
    elif output_format == "parquet":
        table = pq.read_table(dataset / "00001.parquet")
        pictures = pa.array([b"\xff\xd8"] * len(table), pa.binary())
        pq.write_table(table.append_column("jpg", pictures), dataset / "00001.parquet")

    with pytest.raises(ListError, match=message):
        plan({"kind": "img2dataset", "list": str(dataset)})
