"""Tools written for img2dataset's folders on ours, and img2dataset itself in the middle of one."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.fetch.stages import FetchImages
from pipelines.filter.pictures import FilterPictures
from pipelines.run.build_steps import MediaStep
from pipelines.run.runner import Runner
from pipelines.source.plan import make_plan
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.dataset import Dataset, Fetch
from tests.origins import ORIGINS

ROWS, SHARD_ROWS = 24, 8
SHARDS = [Shard(number, "image", "web", SHARD_ROWS) for number in range(ROWS // SHARD_ROWS)]
FETCH = Fetch(allow_private_hosts=True, retries=0, timeout_s=10)
# Every fourth row is dead.
DEAD_EVERY = 4


def dataset(folder, *sources):
    return Dataset.model_validate(
        {"name": "a", "root": str(folder / "root"), "shard_rows": SHARD_ROWS, "sources": sources}
        | {"fetch": {"allow_private_hosts": True}}
    )


@pytest.fixture
def root(server, tmp_path):
    """A planned root of three shards."""
    urls = [
        server.url("status/404")
        if row % DEAD_EVERY == 0
        else server.put(f"{row}.jpg", server.files["plain.jpg"][0])
        for row in range(ROWS)
    ]
    lines = [f"picture {row}\t{url}?{row}\n" for row, url in enumerate(urls)]
    (tmp_path / "list.tsv").write_text("".join(lines))
    root = Root.from_url(str(tmp_path / "root"))
    make_plan(dataset(tmp_path, {"kind": "cc3m", "list": str(tmp_path / "list.tsv")}), root)
    return root


@pytest.fixture
def runner(root):
    """What fetches its shards."""
    runner = Runner(
        MediaStep(root, SHARD_ROWS, {"image": (FetchImages(FETCH, origins=ORIGINS), FilterPictures(1, 1e6))})
    )
    yield runner
    for work in runner._open.values():
        getattr(work, "close", lambda: None)()


def img2dataset(url_list, output):
    """Run the real command."""
    command = [
        Path(sys.executable).parent / "img2dataset", f"--url_list={url_list}", "--input_format=parquet",
        "--output_format=webdataset", f"--output_folder={output}", "--caption_col=caption",
        "--image_size=256", "--resize_mode=keep_ratio", f"--number_sample_per_shard={SHARD_ROWS}",
        "--thread_count=4", "--incremental_mode=incremental",
    ]  # fmt: skip
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)


def table(root, shard):
    return root.read_table(f"media/{shard.name}.parquet").to_pydict()


def members(path):
    """Return the members of a tar."""
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


@pytest.mark.slow
def test_img2dataset_fetches_what_is_missing_and_we_take_it_over(root, runner, server, tmp_path):
    """It leaves our shards alone, we copy its pictures untouched and ask again only for what it missed."""
    runner.run(SHARDS[0])
    ours = {path.name: path.read_bytes() for path in (tmp_path / "root" / "media").iterdir()}
    server.asked.clear()
    img2dataset(tmp_path / "root" / "candidates", tmp_path / "root" / "media")
    theirs = members(tmp_path / "root" / "media" / "00001.tar")

    assert ROWS - SHARD_ROWS == server.asked.total()
    assert ours == {name: (tmp_path / "root" / "media" / name).read_bytes() for name in ours}
    assert runner.step.find_committed(range(3)) == {0}

    server.asked.clear()
    assert [False, True, True] == [runner.run(shard) for shard in SHARDS]
    assert Counter({"status/404": sum(server.asked.values())}) == server.asked
    assert runner.step.find_committed(range(3)) == {0, 1, 2}
    pictures = members(tmp_path / "root" / "media" / "00001.tar")
    assert {name: data for name, data in theirs.items() if name.endswith(".jpg")} == {
        name: data for name, data in pictures.items() if name.endswith(".jpg")
    }
    for shard in SHARDS:
        rows = table(root, shard)
        expected = ["dead" if "status/404" in url else "ok" for url in rows["url"]]
        assert expected == rows["outcome"]
        assert set(rows["source"]) == {"cc3m"}


def test_a_shard_of_img2dataset_is_taken_over(root, runner, server, tmp_path):
    """Its order of rows is its own; a picture is found by its key, and what has none is asked for."""
    media = tmp_path / "root" / "media"
    media.mkdir()
    keys = ["000003", "000001", "000005"]
    status = ["success", "success", "failed_to_download"]
    pq.write_table(pa.table({"key": keys, "status": status}), media / "00000.parquet")
    with tarfile.open(media / "00000.tar", "w") as tar:
        for key, name in (("000003", "small.jpg"), ("000001", "grey.jpg")):
            info = tarfile.TarInfo(f"{key}.jpg")
            info.size = len(server.files[name][0])
            tar.addfile(info, io.BytesIO(server.files[name][0]))
    (media / "00000_stats.json").write_text("{}")

    assert runner.step.find_committed(range(3)) == frozenset()
    assert runner.run(SHARDS[0])
    made = members(media / "00000.tar")
    assert server.files["small.jpg"][0] == made["000003.jpg"]
    assert server.files["grey.jpg"][0] == made["000001.jpg"]
    assert SHARD_ROWS - 2 == server.asked.total()
    assert {0} == runner.step.find_committed(range(3))


@pytest.mark.slow
def test_pictures_are_those_of_img2dataset(root, runner, tmp_path):
    """The same list gives the same keys, the same captions and, byte for byte, the same JPEGs."""
    for shard in SHARDS:
        runner.run(shard)
    img2dataset(tmp_path / "root" / "candidates", tmp_path / "theirs")
    for shard in SHARDS:
        ours, theirs = (members(tmp_path / at / f"{shard.name}.tar") for at in ("root/media", "theirs"))

        assert ours.keys() == theirs.keys()
        assert [] == [name for name in ours if not name.endswith("json") and ours[name] != theirs[name]]


@pytest.mark.slow
def test_a_folder_of_img2dataset_needs_no_download(root, server, tmp_path):
    """Its pictures are copied untouched under keys of ours, which say the key that each had."""
    img2dataset(tmp_path / "root" / "candidates", tmp_path / "theirs")
    server.asked.clear()
    copied = Root.from_url(str(tmp_path / "copied"))
    make_plan(dataset(tmp_path, {"kind": "img2dataset", "list": str(tmp_path / "theirs")}), copied)
    shards = [
        Shard(number, "image", "local", SHARD_ROWS)
        for number in range(len(copied.list_names("candidates", ".parquet")))
    ]
    copier = Runner(
        MediaStep(
            copied, SHARD_ROWS, {"image": (FetchImages(FETCH, origins=ORIGINS), FilterPictures(1, 1e6))}
        )
    )
    for shard in shards:
        copier.run(shard)
    theirs = {}
    for shard in SHARDS:
        theirs |= members(tmp_path / "theirs" / f"{shard.name}.tar")

    assert 0 == server.asked.total()
    kept = 0
    for shard in shards:
        ours = members(tmp_path / "copied" / "media" / f"{shard.name}.tar")
        for key, source_key in zip(
            *(table(copied, shard)[name] for name in ("key", "source_key")), strict=True
        ):
            assert theirs[f"{source_key}.jpg"] == ours[f"{key}.jpg"]
            kept += 1
    assert ROWS - ROWS // DEAD_EVERY == kept


def test_a_folder_of_ours_gives_its_pictures_and_no_clips(tmp_path):
    """Clips of an Echolens root are no pictures; the plan says so and how to have them."""
    folder = tmp_path / "media"
    folder.mkdir()
    for name, kind, member in (("00000", "image", "jpg"), ("00001", "clip", "flac")):
        rows = {"url": [f"http://a.example/{name}"], "caption": [kind], "key": [f"{name}0"]}
        pq.write_table(pa.table(rows | {"status": ["success"], "kind": [kind]}), folder / f"{name}.parquet")
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(f"{name}0.{member}"), io.BytesIO())
    counts = make_plan(
        dataset(tmp_path, {"kind": "img2dataset", "list": str(folder)}), Root.from_url(str(tmp_path / "root"))
    )

    assert {"no_picture": 1} == counts.filtered
    assert 1 == counts.keys
    assert "1 rows are clips" in " ".join(counts.warnings)


def test_webdataset_and_datasets_read_ours(root, runner, tmp_path):
    """The loaders that people have, as they call them."""
    import datasets
    import webdataset

    for shard in SHARDS:
        runner.run(shard)
    tars = sorted(str(path) for path in (tmp_path / "root" / "media").glob("*.tar"))
    samples = list(
        webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("jpg", "txt", "json")
    )
    loaded = datasets.load_dataset(
        "webdataset", data_files=tars, split="train", cache_dir=str(tmp_path / "c")
    )

    kept = ROWS - ROWS // DEAD_EVERY
    assert (kept, kept) == (len(samples), len(loaded))
    assert all(isinstance(jpg, Image.Image) and 256 == min(jpg.size) for jpg, _, _ in samples)
    assert sorted(text for _, text, _ in samples) == sorted(loaded["txt"])
    assert {"success"} == {json_["status"] for _, _, json_ in samples}


def test_stats_and_tables_read_as_img2datasets(root, runner, tmp_path):
    """What sums up `_stats.json`, and what reads the tables with pandas, finds what it looks for."""
    import pandas as pd

    for shard in SHARDS:
        runner.run(shard)
    media = tmp_path / "root" / "media"
    stats = [json.loads(path.read_text()) for path in sorted(media.glob("*_stats.json"))]
    frame = pd.read_parquet(sorted(media.glob("*.parquet")))

    assert [ROWS, ROWS * 3 // 4, ROWS // 4, 0] == [
        sum(each[name] for each in stats)
        for name in ("count", "successes", "failed_to_download", "failed_to_resize")
    ]
    assert all(each["start_time"] <= each["end_time"] for each in stats)
    assert {"success": ROWS * 3 // 4, "failed_to_download": ROWS // 4} == dict(Counter(frame["status"]))
    columns = ["url", "caption", "key", "status", "error_message", "width", "height", "original_width"]
    assert set(columns) <= set(frame.columns)
    assert {"HTTP Error 404: Not Found"} == set(frame["error_message"].dropna())


@pytest.mark.slow
def test_clip_retrieval_reads_ours(root, runner, tmp_path):
    """Its real reader with its data loader; the rest of it wants an older NumPy than we do."""
    for shard in SHARDS:
        runner.run(shard)
    place = tmp_path / "clip-retrieval"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place]
    subprocess.run([*install, "clip-retrieval==2.45.0"], check=True)
    path = place / "clip_retrieval/clip_inference/reader.py"
    spec = importlib.util.spec_from_file_location("clip_retrieval_reader", path)
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    tars = sorted(str(path) for path in (tmp_path / "root" / "media").glob("*.tar"))
    batches = list(
        reader.WebdatasetReader(
            lambda each: each,
            lambda image: np.asarray(image.convert("RGB").resize((32, 32))),
            lambda texts: np.zeros((len(texts), 4)),
            tars,
            batch_size=4,
            num_prepro_workers=0,
            enable_text=True,
            enable_image=True,
            enable_metadata=True,
        )
    )
    keys = [key for batch in batches for key in batch["image_filename"]]
    captions = [text for batch in batches for text in batch["text"]]
    records = [json.loads(text) for batch in batches for text in batch["metadata"]]

    assert ROWS * 3 // 4 == len(set(keys))
    assert {(record["key"], record["caption"]) for record in records} == set(zip(keys, captions, strict=True))
