"""The path from what is asked for to the vectors that condition a generator."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, SpaceError
from pipelines.generate.request import GenerationRequest, find_path
from pipelines.store.shards import Shard, commit_vectors
from schemas.generated import GeneratorInfo
from schemas.version import VERSION_SHARD, Version
from tests.pipelines.train.spaces import space

SPACES = {"clip_image": space("clip", 16), "clip_text": space("clip", 16), "clap_text": space("clap", 12)}
# As the generator describes itself: it reads one column, and has a text tower of its own.
AUDIOLDM = GeneratorInfo(
    name="audioldm", weights_sha256="0" * 64, medium="sound", reads=("clap_audio",), text_sha256="1" * 64
)


@pytest.fixture
def root(saved):
    """One picture with three vectors, and translator `toy` from clip_image to clap_text."""
    root, _ = saved
    pinned = {family: space(family, dims).model_dump() for family, dims in (("clip", 16), ("clap", 12))}
    root.write_json("dataset.json", {"sets": {"main": pinned}})
    batch = {"key": ["00000000"], "id": ["id"], "kind": ["image"], "source": ["cc3m"]}
    batch |= {"outcome": ["ok"], "reason": [""]}
    for column, of in SPACES.items():
        batch |= {column: [np.eye(of.dims, dtype=np.float16)[0]], f"{column}_norm": [1.0]}
    commit_vectors(root, "main", Shard(0, "image", "web", 1), SPACES, [batch])
    line = {"shard": 0, "kind": "image", "lane": "web", "rows": 1, "path": "", "bytes": 0, "sha256": ""}
    line["tried"] = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    root.write_table("versions/0001.parquet", pa.Table.from_pylist([line], VERSION_SHARD))
    return root


@pytest.fixture
def version():
    none = dict.fromkeys(("rejects", "duplicates"), 0)
    return Version(
        number=1, name="toy", set="main",
        created="2026-01-01T00:00:00+00:00", shards=1, rows_read=1, candidates=1, **none,
        outcomes={"ok": 1}, reasons={}, vectors=dict.fromkeys(SPACES, 1), tables=[], indices=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (GenerationRequest(texts=("a dog",)), (None, None, None)),
        (GenerationRequest(via="captions"), ("clip_image", None, None)),
        (GenerationRequest(via="captions", column="clap_audio"), ("clap_audio", None, None)),
        (GenerationRequest(column="clap_audio"), ("clap_audio",) * 3),
        (GenerationRequest(via="toy"), ("clip_image", "clip_image", "clap_text")),
    ],
    ids=["texts", "captions", "captions-of-clips", "clap", "translator"],
)
def test_a_path_has_the_columns_of_its_ends(root, version, request_, expected):
    """Of the rows, of the prompts, and of what conditions the generator."""
    path = find_path(root, version, request_, AUDIOLDM)
    target = path.conditions[0].target if path.conditions else None

    assert expected == (path.rows, path.source, target)
    assert (path.space is None) == (target is None)
    assert (path.translator is not None) == (request_.via == "toy")


@pytest.mark.parametrize(
    ("request_", "error", "said"),
    [
        (
            GenerationRequest(column="clip_text"),
            ConfigError,
            "clip_text cannot become sounds by themselves",
        ),
        (GenerationRequest(via="toy", column="clap_text"), SpaceError, "clap_text is in .* train one"),
        (
            GenerationRequest(via="toy", column="clip_text", pictures=("x.jpg",)),
            ConfigError,
            "add --column clip_image",
        ),
    ],
    ids=["no-clap", "another-space", "pictures"],
)
def test_what_leads_nowhere_is_refused(root, version, request_, error, said):
    """One sentence: what was found, and what to name instead."""
    with pytest.raises(error, match=said):
        find_path(root, version, request_, AUDIOLDM)


@pytest.mark.parametrize("column", [None, "clip_image"])
def test_without_a_name_the_default_translator_is_taken(root, version, column):
    """Of the direction that is asked for; a root without one says how to name a way."""
    request = GenerationRequest(column=column)
    path = find_path(root, version, request, AUDIOLDM)

    assert ("toy", "clip_image") == (path.translator.name, path.source)
    assert path == find_path(root, version, GenerationRequest(column=column, via="default"), AUDIOLDM)
    root.remove("translators/toy/card.json")
    with pytest.raises(ConfigError, match=f"{column or 'pictures'} cannot become sounds by themselves; name"):
        find_path(root, version, request, AUDIOLDM)
