import faiss
import numpy as np
import pytest

from pipelines.compute import cpu
from pipelines.errors import ConfigError, SpaceError, StorageError
from pipelines.index import build, factory
from pipelines.index.build import build_index
from pipelines.index.neighbours import Neighbours
from pipelines.store.vectors import VectorReader
from schemas.dataset import Index


def opened(root, card, removed=()):
    index = faiss.read_index(root.get_path(f"indices/main/0001/{card.column}.faiss"))
    return Neighbours(index, card.nprobe, np.array(removed, dtype=np.int64))


def exact(vectors_ND, queries_ND, k):
    scores = queries_ND @ vectors_ND.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def test_flat_is_exact(stored, gone, drawn):
    """Keys and scores are those of numpy, over several shards, and the card says so."""
    vectors_ND = drawn(2500)
    root, shards = stored(clip_image=vectors_ND)

    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    expected, order = exact(vectors_ND, vectors_ND[:50], 10)
    scores, keys = opened(root, card).search(vectors_ND[:50], 10)
    np.testing.assert_array_equal(order, keys)  # shards of 1,000: a key is its row
    np.testing.assert_allclose(expected, scores, atol=1e-6)
    assert ("Flat", 2500, None) == (card.factory, card.rows, card.nprobe)
    assert card.recall_at == {"clip_image": {1: 1.0, 10: 1.0, 100: 1.0}}
    assert not card.falls_short


def test_keys_skip_where_shards_do(stored, gone, drawn):
    """A shard of 300 rows counts by thousands; rows without a vector leave a gap."""
    vectors = list(drawn(700))
    vectors[3] = None
    root, shards = stored(300, clip_image=vectors)

    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    _, keys = opened(root, card).search(np.array([vectors[2], vectors[301], vectors[699]]), 1)
    assert [2, 1001, 2099] == keys[:, 0].tolist()
    assert card.rows == 699


def test_lists_reach_the_wanted_recall(stored, gone, drawn, monkeypatch):
    """Vectors without any structure are the hardest: more lists are searched until it is enough."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 10_000)
    vectors_ND = drawn(20_000, 32)
    root, shards = stored(clip_image=vectors_ND, clip_text=drawn(20_000, 32, seed=1))

    card = build_index(root, "main", "clip_image", shards, gone(), Index(recall=0.9), 1)

    queries_ND = drawn(200, 32, seed=2)
    _, order = exact(vectors_ND, queries_ND, 10)
    _, keys = opened(root, card).search(queries_ND, 10)
    measured = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(order, keys, strict=True)])
    assert card.factory == "IVF512,SQfp16"
    assert {"clip_image", "clip_text"} == set(card.recall_at)
    assert 0.9 <= card.recall < 1
    assert measured == pytest.approx(card.recall, abs=0.05)
    assert 4 < card.nprobe < 512
    assert not card.falls_short


def test_an_index_is_the_same_every_time(stored, gone, drawn, monkeypatch):
    """Built twice, it holds the same keys and gives the same top 10."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 1000)
    root, shards = stored(clip_image=drawn(5000))
    cards = [build_index(root, "main", "clip_image", shards, gone(), Index(), 1)]
    first = opened(root, cards[0]).search(drawn(50, seed=3), 10)
    cards.append(build_index(root, "main", "clip_image", shards, gone(), Index(), 1))
    second = opened(root, cards[1]).search(drawn(50, seed=3), 10)

    np.testing.assert_array_equal(first[1], second[1])
    assert cards[0].factory == "IVF128,SQfp16"
    assert cards[0].model_dump(exclude={"build_s"}) == cards[1].model_dump(exclude={"build_s"})


def test_little_memory_is_kept_and_said(stored, gone, drawn):
    """A compressed index fits where nothing else does, and its card tells what that costs."""
    root, shards = stored(clip_image=drawn(1500))

    card = build_index(root, "main", "clip_image", shards, gone(), Index(memory="50KB", recall=0.99), 1)

    assert card.factory.startswith("OPQ4,")
    assert card.bytes < 50_000
    # All lists were looked at, and those that added nothing are not searched.
    assert int(card.factory.split(",")[1].removeprefix("IVF")) == 2 * card.tried[-1].nprobe
    assert card.nprobe <= 2 * card.tried[-1].nprobe
    assert card.falls_short
    _, keys = opened(root, card, [7]).search(drawn(1500)[7:8], 1500)
    assert 7 not in keys
    assert len(set(keys[0].tolist()) - {-1}) == 1499


