"""A translator over whole shards: every row accounted for, the same bytes every time, no other space."""

import hashlib

import numpy as np
import pytest

from pipelines.errors import SpaceError, StorageError
from pipelines.models.registry import build_net
from pipelines.run.runner import Runner
from pipelines.store.shards import Shard, commit_vectors
from pipelines.translate.step import TranslateStep
from pipelines.translate.translator import Translator, pack_weights
from schemas.translated import read_translator
from schemas.vectors import decode_spaces
from tests.fixtures.translators import CELL
from tests.pipelines.train.spaces import space
from tests.saving import save_translator

SHARD = Shard(3, "image", "web", 5)
SPACES = {"clip_image": space("clip", 16), "clip_text": space("clip", 16), "clap_text": space("clap", 12)}


def test_every_row_is_in_the_table(root, step):
    """A vector where there was one; null where there was none, and an outcome where it had no direction."""
    Runner(step).run(SHARD)
    table = root.read_table(step.get_marker(SHARD))
    given = root.read_table("vectors/main/00003.parquet")["clip_image"].to_pylist()
    expected = Translator.open(root, "toy").translate(np.array([given[0], given[3]]), space("clip", 16))

    assert ["key", "id", "outcome", "reason", "clap_text"] == table.column_names
    assert [True, False, False, True, False] == table["clap_text"].is_valid().to_pylist()
    made = np.array([table["clap_text"][0].as_py(), table["clap_text"][3].as_py()])
    np.testing.assert_allclose(expected, made, atol=1e-3)
    assert {"ok": 3, "failed/no_vector": 1, "failed/bug": 1} == step.count_outcomes(SHARD)


def test_the_table_says_what_it_is(root, step):
    """The space of its vectors, and which weights made them of what."""
    Runner(step).run(SHARD)
    with root.open_parquet(step.get_marker(SHARD)) as file:
        schema = file.schema_arrow

    assert {"clap_text": space("clap", 12)} == decode_spaces(schema)
    made_by = read_translator(schema)
    assert ("toy", step.card.weights_sha256, 1) == tuple(
        made_by[key] for key in ("name", "weights_sha256", "trained_on")
    )
    assert ("main", "clip_image") == (made_by["set"], made_by["source"])


def test_what_is_committed_is_found_and_has_the_same_bytes(root, step):
    """A second run does nothing; without the table it writes the same one."""
    assert Runner(step).run(SHARD)
    before = root.compute_sha256(step.get_marker(SHARD))
    assert not Runner(step).run(SHARD)
    assert frozenset({3}) == step.find_committed({3, 4})
    root.remove(step.get_marker(SHARD))
    Runner(step).run(SHARD)

    assert before == root.compute_sha256(step.get_marker(SHARD))


def test_other_weights_have_another_folder(root, step):
    """A translator that was trained again is never taken for the old one, nor the other way round."""
    Runner(step).run(SHARD)
    weights = pack_weights(build_net(CELL.model_copy(update={"seed": 1}), (16, 12)))
    card = step.card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    save_translator(root, card, weights)
    again = TranslateStep(root, "main", card, "clip_image")

    assert frozenset() == again.find_committed({3})
    root.remove(step.get_marker(SHARD))
    with pytest.raises(StorageError, match="'toy' was trained again meanwhile; run the command again"):
        Runner(step).run(SHARD)


def test_vectors_of_another_space_are_refused(root, step):
    """A column of the other family, and a set whose encoder is another."""
    other = {column: space("othr", where.dims) for column, where in SPACES.items()}
    table = root.read_table("vectors/main/00003.parquet").to_pydict()
    commit_vectors(root, "main", SHARD, other, [table])

    with pytest.raises(SpaceError, match=r"takes vectors of clip@.* of vectors.* is in othr@"):
        Runner(step).run(SHARD)
    assert frozenset() == step.find_committed({3, 4})
    with pytest.raises(SpaceError, match="has no column clap_audio; name one of clap_text, clip_image"):
        TranslateStep(root, "main", step.card, "clap_audio").check(SHARD)


def test_a_shard_that_is_missing_is_one_sentence(root, step):
    """Its vectors are not there."""
    with pytest.raises(StorageError, match=r"has no vectors/main/00004.parquet; run `echolens build`"):
        step.check(Shard(4, "image", "web", 5))
