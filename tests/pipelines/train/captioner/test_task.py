"""A captioner's task: what it learns, what it leaves alone, and what it refuses."""

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.generate.captioner.params import CaptionerParams
from pipelines.generate.captioner.spec import CaptionerSpec
from pipelines.models.prefix_captioner import read_captioner_card
from pipelines.store.root import Root
from pipelines.train.captioner.data import add_noise
from pipelines.train.captioner.dataset_task import DatasetCaptioner
from pipelines.train.captioner.words import read_gpt2
from pipelines.train.distributed import WorkerGroup
from pipelines.train.task import StepDraw
from pipelines.train.trainer import Trainer
from schemas.recipe import OptimizerSettings, Recipe
from tests.pipelines.train.captioner.toy_captions import CONFIG, KINDS, ToyCaptioner, make_vectors, write_gpt2

CPU = torch.device("cpu")


def train(task, folder, **recipe):
    chosen = Recipe(**({"steps": 2, "batch": 16, "optimizer": OptimizerSettings(lr=5e-3)} | recipe))
    return Trainer(task, chosen, Root.from_url(str(folder / "run")), name="toy", caches=folder, device=CPU)


def test_it_comes_to_say_what_a_vector_is_of(tmp_path):
    """Of both families by one GPT-2, through the files that it leaves."""
    made = tmp_path / "made"
    made.mkdir()
    train(ToyCaptioner(hidden=16, noise=0.01), tmp_path, steps=150).train().export(made)
    card = read_captioner_card(made / "toy")
    rows = make_vectors()
    for column in ("clap_audio", "clip_image"):
        generator = CaptionerSpec(str(made / "toy"), column, batch_rows=4).open()
        held = rows.units_ND[rows.held_N].astype(np.float32)
        said = generator.generate({column: held}, range(len(held)), CaptionerParams(beams=2, tokens=8)).data

        assert [*said] == [f"a {KINDS[row % len(KINDS)]}" for row in rows.held_N]
    assert (card.trained_on, {*card.mappers}) == ("both", {"clip", "clap"})


def test_only_vectors_of_texts_are_moved(tmp_path):
    task = train(ToyCaptioner(noise=0.5), tmp_path).task
    batch = task.make_batch(0, WorkerGroup())
    stored = {tuple(row) for row in make_vectors().units_ND.astype(np.float32).tolist()}

    assert all(tuple(row) in stored for row in batch["clap"][0].tolist())
    assert not any(tuple(row) in stored for row in batch["clip"][0].tolist())
    torch.testing.assert_close(batch["clip"][0].norm(dim=1), torch.ones(8))


def test_noise_has_the_deviation_that_was_asked_for_before_it_is_normalised():
    units = np.tile(np.eye(1, 64, dtype=np.float16), (4_000, 1))
    moved = add_noise(units, 0.1, np.random.default_rng(0))
    ratio = moved[:, 1:] / moved[:, :1]

    assert np.array_equal(add_noise(units, 0.0, np.random.default_rng(0)), units)
    assert 0.095 < ratio.std() < 0.107


def test_a_frozen_gpt2_stays_as_it_is(tmp_path):
    trainer = train(ToyCaptioner(frozen=True), tmp_path)
    before = {name: each.clone() for name, each in trainer.net.state_dict().items()}
    trainer.train()
    changed = {
        name.partition(".")[0]
        for name, each in trainer.net.state_dict().items()
        if not torch.equal(each, before[name])
    }

    assert changed == {"mappers"}


def test_two_workers_share_the_batch_of_one(tmp_path):
    """Their losses add up to that of the whole batch."""
    trainer = train(ToyCaptioner(), tmp_path)
    task, draw = trainer.task, StepDraw(0, 3, CPU, "fp32")
    groups = [WorkerGroup(), *(WorkerGroup(rank, 2) for rank in (0, 1))]
    batches = [task.make_batch(3, group) for group in groups]
    whole, *halves = (
        task.compute_loss(trainer.net, batch, draw, group).total
        for batch, group in zip(batches, groups, strict=True)
    )

    assert len(batches[1]["clap"][0]) == 4
    torch.testing.assert_close(whole, halves[0] + halves[1])


def test_a_gpt2_begins_with_its_own_weights(tmp_path):
    """Those of a pickle, too, which is read as tensors alone."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = write_gpt2(tmp_path / "gpt2")
    net = GPT2LMHeadModel(GPT2Config(**CONFIG))
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    words = read_gpt2(folder)

    assert words.weights is not None
    assert torch.equal(words.weights["transformer.h.0.mlp.c_fc.weight"], net.transformer.h[0].mlp.c_fc.weight)
    assert words.tokenizer.decode(words.tokenizer.tokenize("a dog, twice")) == "a dog, twice"


def test_what_is_no_gpt2_is_refused_in_a_sentence(tmp_path):
    small = write_gpt2(tmp_path / "small", CONFIG | {"vocab_size": 200, "eos_token_id": 199})
    bare = tmp_path / "bare"
    bare.mkdir()
    unsaid = write_gpt2(tmp_path / "unsaid", CONFIG)
    (unsaid / "config.json").write_text('{"n_embd": 32}')
    pickled = write_gpt2(tmp_path / "pickled")
    torch.save({"wte.weight": print}, pickled / "pytorch_model.bin")
    for folder, expected in (
        (tmp_path / "none", "there is no folder"),
        (small, "has 257 tokens and the captioner 200"),
        (bare, "does not say which GPT-2"),
        (unsaid, "does not say which GPT-2"),
        (pickled, "cannot be loaded"),
    ):
        with pytest.raises(ConfigError, match=expected):
            read_gpt2(folder)


def test_settings_that_lead_nowhere_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="one mapper a family"):
        DatasetCaptioner(columns=("clip_text", "clip_image"))
    with pytest.raises(ConfigError, match="give its folder, as in gpt2="):
        train(DatasetCaptioner(), tmp_path)
    with pytest.raises(ConfigError, match="too few for 100 in a batch"):
        train(ToyCaptioner(), tmp_path, batch=200)
