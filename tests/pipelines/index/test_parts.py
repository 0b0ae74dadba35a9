import faiss
import numpy as np
import pytest

from pipelines.errors import StorageError
from pipelines.index import build, factory, parts
from pipelines.index.build import build_index
from pipelines.index.factory import FactoryChoice
from pipelines.index.parts import fill_index, merge_parts
from pipelines.index.train import train_index
from schemas.dataset import Index

DIMS = 8


def blocks(vectors_ND, rows=700):
    for start in range(0, len(vectors_ND), rows):
        chunk = vectors_ND[start : start + rows]
        yield np.arange(start, start + len(chunk)) * 3, chunk


@pytest.mark.parametrize("kind", ["IVF16,SQfp16", "PCAR8,IVF16,PQ4x4np"])
@pytest.mark.parametrize("count", [5000, 20], ids=["many", "lists-without-rows"])
def test_parts_become_the_index_that_they_are_parts_of(drawn, monkeypatch, tmp_path, kind, count):
    """The same keys and scores, bit by bit, as when all rows are added in memory; and it can be extended."""
    sample_ND, vectors_ND = drawn(5000, DIMS, seed=2), drawn(count, DIMS)
    setting = FactoryChoice(kind, 5000, 16, 0)
    whole = fill_index(train_index(sample_ND, setting, DIMS), blocks(vectors_ND), count, lambda: tmp_path)
    monkeypatch.setattr(parts, "PART_ROWS", count // 4)

    joined = fill_index(
        train_index(sample_ND, setting, DIMS),
        blocks(vectors_ND, max(count // 10, 1)),
        count,
        lambda: tmp_path,
    )

    assert 4 <= len([path for path in tmp_path.iterdir() if path.name != "whole"]) <= 5
    assert count == joined.ntotal
    parameters = faiss.SearchParametersIVF(nprobe=16)
    if kind.startswith("PCAR"):
        parameters = faiss.SearchParametersPreTransform(index_params=parameters)
    for expected, found in zip(
        whole.search(sample_ND[:50], 20, params=parameters),
        joined.search(sample_ND[:50], 20, params=parameters),
        strict=True,
    ):
        np.testing.assert_array_equal(expected, found)
    copy = faiss.deserialize_index(faiss.serialize_index(joined))
    copy.add_with_ids(sample_ND[:1], np.array([99_999]))
    assert 99_999 in copy.search(sample_ND[:1], 20, params=parameters)[1]


def test_a_build_of_parts_is_a_build(stored, gone, drawn, monkeypatch):
    """The same card but for the time, the same bytes, and nothing left beside it."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    monkeypatch.setattr("pipelines.store.vectors._BLOCK_ROWS", 500)
    root, shards = stored(500, clip_image=drawn(4000))
    cards = [build_index(root, "main", "clip_image", shards, gone("00000003"), Index(), 1)]
    monkeypatch.setattr(parts, "PART_ROWS", 1000)
    cards.append(build_index(root, "main", "clip_image", shards, gone("00000003"), Index(), 2))

    assert cards[0].model_dump(exclude={"build_s"}) == cards[1].model_dump(exclude={"build_s"})
    assert root.read("indices/main/0001/clip_image.faiss") == root.read("indices/main/0002/clip_image.faiss")
    assert ["indices", "vectors"] == root.list_names("")


def test_a_failed_build_leaves_nothing(stored, gone, drawn, monkeypatch):
    """Neither parts nor half an index."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    monkeypatch.setattr(parts, "PART_ROWS", 1000)
    monkeypatch.setattr(build, "tune_nprobe", lambda *_: 1 / 0)
    root, shards = stored(500, clip_image=drawn(4000))

    with pytest.raises(ZeroDivisionError):
        build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    assert ["vectors"] == [path.rsplit("/", 1)[1] for path in root.fs.ls(root.get_path(""), detail=False)]


def test_another_format_of_files_is_refused(drawn, tmp_path, monkeypatch):
    """An index that FAISS would read as something else is never written."""
    empty = train_index(drawn(500, DIMS), FactoryChoice("IVF4,SQfp16", 500, 4, 0), DIMS)
    faiss.write_index(empty, str(tmp_path / "part"))
    monkeypatch.setattr(faiss, "serialize_index", lambda _: np.frombuffer(b"another", dtype=np.uint8))

    with pytest.raises(StorageError, match=r"faiss .* unknown way; install that of requirements\.lock"):
        merge_parts(empty, [tmp_path / "part"], tmp_path / "whole")

    assert not (tmp_path / "whole").exists()
