"""Mined targets: of the right kind, of rows that are trained on, and not always the same ones."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import KeyedVectors
from pipelines.store.splits import TRAIN
from pipelines.train import mined_targets
from pipelines.train.mined_targets import mine_targets, open_bank
from schemas.mining import Mining
from tests.pipelines.train.mined_world import KINDS, PICTURES, write_world
from tests.pipelines.train.spaces import space


def mining(**keys):
    return Mining(**{"mined_by": "clap_text", "least_cosine": 0.5, "neighbours": 4} | keys)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("mined") / "data")


def mine(world, keys=None, how=None, **others):
    keys = world.keys("image") if keys is None else keys
    return mine_targets(world.vectors, world.groups, keys, "clap_audio", how or mining(), **others)


def match_clips(world, targets_no):
    """Return the clip whose sound each target is."""
    cosines = targets_no.astype(np.float32) @ world.drawn["clip", "clap_audio"].T.astype(np.float32)
    assert (cosines.max(1) > 0.999).all()
    return cosines.argmax(1)


@pytest.mark.parametrize("pick", ["mean", "draw"])
def test_a_held_out_sound_is_never_a_target(world, pick):
    """Nor one of a video that is held out, nor the same sound under another address; all others are."""
    how = mining(neighbours=1 if pick == "mean" else 4, pick=pick, of_equal="any")
    part = world.part("clip")
    doubled, original = world.copies
    taken = set()
    for seed in range(12):
        taken |= set(match_clips(world, mine(world, how=how, seed=seed).targets_NO).tolist())

    assert TRAIN not in part[original : original + 1]
    assert (part[sorted(taken)] == TRAIN).all()
    assert not taken & {doubled, original}
    # Twelve times some 150 pictures draw nearly all of the others.
    assert len(taken) > 0.95 * ((part == TRAIN).sum() - 1)
    bank = open_bank(world.vectors, world.groups, "clap_audio", how, 0.9999)
    assert (1, (part == TRAIN).sum() - 1) == (bank.held_back, len(bank.keys_B))


def test_only_rows_that_are_trained_on_get_targets(world):
    """A picture that is held out has no mined target, however near its caption is."""
    mined = mine(world)

    assert 0 < len(mined.keys_N) < PICTURES
    assert mined.keys_N.tolist() == world.keys("image")[world.part("image") == TRAIN].tolist()
    assert (mined.targets_NO.dtype, mined.scores_N.dtype) == (np.float16, np.float32)


def test_targets_are_of_the_captions_kind(world):
    """A mean of four sounds is nearer to the middle of their kind than one sound is."""
    sounds = world.drawn["clip", "clap_audio"].astype(np.float32)
    centres = np.stack([sounds[kind::KINDS].mean(0) for kind in range(KINDS)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    cosines = {}
    for count in (1, 4):
        mined = mine(world, how=mining(neighbours=count))
        own = (mined.targets_NO.astype(np.float32) * centres[mined.keys_N % KINDS]).sum(1)
        cosines[count] = own.mean()

    assert 0.85 < cosines[1] < cosines[4] - 0.04
    assert np.linalg.norm(mined.targets_NO.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)


def test_sounds_of_one_caption_are_shared_out(world):
    """Forty clips of a kind have one caption: every picture takes others of them, by its key alone."""
    how = mining(neighbours=1, of_equal="any")
    mined = mine(world, how=how)
    of_a_kind = mined.keys_N % KINDS == 3
    alone = mine(world, mined.keys_N[of_a_kind][::-1], how)

    assert len(set(match_clips(world, mined.targets_NO[of_a_kind]).tolist())) > 8
    np.testing.assert_array_equal(mined.targets_NO[of_a_kind], alone.targets_NO)
    assert not np.array_equal(alone.targets_NO, mine(world, alone.keys_N, how, seed=1).targets_NO)


def test_of_sounds_of_one_caption_those_it_describes_come_first(world):
    """The sounds whose vectors are nearest to the caption of the picture; in chunks of any size the same."""
    how = mining(neighbours=2, weight_temperature=1e6)
    mined = mine(world, how=how)
    said, heard = (
        world.drawn[at].astype(np.float32) for at in (("image", "clap_text"), ("clip", "clap_audio"))
    )
    usable = world.part("clip") == TRAIN
    usable[world.copies[0]] = False
    for number in range(0, len(mined.keys_N), 10):
        key = mined.keys_N[number]
        clips = np.flatnonzero(usable & (np.arange(len(usable)) % KINDS == key % KINDS))
        nearest = clips[np.argsort(-(heard[clips] @ said[key]))[:2]]
        expected = heard[nearest].sum(0)
        np.testing.assert_allclose(mined.targets_NO[number], expected / np.linalg.norm(expected), atol=2e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mined_targets, "_MAX_NEAR", 50)
        np.testing.assert_array_equal(mined.targets_NO, mine(world, how=how).targets_NO)


def test_neighbours_are_the_nearest_of_all(world):
    """Captions that all differ, compared one by one."""
    said, seen = (world.drawn["image", column] for column in ("clap_text", "clip_image"))
    keys, how = np.arange(200), mining(neighbours=3, weight_temperature=0.05)
    sides = [KeyedVectors(space("any", side.shape[1]), keys, side[:200]) for side in (said, seen)]
    asked_ND = said[200:].astype(np.float32)

    _, targets, scores = mined_targets.TargetBank(*sides, 0, how, 1).mine(np.arange(40), asked_ND)

    cosines = asked_ND @ said[:200].T.astype(np.float32)
    nearest = np.argsort(-cosines, axis=1)[:, :3]
    found = np.take_along_axis(cosines, nearest, 1)
    weights = np.exp(found / 0.05)
    weights /= weights.sum(1, keepdims=True)
    expected = (weights[:, :, None] * seen[nearest]).sum(1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(targets, expected, atol=2e-3)
    np.testing.assert_allclose(scores, (weights * found).sum(1), atol=1e-4)


def test_a_mean_is_weighted_and_a_draw_follows_the_weights(world):
    """Known answer: captions at cosines 1, 0.9 and 0.6, of which the last is too far."""
    captions = np.array([[1, 0], [0.9, 0.19**0.5], [0.6, 0.8]], np.float16)
    keys, sounds = np.arange(3), np.eye(3, dtype=np.float16)
    sides = [KeyedVectors(space("clap", side.shape[1]), keys, side) for side in (captions, sounds)]
    asked_N = np.arange(4000)
    asked_ND = np.tile(np.array([1, 0], np.float32), (len(asked_N), 1))
    how = {"least_cosine": 0.7, "weight_temperature": 0.1, "neighbours": 5}
    weights = np.exp([0, -1]) / np.exp([0, -1]).sum()

    is_near, means, scores = mined_targets.TargetBank(*sides, 0, mining(**how), 1).mine(asked_N, asked_ND)
    assert is_near.all()
    expected = np.array([*weights, 0]) / np.linalg.norm(weights)
    np.testing.assert_allclose(means, np.tile(expected, (len(asked_N), 1)), atol=2e-3)
    np.testing.assert_allclose(scores, weights @ [1, 0.9], atol=1e-3)
    drawn = mined_targets.TargetBank(*sides, 0, mining(**how, pick="draw"), 1).mine(asked_N, asked_ND)[1]
    assert drawn.mean(0) == pytest.approx([*weights, 0], abs=0.03)
    assert (drawn.max(1) == 1).all()


def test_what_is_too_far_gets_no_target(world):
    """The nearer captions have to be, the fewer pairs there are, and the higher their scores."""
    near, far = (mine(world, how=mining(least_cosine=cosine)) for cosine in (0.93, 0.5))

    assert 0 < len(near.keys_N) < len(far.keys_N)
    assert near.scores_N.min() >= 0.93 - 1e-6 > far.scores_N.min()
    assert len(mine(world, how=mining(least_cosine=1.0)).keys_N) == 0


def test_cells_find_what_all_captions_find(world, monkeypatch):
    """Where comparing all captions would take hours, an index of cells is asked."""
    exact = mine(world)
    monkeypatch.setattr(mined_targets, "_MAX_COSINES", 0)
    cells = mine(world)

    assert exact.keys_N.tolist() == cells.keys_N.tolist()
    agreeing = (exact.targets_NO.astype(np.float32) * cells.targets_NO.astype(np.float32)).sum(1) > 0.999
    assert agreeing.mean() > 0.95


def test_without_a_bank_one_sentence_says_so(world):
    """No row has the column, or none of those that are trained on."""
    with pytest.raises(ConfigError, match="no row that is trained on with clap_text and ciap_audio"):
        mine_targets(world.vectors, world.groups, world.keys("image"), "ciap_audio", mining())