@pytest.mark.parametrize("flat_rows", [10_000, 100], ids=["Flat", "IVF"])
def test_what_is_gone_is_never_found(stored, gone, drawn, monkeypatch, flat_rows):
    """Neither if it went before the index was built, nor if it went later."""
    monkeypatch.setattr(factory, "FLAT_ROWS", flat_rows)
    vectors_ND = drawn(2000)
    root, shards = stored(clip_image=vectors_ND)

    card = build_index(root, "main", "clip_image", shards, gone("00000005", "00001500"), Index(), 1)

    _, keys = opened(root, card, [6, 7]).search(vectors_ND[[5, 6, 7, 1500]], 2000)
    assert not {5, 6, 7, 1500} & set(keys.ravel().tolist())
    assert card.rows == 1998
    assert len(set(keys[0].tolist()) - {-1}) == 1996


def test_equal_scores_come_in_the_order_of_keys(stored, gone, drawn):
    """One picture under forty captions: always the same ten of them."""
    vectors_ND = np.concatenate([np.repeat(drawn(1), 40, axis=0), drawn(500, seed=1)])[::-1]
    root, shards = stored(clip_image=vectors_ND)
    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    for queries in (1, 30):
        _, keys = opened(root, card).search(np.repeat(drawn(1), queries, axis=0), 10)
        assert [list(range(500, 510))] * queries == keys.tolist()


@pytest.mark.parametrize("rows", [1, 3])
def test_fewer_rows_than_were_asked_for(stored, gone, drawn, rows):
    """A near-empty index gives what it has."""
    root, shards = stored(clip_image=drawn(rows))
    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    scores, keys = opened(root, card).search(drawn(rows)[:1], 10)

    assert list(range(rows)) == sorted(keys[0].tolist())
    assert np.isfinite(scores).all()
    assert card.recall_at["clip_image"][10] == 1.0


def test_a_repeated_key_is_refused(stored, gone, drawn):
    """FAISS would take it without a word."""
    root, shards = stored(clip_image=drawn(20))

    with pytest.raises(StorageError, match="key 0 has 2 vectors in clip_image"):
        build_index(root, "main", "clip_image", [*shards, *shards], gone(), Index(), 1)

    assert root.list_names("indices/main/0001") == []


def test_an_empty_column_is_refused(stored, gone, drawn):
    """No index of nothing: neither of a column without vectors nor of one that no shard has."""
    root, shards = stored(clip_image=drawn(5), clip_text=[*[None] * 4, drawn(1)[0]])
    everything = gone(*(f"{row:08d}" for row in range(5)))

    for column, tombstones in (("clap_text", gone()), ("clap_audio", gone()), ("clip_text", everything)):
        with pytest.raises(ConfigError, match=f"column {column} of set 'main' .* has no vectors"):
            build_index(root, "main", column, shards, tombstones, Index(), 1)


def test_two_spaces_are_refused(stored, gone, drawn, space):
    """Both spaces are named, and what tells them apart."""
    other = space.model_copy(update={"precision": "bf16"})
    root, shards = stored(10, [{"clip_image": space}, {"clip_image": other}], clip_image=drawn(20))

    with pytest.raises(SpaceError, match=r"shard 00001 is in test.*shard 00000 .*precision bf16, not fp32"):
        build_index(root, "main", "clip_image", shards, gone(), Index(), 1)


def test_a_missing_shard_is_named(stored, gone, drawn):
    """An index over half of a version would be worse than none."""
    root, shards = stored(10, clip_image=drawn(20))
    root.fs.rm(root.get_path("vectors/main/00001.parquet"))

    with pytest.raises(StorageError, match=r"has no vectors/main/00001\.parquet"):
        build_index(root, "main", "clip_image", shards, gone(), Index(), 1)


