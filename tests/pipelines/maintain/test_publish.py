"""What a version takes over from the one before it, and what it does not."""

import pyarrow.parquet as pq
import pytest

from pipelines.lookup.search import Lookup
from pipelines.maintain.verify import find_damage
from pipelines.store import versions
from schemas.query import Query
from tests.by_hand import damage, pictures, vector


def test_only_what_is_new_is_hashed_and_indexed(own_versions):
    """A version takes over the lines of its shards, and an index of which nothing changed."""
    root = own_versions.at()
    first, second = versions.read_version(root, 1), versions.read_version(root, 2)
    lines = [pq.read_table(root.get_path(f"versions/{number:04d}.parquet")).to_pylist() for number in (1, 2)]
    own_versions.lists(pictures("abcdefghijklm"), texts=3)
    third, _ = own_versions.refresh()

    assert lines[0] == [line for line in lines[1] if line["shard"] in {0, 1, 2}]
    assert {file.path for file in first.indices}.isdisjoint(file.path for file in second.indices)
    assert second.indices == third.indices


def test_a_damaged_index_is_built_again_by_a_next_version(own_versions):
    """It takes nothing over from the version before."""
    root = own_versions.at()
    damage(root, "indices/main/0002/clip_image.faiss", "flipped")
    version = own_versions.finish(own_versions.dataset(), from_scratch=True)

    assert 3 == version.number
    assert [] == find_damage(root, [version], compare_hashes=True)


@pytest.mark.parametrize("column", ["clip_image", "clip_text", "clap_text"])
def test_an_extended_index_finds_what_a_new_one_finds(own_versions, column):
    """Ids and the top 10 of fixed queries, without rows that left the lists."""
    own_versions.lists(pictures("bcdefghijklmnopq"), texts=5)
    extended, _ = own_versions.refresh()
    root, dataset = own_versions.at(), own_versions.dataset()
    queries = [vector(f"question {number}") for number in range(5)]

    def found(version):
        lookup = Lookup.open(root, dataset, version)
        assert lookup.cards[column].rows == version.vectors[column]
        asked = [Query(vector=tuple(query.tolist()), into=column) for query in queries]
        return [[hit.key for hit in answer.hits] for answer in lookup.answer_many(asked)]

    answers = found(extended)
    anew = own_versions.finish(dataset, from_scratch=True)

    assert found(anew) == answers
