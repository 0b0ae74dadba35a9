"""The VAE of spectrograms as a task: its ELBO, its resume, its sources, and what it refuses."""

import hashlib
import io
import logging
import math

import numpy as np
import pytest
import soundfile
import torch

from jobs.shared.presets import list_presets, read_preset
from pipelines.compute.child_process import use_this_process
from pipelines.errors import ConfigError
from pipelines.models.spectrogram_vae import ModernVae
from pipelines.models.vae_files import load_vae
from pipelines.store.root import Root
from pipelines.train.dataset import TrainingDataset
from pipelines.train.pocket.spectrogram_vae import PocketSpectrogramVae
from pipelines.train.registry import list_tasks, make_task
from pipelines.train.task import StepDraw
from pipelines.train.trainer import Trainer
from pipelines.train.vae.data import SegmentBatch
from pipelines.train.vae.dataset_task import SpectrogramVaeTask
from pipelines.train.vae.fitted_prior import fit_prior
from pipelines.train.vae.scores import score_vae
from schemas.recipe import Recipe
from schemas.spectrogram_vae import SpectrogramFront, VaeCard, VaeNet
from tests.by_hand import ByHand

SMALL = {"kind": "modern", "frames": 64, "latent": 4, "widths": [8, 8, 8], "condition": 8}
WORDS = ("dog barking", "cat purring")


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """The rendered sounds of the small trainings."""
    return tmp_path_factory.mktemp("caches")


def begin(task, folder, caches, **recipe):
    chosen = Recipe(**({"steps": 6, "batch": 4, "optimizer": {"lr": 1e-3}} | recipe))
    return Trainer(task, chosen, Root.from_url(str(folder)), caches=caches, name="tiny")


def pocket(**settings):
    return PocketSpectrogramVae(**({"net": SMALL, "scenes": 24, "held": 8} | settings))


def test_a_training_that_was_cut_ends_in_the_same_weights(one_thread, tmp_path, caches):
    """Noise, classes and segments of a step depend on seed and step alone."""
    recipe = {"checkpoint_every": 3, "ema": 0.9}
    whole = begin(pocket(), tmp_path / "whole", caches, **recipe).train()
    begin(pocket(), tmp_path / "cut", caches, **recipe).train(until=3)
    resumed = begin(pocket(), tmp_path / "cut", caches, **recipe)

    assert resumed.step == 3
    resumed.train()
    for one, other in zip(whole.net.parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(one, other)
    moved = begin(pocket(), tmp_path / "other", caches, **recipe | {"seed": 1}).train()
    assert not torch.equal(whole.net.code.weight, moved.net.code.weight)


def test_what_is_trained_is_loaded_with_its_laws(one_thread, tmp_path, caches):
    """The card has the ELBO in parts; the classes are those of the training sounds."""
    trainer = begin(pocket(), tmp_path / "run", caches).train()
    (tmp_path / "out").mkdir()
    (card,) = trainer.export(tmp_path / "out")
    vae = load_vae(tmp_path / "out" / "tiny")
    scores = card.scores

    assert scores["elbo_nats"] == pytest.approx(scores["reconstruction_nats"] - scores["kl_nats"], rel=1e-4)
    assert (4.0, "elbo_nats") == (scores["units"], next(iter(scores)))
    assert sum(vae.card.counts) == 24
    assert vae.fitted.means_CD.shape == (25, 4)
    latents_ND = vae.fitted.sample(torch.tensor([0, 24]), torch.zeros(2, 4))
    assert torch.allclose(latents_ND, vae.fitted.means_CD[[0, 24]])
    # Half precision, as it ships.
    assert torch.allclose(
        vae.decode(latents_ND, torch.tensor([0, 24])),
        trainer.net.decode(latents_ND, torch.tensor([0, 24])),
        atol=0.02,
    )


def test_the_scores_have_known_answers(one_thread):
    """Of a net that says nothing: the KL is 0, no unit is active, and the ELBO is that of a normal law."""
    card = VaeCard(front=SpectrogramFront(bands=16), net=VaeNet(**SMALL | {"frames": 16}))
    net = ModernVae(16, 16, latent=4, widths=(8, 8, 8)).eval()
    with torch.no_grad():
        for each in (net.posterior, net.out):
            each.weight.zero_()
            each.bias.zero_()
    held = SegmentBatch(torch.full((3, 1, 16, 16), 2.0), torch.zeros(3, dtype=torch.int64))
    scores = score_vae(net, card, held, held)
    nats = -256 * (math.log(2 * math.pi) + 4) / 2

    assert (0.0, 0.0, 4.0) == (scores["kl_nats"], scores["active_units"], scores["collapsed_units"])
    assert scores["elbo_nats"] == pytest.approx(nats, rel=1e-6)
    scale_db = 1.3 * 20 / math.log(10)
    assert scores["bits_per_dimension"] == pytest.approx(-nats / 256 / math.log(2) + math.log2(scale_db))
    assert scores["error_db"] == pytest.approx(2 * scale_db)


def test_a_collapsed_posterior_is_said(one_thread, tmp_path, caches, caplog):
    """After no more than a step of a large penalty, and in the card."""
    task = pocket(kl={"beta": 100.0, "warmup_share": 0.0, "free_nats": 0.0})
    trainer = begin(task, tmp_path / "run", caches, steps=1, optimizer={"lr": 1e-6}).train()
    with torch.no_grad():
        trainer.net.posterior.weight.zero_()
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING):
        trainer.task.save(trainer.net.eval(), tmp_path / "out")

    assert "tiny: 4 of 4 dimensions of the latent say nothing" in caplog.text


