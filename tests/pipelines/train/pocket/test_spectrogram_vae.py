"""The pocket VAE from scratch: written as it ships, measured, and better than nothing where it ships."""

import numpy as np
import pytest
import torch

from jobs.shared.pocket_models import MODELS, PocketPlan, find_evaluation, train_pocket
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.metrics.intervals import compute_wilson
from pipelines.miniature.world import KINDS, draw_heldout
from pipelines.models.vae_files import load_vae
from pipelines.train.pocket.spectrogram_vae import cut_segments, find_starts, render_spectrogram
from pipelines.train.vae.data import SegmentBatch
from pipelines.train.vae.scores import score_vae
from schemas.spectrogram_vae import VaeNet

SMALL = VaeNet(frames=64, latent=4, widths=(8, 8, 8), condition=8)


def test_a_short_training_is_measured(one_thread, tmp_path):
    """All sets by both judges, with n so small that intervals are wide; the weights are in half precision."""
    assert "animal_vae" in MODELS
    out = tmp_path / "animal_vae"
    settings = {"net": SMALL, "scenes": 24, "held": 6}
    result = train_pocket("animal_vae", PocketPlan(out, steps=2, settings=settings))
    scores = find_evaluation("animal_vae")(out, 0, 2)

    assert result["steps"] == 2
    assert {file.name for file in out.iterdir()} == {"vae.json", "vae.safetensors"}
    assert load_vae(out).card.classes == KINDS
    judges, sets = ("cnn", "transformer"), ("real", "vocoded", "segment", "decoded", "samples", "untrained")
    for name in (f"pocket-sound-{judge}_{each}_kind" for judge in judges for each in sets):
        assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"]
    assert scores["pocket-sound-cnn_real_kind"] == 1.0
    assert {"elbo_nats", "bits_per_dimension", "active_units", "copied", "nearest"} <= {*scores}
    assert scores["training"] == 20


def test_what_ships_reconstructs_what_it_never_heard(one_thread):
    """All its units are in use, and held-out segments come back within the noise that it has learnt."""
    vae = load_vae(WEIGHTS / "animal_vae")
    scenes = [draw_heldout(3, number) for number in range(24)]
    whole = np.stack([render_spectrogram(scene, vae.card.front) for scene in scenes])
    segments = torch.from_numpy(cut_segments(whole, find_starts(whole, vae.card), vae.card))
    held = SegmentBatch(segments, torch.tensor([KINDS.index(scene.kind) for scene in scenes]))
    scores = score_vae(vae.net, vae.card, held, held)

    assert (32.0, 0.0) == (scores["active_units"], scores["collapsed_units"])
    assert scores["bits_per_dimension"] < 4.3
    assert scores["error_db"] < 4.5
    assert 40 < scores["kl_nats"] < 120


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_intervals_are_wilsons(right, count, low, high):
    """Known answers, to four digits."""
    assert compute_wilson(right, count) == pytest.approx((low, high), abs=1e-4)
