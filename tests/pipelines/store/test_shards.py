import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import StorageError
from pipelines.store.root import Root
from pipelines.store.shards import (
    Shard,
    commit_media,
    commit_vectors,
    get_media_marker,
    get_vectors_marker,
    read_candidates,
    read_media,
)
from schemas.candidate import CANDIDATE
from schemas.sample import MEMBERS
from schemas.space import Space
from schemas.vectors import decode_spaces
from tests.columns import columns_of

ROWS = 5
DEAD = 2
SPACE = Space(
    encoder="test",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=4,
)


@pytest.fixture
def root(tmp_path):
    root = Root.from_url(str(tmp_path))
    required = {"lane": "web", "licence": "unknown", "source": "cc3m", "kind": "image"}
    candidates = [
        required
        | {"id": f"{row:032x}", "source_row": row, "caption": f"caption {row}", "url": f"http://a/{row}"}
        for row in range(ROWS)
    ]
    for number in (0, 7):
        root.write_table(
            f"candidates/{number:05d}.parquet", pa.Table.from_pylist(candidates, schema=CANDIDATE)
        )
    return root


def fetched(root, shard):
    """A shard's rows as a fetch chain leaves them: row 2 is dead, the others have every member."""
    batch = read_candidates(root, shard, 1000)
    alive = [row != DEAD for row in range(ROWS)]
    for member in MEMBERS[shard.kind]:
        if member not in ("json", "txt"):
            batch[member] = [f"{member} {row}".encode() if ok else None for row, ok in enumerate(alive)]
    batch["status"] = ["success" if ok else "failed_to_download" for ok in alive]
    batch["outcome"] = ["ok" if ok else "dead" for ok in alive]
    batch["reason"] = ["" if ok else "http_404" for ok in alive]
    return batch


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_media_come_back_as_they_went_in(root, kind):
    """Samples stream out of the tar in batches, with their rows; the dead row is in the table only."""
    shard = Shard(7, kind, "web", ROWS)
    commit_media(root, shard, fetched(root, shard), started=0.0)
    batches = list(read_media(root, shard, batch_rows=3))
    member = next(name for name in MEMBERS[kind] if name.endswith("jpg"))

    assert batches[0]["key"] == ["00007000", "00007001", "00007003"]
    assert batches[1]["key"] == ["00007004"]
    assert [f"{member} {row}".encode() for row in (0, 1, 3)] == batches[0][member]
    assert batches[0]["caption"] == ["caption 0", "caption 1", "caption 3"]
    assert root.read_table("media/00007.parquet").num_rows == ROWS
    assert root.exists(get_media_marker(shard))


@pytest.mark.parametrize(
    ("member", "more", "found"),
    [
        pytest.param(7, 0, "it lacks 3 samples of its table, the first is 00007001", id="between-samples"),
        pytest.param(9, 0, "its sample 00007001 is not the one", id="between-members"),
        pytest.param(9, 100, "its sample 00007001 is not the one", id="in-a-header"),
        pytest.param(9, 513, "cannot be read", id="in-a-file"),
        pytest.param(0, 0, "cannot be read", id="nothing"),
    ],
)
def test_a_torn_tar_loses_no_row_in_silence(root, member, more, found):
    """Wherever a tar was cut, reading it ends in a sentence, not in fewer rows."""
    shard = Shard(7, "clip", "web", ROWS)
    commit_media(root, shard, fetched(root, shard), 0.0)
    file = Path(root.get_path("media/00007.tar"))
    with tarfile.open(file) as tar:
        kept = tar.getmembers()[member].offset + more
    file.write_bytes(file.read_bytes()[:kept])

    with pytest.raises(StorageError, match=found):
        list(read_media(root, shard, batch_rows=2))


def test_same_rows_give_same_bytes(root):
    """Tar and table carry no time and no order of arrival."""
    digests = []
    for _ in range(2):
        shard = Shard(0, "image", "web", ROWS)
        commit_media(root, shard, fetched(root, shard), started=0.0)
        digests.append((root.compute_sha256("media/00000.tar"), root.compute_sha256("media/00000.parquet")))
    with tarfile.open(fileobj=io.BytesIO(root.read("media/00000.tar"))) as tar:
        times_s = {member.mtime for member in tar}

    assert digests[0] == digests[1]
    assert {0} == times_s