def test_laws_are_those_of_the_latents():
    """Of many draws the covariance; of a single sound that of all classes; of none the law of all."""
    from pipelines.models.spectrogram_vae import Posterior

    generator = torch.Generator().manual_seed(0)
    mix = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    means_ND = torch.randn((4000, 2), generator=generator) @ mix.T + torch.tensor([3.0, -1.0])
    classes_N = torch.zeros(4000, dtype=torch.int64)
    classes_N[0] = 1
    found = fit_prior(Posterior(means_ND, torch.full((4000, 2), math.log(0.5))), classes_N, 3)
    expected = mix @ mix.T + 0.5 * torch.eye(2)

    assert torch.allclose(found.means_CD[0], torch.tensor([3.0, -1.0]), atol=0.1)
    covariances = found.factors_CDD @ found.factors_CDD.transpose(1, 2)
    assert torch.allclose(covariances[0], expected, atol=0.1)
    assert torch.allclose(found.means_CD[1], means_ND[0])
    assert torch.allclose(covariances[1], expected * 2 / 3 + 0.5 / 3 * torch.eye(2), atol=0.1)
    assert torch.equal(found.means_CD[2], found.means_CD[3])


def sing(url: str) -> bytes:
    """Return a tone of 1.5 s that a link decides."""
    pitch = 200 + int.from_bytes(hashlib.sha256(url.encode()).digest()[:2]) % 2000
    file = io.BytesIO()
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(24_000) / 16_000)
    soundfile.write(file, wave, 16_000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


class Singing(ByHand):
    """A dataset by hand whose clips have sounds that are sounds."""

    def _fetched(self, root, shard):
        batch = super()._fetched(root, shard)
        return batch | {"flac": [sing(url) for url in batch["media_url"]]}


@pytest.fixture(scope="module")
def singing(tmp_path_factory):
    """A version of 40 clips."""
    made = Singing(tmp_path_factory.mktemp("singing") / "world", shard_rows=20)
    made.lists({"http://127.0.0.1/1.jpg": "a picture"}, texts=40)
    file = made.folder / "by_hand.yaml"
    media = 'media: "http://127.0.0.1/{youtube_id}_{start_s}.mp4"'
    file.write_text(file.read_text().replace("take: text", media))
    with use_this_process():
        made.build()
    return TrainingDataset(Root.from_url(made.dataset().root), "by-hand", 20, 1)


def from_preset(name, dataset, **settings):
    preset = read_preset(name, ())
    assert "spectrogram_vae" in list_tasks()
    return make_task(preset.model_copy(update=settings), dataset, ()), preset


def test_sounds_of_a_dataset_are_validated_on_other_sources(one_thread, singing, tmp_path, caches):
    """Every clip is in one part; a class is a word of enough training sounds."""
    task = SpectrogramVaeTask(
        dataset=singing, net=SMALL, classes="caption", least_rows=1, lanes=2, split={"validation": 0.2}
    )
    trainer = begin(task, tmp_path / "run", caches, epochs=1, steps=None).train()
    data = trainer.task._data
    trained = data.read_training(100)

    assert trainer.steps * 4 >= len(trained.classes_N) > len(data.held.classes_N) >= 2
    assert sum(data.counts) == len(trained.classes_N)
    assert trained.spectrograms.shape[1:] == (1, 64, 64)
    # Captions of held-out sources are no classes.
    assert (data.held.classes_N == len(data.classes)).all()
    held = {each.numpy().tobytes() for each in data.held.spectrograms}
    assert not held & {each.numpy().tobytes() for each in trained.spectrograms}
    trainer.task.close()


def test_the_literal_form_takes_a_step(one_thread, singing, tmp_path, caches, monkeypatch):
    """With the sum of squares and 1e-5 of the right KL; the ELBO has the variance of training errors."""
    task, preset = from_preset("animal-vae-seed", singing)
    task.split = task.split.model_copy(update={"validation": 0.1})
    monkeypatch.setattr("pipelines.train.vae.task._SCORED_SOUNDS", 2)
    recipe = preset.recipe.model_copy(update={"epochs": None, "steps": 1})
    trainer = Trainer(task, recipe, Root.from_url(str(tmp_path)), caches=caches)
    batch = trainer.task.make_batch(0, trainer.task.context.group)

    assert batch["spectrograms"].shape == (2, 1, 512, 64)
    assert 0 <= batch["spectrograms"].min() <= batch["spectrograms"].max() <= 1
    assert trainer.task.card.classes == ()
    draw = StepDraw(0, 0, torch.device("cpu"), "fp32")
    loss = trainer.task.compute_loss(trainer.net, batch, draw, trainer.task.context.group)
    parts = {name: float(each) for name, each in loss.parts.items()}
    assert float(loss.total.detach()) * 512 * 64 == pytest.approx(
        parts["reconstruction"] + 1e-5 * parts["kl"], rel=1e-5
    )
    trainer.task.close()


def test_both_presets_are_of_the_task():
    assert {"animal-vae", "animal-vae-seed", "pocket_animal_vae"} <= {*list_presets()}
    seed = read_preset("animal-vae-seed", ())
    assert (1e-5, 2, 1e-4, 5000) == (
        float(seed.settings["kl"]["beta"]), seed.recipe.batch, seed.recipe.optimizer.lr, seed.recipe.epochs
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "recipe", "said"),
    [
        ({"drop_class": 1.5}, {}, "drop_class is 1.5; it must be a share"),
        ({"kl": {"fixed": True}}, {}, "the seed's net has a fixed variance, and the modern one learns it"),
        ({"net": SMALL | {"frames": 60}}, {}, "cannot be halved 3 times; take multiples of 8"),
        ({}, {"batch": 400}, "too few for batches of 400; build more clips"),
        ({}, {"batch": 4, "accumulate": 2}, "accumulate"),
    ],
)
def test_a_wrong_setting_is_one_sentence(one_thread, singing, tmp_path, caches, settings, recipe, said):
    with pytest.raises(ConfigError, match=said) as raised:
        begin(
            SpectrogramVaeTask(**({"dataset": singing, "net": SMALL, "lanes": 2} | settings)),
            tmp_path, caches, **recipe,
        )  # fmt: skip
    assert "\n" not in str(raised.value)
