"""The stages of an adapter: each learns what it is for, goes on where another ended, and resumes."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipelines.errors import ConfigError
from pipelines.models.adapter_files import load_adapter
from pipelines.store.root import Root
from pipelines.train.adapter.criterion import compute_word_means
from pipelines.train.adapter.data import read_latents
from pipelines.train.distributed import WorkerGroup
from pipelines.train.gradients import compute_gradients
from pipelines.train.task import StepDraw
from pipelines.train.trainer import Trainer, fit
from schemas.audio_adapter import AdapterLoss, AdapterSettings, Annealing
from schemas.recipe import OptimizerSettings, Recipe
from tests.pipelines.train.adapter.toy_sounds import ToyAlignment, ToyPainting, make_data

CPU = torch.device("cpu")
SMALL = AdapterSettings(hidden=32, depth=1)
FAST = OptimizerSettings(lr=3e-3)


def train(task, tmp_path, name="run", **recipe):
    chosen = Recipe(**({"steps": 2, "batch": 8, "optimizer": FAST} | recipe))
    return Trainer(task, chosen, Root.from_url(str(tmp_path / name)), caches=tmp_path, device=CPU)


def align(base, **settings):
    return ToyAlignment(base=str(base), adapter=SMALL, **settings)


def paint(base, **settings):
    return ToyPainting(base=str(base), adapter=SMALL, **settings)


def test_sounds_come_to_lie_among_their_words(tiny_base, tmp_path):
    """Held-out sounds, too."""
    trainer = train(align(tiny_base), tmp_path, steps=60, batch=16)
    before = trainer.task.validate(trainer.net)[""]
    after = trainer.train().task.validate(trainer.net)[""]
    assert after["cosine"] > max(0.5, before["cosine"] + 0.2)


def test_a_sound_takes_off_the_error_of_its_picture(tiny_base, tmp_path):
    """With nothing said beside it, through a UNet that does not change."""
    task = paint(tiny_base, loss=AdapterLoss(diffusion=1.0, drop_words=0.3))
    trainer = train(task, tmp_path, steps=60, batch=16)
    frozen = {name: each.clone() for name, each in task.diffusion.unet.named_parameters()}
    before = task.validate(trainer.net)[""]
    after = trainer.train().task.validate(trainer.net)[""]
    assert after["gain"] > max(1e-4, before["gain"])
    assert after["error"] < before["error"]
    assert all(torch.equal(frozen[name], each) for name, each in task.diffusion.unet.named_parameters())


def test_each_stage_goes_on_from_the_one_before(tiny_base, tmp_path):
    """And what is exported says its base and space, and has the temperature of the end."""
    anneal = Annealing(start=2.0, steps=10, warmup=2)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    recipe = Recipe(steps=3, batch=8)
    first = align(tiny_base, anneal=anneal)
    fit(
        first, recipe, Root.from_url(str(tmp_path / "a")), name="first", out=tmp_path / "one", caches=tmp_path
    )
    task = paint(tiny_base, loss=AdapterLoss(diffusion=2.0, consistency=0.5, alignment=0.3))
    trainer = train(task, tmp_path, "b", init_from=str(tmp_path / "one" / "first"))
    exported, card = load_adapter(tmp_path / "one" / "first")
    for (name, own), given in zip(exported.named_parameters(), trainer.net.parameters(), strict=True):
        assert torch.equal(own, given), name
    assert trainer.task.data.space.identity == card.space
    assert card.base is not None
    assert exported.temperature == 0.5
    (made,) = trainer.train().export(tmp_path / "two")
    assert {"adapter.safetensors", "tokens.safetensors", "audio_adapter.json"} == {*made.files}
    with pytest.raises(ConfigError, match="of other settings"):
        train(
            ToyPainting(base=str(tiny_base), adapter=SMALL.model_copy(update={"depth": 0})),
            tmp_path,
            "c",
            init_from=str(tmp_path / "one" / "first"),
        )


@pytest.mark.parametrize("make", [align, paint])
def test_a_cut_training_ends_as_an_uncut_one(make, tiny_base, tmp_path):
    task_settings = {"anneal": Annealing(start=2.0, steps=6, warmup=1)}
    whole = train(make(tiny_base, **task_settings), tmp_path, "whole", steps=4, checkpoint_every=2).train()
    train(make(tiny_base, **task_settings), tmp_path, "cut", steps=4, checkpoint_every=2).train(until=3)
    again = train(make(tiny_base, **task_settings), tmp_path, "cut", steps=4, checkpoint_every=2)
    assert again.step == 2
    again.train()
    for one, other in zip(whole.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("make", [align, paint])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(make, tiny_base, tmp_path):
    """Also where all sounds of a batch are compared."""
    found = []
    for parts in (1, 4):
        trainer = train(make(tiny_base), tmp_path, f"parts-{parts}", accumulate=parts)
        batch = trainer.task.make_batch(0, WorkerGroup())
        loss = compute_gradients(
            trainer.task, trainer.net, batch, StepDraw(0, 0, CPU, "fp32"), WorkerGroup(), parts
        )
        grads = [each.grad.flatten() for each in trainer.net.parameters() if each.grad is not None]
        found.append((float(loss.total), torch.cat(grads)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-5)


def test_workers_share_a_batch(tiny_base, tmp_path):
    """Their shares are the batch of one worker, noise and dropped conditions included."""
    trainer = train(paint(tiny_base, loss=AdapterLoss(diffusion=1, consistency=1)), tmp_path)
    whole = trainer.task.make_batch(5, WorkerGroup())
    shares = [trainer.task.make_batch(5, WorkerGroup(rank, 2)) for rank in (0, 1)]
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, torch.cat([share[name] for share in shares]))


def test_conditions_are_dropped_at_their_rates(tiny_base, tmp_path):
    loss = AdapterLoss(diffusion=1, drop_sound=0.2, drop_words=0.3, drop_both=0.1)
    task = train(paint(tiny_base, loss=loss), tmp_path, batch=40).task
    batches = [task.make_batch(step, WorkerGroup()) for step in range(25)]
    sound, words = (torch.cat([each[f"without_{name}"] for each in batches]) for name in ("sound", "words"))
    rates = [float(each.float().mean()) for each in (sound, words, sound & words)]
    assert [0.3, 0.4, 0.1] == pytest.approx(rates, abs=0.05)


def test_latents_are_encoded_once_for_each_vae_and_data(tiny_base, tmp_path):
    vae = train(paint(tiny_base), tmp_path).task.diffusion.vae
    before = sorted(file.name for file in tmp_path.glob("picture-latents-*"))
    data = make_data()
    calls = []
    counted = make_data(fingerprint="other")
    object.__setattr__(counted, "iterate_pixels", lambda px: calls.append(px) or data.iterate_pixels(px))
    for _ in range(2):
        latents = read_latents(counted, vae, 64, "sha", tmp_path)
    assert calls == [64]
    assert (60, 2, 4, 8, 8) == latents.shape
    assert len(before) == 1
    assert 2 == len(list(tmp_path.glob("picture-latents-*")))


def test_two_windows_are_different_ones_where_there_are_two():
    data = make_data()
    rows = np.arange(60)
    one, other = data.draw_windows(rows, np.random.default_rng(0))
    pairs = data.windows_MD.reshape(60, 2, -1).astype(np.float32)
    for row in rows:
        assert {0, 1} == {int(abs(pairs[row] - each[row]).sum(1).argmin()) for each in (one, other)}
    object.__setattr__(data, "starts_S", np.append(0, np.full(60, 0)))
    assert np.array_equal(data.draw_windows(rows, np.random.default_rng(0))[0], data.sounds_SD.astype("f4"))


def test_padding_is_no_word():
    states = torch.arange(12.0).view(1, 4, 3)
    assert [1.5, 2.5, 3.5] == compute_word_means(states, torch.tensor([2]))[0].tolist()


def test_what_cannot_be_trained_is_refused_in_one_sentence(tiny_base, tmp_path):
    with pytest.raises(ConfigError, match=r"48 sounds .* too few for batches of 64"):
        train(align(tiny_base), tmp_path, batch=64)
    with pytest.raises(ConfigError, match="is no Stable Diffusion"):
        train(align(tmp_path), tmp_path)
    with pytest.raises(ConfigError, match="whole batch"):
        train(paint(tiny_base, loss=AdapterLoss(info_nce=1, diffusion=1)), tmp_path)
    silent = paint(tiny_base, loss=AdapterLoss(diffusion=1, consistency=1))
    silent.windows = False
    with pytest.raises(ConfigError, match="none are read; take windows: true"):
        train(silent, tmp_path)
    with pytest.raises(ValidationError, match="nothing ties tokens to a sound"):
        AdapterLoss()
