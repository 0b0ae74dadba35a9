"""Mined pairs in a mix: trained on, and never what a translator is scored on."""

import json

import numpy as np
import pytest
import torch

from jobs.shared.leaderboard import format_leaderboard
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.export import TranslatorExport
from pipelines.train.translators.pair_reading import read_pairs
from pipelines.train.translators.stacked import StackedNets, add_noise
from pipelines.train.translators.training_pairs import TrainingPairs
from schemas.training import Experiment, PairSource, TrainingPreset
from tests.pipelines.train.mined_world import CLIPS, DIMS, PICTURES, SHARD_ROWS, SPLIT, write_world

ENDS = {"from": "clip_image", "to": "clap_audio"}
MINED = ENDS | {"mined_by": "clap_text", "least_cosine": 0.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("mined") / "data")


def read(world, *mix):
    return read_pairs(world.vectors, SHARD_ROWS, [PairSource.model_validate(each) for each in mix], SPLIT)


def held_rows(table):
    """Return the held-out pairs of a table, in order."""
    held = np.flatnonzero(np.isin(table.part_N, (VALIDATION, TEST)))
    return [side.tobytes() for rows in (table.source_NI[held], table.target_NO[held]) for side in rows]


def test_mined_pairs_are_trained_on_and_real_ones_are_held_out(world):
    """What is held out of mined pairs alone is what is held out of real pairs."""
    mined, real, both = read(world, MINED), read(world, ENDS), read(world, ENDS, MINED)
    trained = world.part("image") == TRAIN

    assert mined.find_rows(TRAIN).size == trained.sum() == mined.mined.pairs < PICTURES
    assert both.find_rows(TRAIN).size == trained.sum() + real.find_rows(TRAIN).size
    assert held_rows(mined) == held_rows(real) == held_rows(both)
    assert 0 < len(held_rows(real)) < 2 * CLIPS
    assert (("clip_image -> clap_audio",),) * 3 == (mined.directions, real.directions, both.directions)
    # The licences of the sounds count as well as those of the pictures.
    assert {"licence of images", "licence of clips"} == mined.licences.keys()
    assert real.mined is None


def test_rows_that_have_the_target_are_not_mined(world):
    """Nor are rows of lists that the mix does not name."""
    table = read(world, MINED | {"sources": ["vggsound"]}, ENDS)

    assert (0, 0) == (table.mined.pairs, table.mined.too_far)
    assert table.find_rows(TRAIN).size == read(world, ENDS).find_rows(TRAIN).size


def test_a_card_says_how_many_were_mined(world, tmp_path):
    """With the mean score; the leaderboard does, too."""
    preset = {"name": "p", "data": {"mined": [MINED]}, "cells": [{"data": "mined"}], "split": SPLIT}
    pairs = TrainingPairs(
        TrainingDataset(world.vectors.root, "world", SHARD_ROWS, 1),
        TrainingPreset.model_validate(preset),
        "mined",
    )
    table = read(world, MINED)
    pairs.read_set = lambda: "main"
    card = next(
        card
        for card in TranslatorExport(pairs, table, tmp_path, 0.0).write_baselines()
        if card.method == "ridge"
    )

    assert card.mined == table.mined
    assert 0.5 < card.mined.score < 1
    assert json.loads(card.model_dump_json(by_alias=True))["data"][0]["mined_by"] == "clap_text"
    assert card.scores.cosine > 0.6
    assert f"({card.mined.pairs} mined, cosine of captions {card.mined.score:.3f})" in format_leaderboard(
        [card]
    )


def test_pairs_that_are_not_mined_are_described_as_before():
    """A training that was begun before there was mining can go on, and old readers read the cards."""
    written = PairSource.model_validate(ENDS).model_dump(mode="json", by_alias=True)

    assert {"from", "to", "sources", "shift_to"} == written.keys()
    again = PairSource.model_validate(PairSource.model_validate(MINED).model_dump(by_alias=True))
    assert again == PairSource.model_validate(MINED)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (ENDS | {"neighbours": 4}, "neighbours is of mined pairs, and these are not"),
        (ENDS | {"mined_by": "clap_audio"}, "cannot be compared by it"),
        (MINED | {"shift_to": "clap_text"}, "leave shift_to out"),
    ],
    ids=["not-mined", "itself", "moved"],
)
def test_what_does_not_go_together_is_one_sentence(keys, said):
    """What was found, what to do."""
    with pytest.raises(ValueError, match=said):
        PairSource.model_validate(keys)


def test_noise_is_for_captions_as_targets():
    """In a mix sounds stay as they are; without captions, or for a net that has noise, it is refused."""
    mix = [ENDS, {"from": "clip_image", "to": "clap_text"}]
    preset = {"name": "p", "data": {"both": mix, "sounds": mix[:1]}}
    noisy = {"data": "both", "target_noise": 0.1}

    assert TrainingPreset.model_validate(preset | {"cells": [noisy]})
    with pytest.raises(ValueError, match="data 'sounds' leads to clap_audio alone; leave it out"):
        TrainingPreset.model_validate(preset | {"cells": [noisy | {"data": "sounds"}]})
    with pytest.raises(ValueError, match="the diffusion mapper has noise of its own"):
        Experiment(data="both", net="diffusion", loss="denoise", target_noise=0.1)


def test_noise_leaves_the_targets_of_other_rows(world):
    """A mix of sounds and captions knows which targets are captions; the loss sees noise on them alone."""
    table = read(world, ENDS, {"from": "clip_image", "to": "clap_text"})
    is_text_N1 = torch.from_numpy(table.is_text_N[:, None].astype(np.float32))
    target_NO = torch.nn.functional.normalize(torch.from_numpy(table.target_NO.astype(np.float32)), dim=-1)
    noised_NO = add_noise(target_NO, 0.1, torch.Generator().manual_seed(0), is_text_N1)
    moved = (noised_NO != target_NO).any(1).numpy()

    assert moved.tolist() == table.is_text_N.tolist()
    assert 0 < moved.sum() < len(moved)
    everywhere = add_noise(target_NO, 0.1, torch.Generator().manual_seed(0))
    assert torch.equal(noised_NO[moved], everywhere[moved])
    nets = StackedNets([Experiment(data="any", hidden=8, target_noise=0.1)], (DIMS, DIMS))
    generator = torch.Generator
    losses = [
        next(
            iter(nets.compute_losses(target_NO, target_NO, generator(), WorkerGroup(), noisy).values())
        ).item()
        for noisy in (torch.zeros_like(is_text_N1), is_text_N1, None)
    ]
    assert len(set(losses)) == 3