def test_settings_that_were_not_enough_are_on_the_card(stored, gone, drawn, monkeypatch):
    """Each searched more lists than the one before and found more; the last one is the index's own."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    root, shards = stored(clip_image=drawn(3000))

    card = build_index(root, "main", "clip_image", shards, gone(), Index(recall=0.99), 1)

    searched = [tried.nprobe for tried in card.tried]
    assert [4 * 2**step for step in range(len(searched))] == searched
    assert card.nprobe == min(2 * searched[-1], 128)
    recalls = [tried.recall for tried in card.tried] + [card.recall]
    assert sorted(recalls) == recalls
    assert recalls[-2] < 0.99 <= recalls[-1]
    assert "" == card.describe_shortfall()


def test_no_query_is_trained_on(stored, gone, drawn, monkeypatch):
    """They are held out of the sample, even where it takes all other rows."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    samples = []
    train = build.train_index
    monkeypatch.setattr(
        build, "train_index", lambda sample, *more: samples.append(sample) or train(sample, *more)
    )
    vectors_ND = drawn(6000)
    root, shards = stored(clip_image=vectors_ND)
    truths = build.draw_queries(VectorReader(root, "main", shards, np.empty(0, np.int64)), "clip_image")

    build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    queries = {vectors_ND[key].tobytes() for key in truths["clip_image"].queries.ids}
    assert 128 == len(queries)
    assert not queries & {row.tobytes() for row in samples[0]}


def test_all_cores_of_the_process_are_used(stored, gone, drawn, monkeypatch):
    """Ray gives a task's libraries one thread; an index is built with all, which are then given back."""
    monkeypatch.setattr(cpu, "count_cpus", lambda: 3)
    threads = []
    train = build.train_index
    monkeypatch.setattr(
        build, "train_index", lambda *given: threads.append(faiss.omp_get_max_threads()) or train(*given)
    )
    root, shards = stored(clip_image=drawn(50))

    build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    assert [3] == threads
    assert 1 == faiss.omp_get_max_threads()


def test_queries_come_from_both_sides(stored, gone, drawn, monkeypatch):
    """Texts ask pictures as well; sounds are in another space and do not."""
    monkeypatch.setattr(build, "_QUERIES", 50)
    root, shards = stored(clip_image=drawn(300), clip_text=drawn(300, seed=1), clap_text=drawn(300, seed=2))

    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    assert {"clip_image": 50, "clip_text": 50} == card.recall_queries


def test_a_row_is_no_neighbour_of_itself(stored, gone, drawn, monkeypatch):
    """The recall on the card is that of numpy without the query's own row, which every search finds."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    vectors_ND = drawn(3000)
    root, shards = stored(clip_image=vectors_ND)

    card = build_index(root, "main", "clip_image", shards, gone(), Index(recall=0.1), 1)

    truths = build.draw_queries(VectorReader(root, "main", shards, np.empty(0, np.int64)), "clip_image")
    queries = truths["clip_image"].queries.ids
    _, order = exact(vectors_ND, vectors_ND[queries], 2)
    _, keys = opened(root, card).search(vectors_ND[queries], 2)
    assert (order[:, 0] == queries).all()
    assert (keys[:, 0] == queries).all()
    assert card.recall_at["clip_image"][1] == pytest.approx(np.mean(order[:, 1] == keys[:, 1]))
    assert card.recall_at["clip_image"][1] < 1


def test_the_worst_queries_decide(stored, gone, drawn, monkeypatch):
    """Captions whose neighbours lie in one list are found at once; pictures need more lists, and get them."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    pictures_ND = drawn(3600)
    pictures_ND[5::6] = np.repeat(drawn(20, seed=1), 30, axis=0)
    captions = [picture_D if row % 6 == 5 else None for row, picture_D in enumerate(pictures_ND)]
    root, shards = stored(900, clip_image=pictures_ND, clip_text=captions)

    card = build_index(root, "main", "clip_image", shards, gone(), Index(recall=0.9), 1)

    assert 1 == card.recall_at["clip_text"][10]
    assert 0.9 <= card.recall_at["clip_image"][10] < 1
    assert card.tried