@pytest.mark.parametrize("blocked", ["media/00000.tar", "media/00000.parquet"])
def test_the_marker_of_media_is_the_last_to_come(root, tmp_path, blocked):
    """Where tar or table cannot be written, nothing says that the shard is there."""
    (tmp_path / blocked).mkdir(parents=True)
    shard = Shard(0, "image", "web", ROWS)
    with pytest.raises(StorageError):
        commit_media(root, shard, fetched(root, shard), started=0.0)

    assert not root.exists(get_media_marker(shard))


def test_the_table_of_vectors_is_the_last_to_come(root, tmp_path):
    """It is the marker: without the tar it is not there."""
    (tmp_path / "vectors/main/00000.tar").mkdir(parents=True)
    shard = Shard(0, "image", "web", ROWS)
    with pytest.raises(StorageError):
        commit_vectors(root, "main", shard, dict.fromkeys(columns_of("image"), SPACE), [])

    assert not root.exists(get_vectors_marker("main", shard))


def test_every_sample_of_a_tar_has_the_same_members(root):
    """Sorted members, and nothing of a row that is not ok."""
    shard = Shard(0, "clip", "web", ROWS)
    commit_media(root, shard, fetched(root, shard), started=0.0)
    with tarfile.open(fileobj=io.BytesIO(root.read("media/00000.tar"))) as tar:
        names = tar.getnames()

    assert [f"0000000{row}.{m}" for row in (0, 1, 3, 4) for m in sorted(MEMBERS["clip"])] == names


def test_vectors_keep_space_and_nulls(root):
    """The table knows each column's space; a row without a vector is null there, and not in the tar."""
    shard = Shard(0, "image", "web", ROWS)
    spaces = dict.fromkeys(columns_of("image"), SPACE)
    batch = {"id": ["k"] * 3, "kind": ["image"] * 3, "source": ["k"] * 3}
    batch |= {"key": ["1", "2", "3"], "outcome": ["ok", "failed", "ok"], "reason": ["", "bug", ""]}
    for column in spaces:
        batch[column] = [np.full(4, 0.5, np.float16), None, np.full(4, -0.5, np.float16)]
        batch[f"{column}_norm"] = [3.0, None, 4.0]
    counted = commit_vectors(root, "main", shard, spaces, [batch])
    table = root.read_table(get_vectors_marker("main", shard))
    with tarfile.open(fileobj=io.BytesIO(root.read("vectors/main/00000.tar"))) as tar:
        names = tar.getnames()
        vector = np.load(io.BytesIO(tar.extractfile("3.clip_image.npy").read()))

    assert dict.fromkeys(spaces, 2) == dict(counted)
    assert spaces == decode_spaces(table.schema)
    assert [value and len(value) for value in table["clip_image"].to_pylist()[1:]] == [None, 4]
    assert vector.tolist() == [-0.5] * 4
    members = ("clap_text.npy", "clip_image.npy", "clip_text.npy", "json")
    assert [f"{key}.{member}" for key in ("1", "3") for member in members] == names


def test_libraries_read_the_tars(root):
    """Webdataset and Hugging Face datasets take a media tar and a vectors tar as they are."""
    import datasets
    import webdataset

    shard = Shard(0, "image", "web", ROWS)
    commit_media(root, shard, fetched(root, shard), started=0.0)
    spaces = dict.fromkeys(columns_of("image"), SPACE)
    batch = {name: ["k"] for name in ("id", "kind", "source")}
    batch |= {"key": ["1"], "outcome": ["ok"], "reason": [""]}
    batch |= {column: [np.full(4, 0.5, np.float16)] for column in spaces}
    commit_vectors(root, "main", shard, spaces, [batch])
    media, vectors = root.get_path("media/00000.tar"), root.get_path("vectors/main/00000.tar")

    samples = list(webdataset.WebDataset(media, shardshuffle=False))
    assert [sample["txt"] for sample in samples] == [b"caption 0", b"caption 1", b"caption 3", b"caption 4"]
    decoded = list(webdataset.WebDataset(vectors, shardshuffle=False).decode())
    assert decoded[0]["clip_image.npy"].tolist() == [0.5] * 4
    loaded = datasets.load_dataset("webdataset", data_files=[media], split="train", streaming=True)
    loaded = loaded.cast_column("jpg", datasets.Value("binary"))
    assert [row["txt"] for row in loaded] == ["caption 0", "caption 1", "caption 3", "caption 4"]
