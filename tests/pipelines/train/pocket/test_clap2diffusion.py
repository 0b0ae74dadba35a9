"""The pocket Stable Diffusion and its adapter, from drawn scenes to scores, a few steps of each."""

from __future__ import annotations

import pytest

from jobs.shared.pocket_models import PocketPlan, find_evaluation, train_pocket
from jobs.shared.presets import read_preset
from pipelines.generate.stable_diffusion.spec import Clap2DiffusionSpec
from pipelines.train.pocket.adapter_data import PocketAlignSounds, PocketPaintSounds


@pytest.fixture(scope="module")
def made(tmp_path_factory, one_thread):
    """A folder with both, after hardly any steps."""
    out = tmp_path_factory.mktemp("pocket")
    recipe = {"batch": 4, "validate_every": None}
    train_pocket(
        "stable_diffusion",
        PocketPlan(out / "stable_diffusion", 0, 2, {"draws": 8, "block": 4}, recipe),
    )
    train_pocket(
        "clap2diffusion",
        PocketPlan(out / "clap2diffusion", 0, 2, {"scenes": 24, "pictures": 2}, recipe),
    )
    return out


def test_the_stages_leave_an_adapter_of_the_base_beside_it(made):
    spec = Clap2DiffusionSpec(str(made / "clap2diffusion"), str(made / "stable_diffusion"))
    info = spec.describe()
    assert ("clap_audio", "caption") == info.reads
    assert "apache-2.0" == info.licence
    assert ["clap2diffusion", "stable_diffusion"] == sorted(path.name for path in made.iterdir())
    stored = sum(file.stat().st_size for file in made.rglob("*.safetensors"))
    assert 5e6 < stored < 6.5e6


def test_the_presets_name_the_tasks_and_weights_of_the_stages():
    kinds = {"pocket_adapter_align": PocketAlignSounds} | dict.fromkeys(
        ("pocket_adapter_adapt", "pocket_adapter_polish"), PocketPaintSounds
    )
    for name, kind in kinds.items():
        preset = read_preset(name, ())
        task = kind(**preset.settings)
        assert task.half
        assert task.is_mean is (kind is PocketPaintSounds)
    assert (2.0, 0.5, 0.3) == (task.loss.diffusion, task.loss.consistency, task.loss.alignment)


@pytest.mark.parametrize(
    ("model", "sets"),
    [
        ("stable_diffusion", {"real", "decoded", "text", "nothing"}),
        ("clap2diffusion", {"text", "sound", "both", "shuffled"}),
    ],
)
def test_pictures_are_scored_by_both_judges(model, sets, made):
    scores = find_evaluation(model)(made / model, 0, 4)
    names = {
        f"pocket-picture-{judge}_{which}_{key}"
        for judge in ("cnn", "vit")
        for which in sets
        for key in ("kind", "ground", "size", "count", "colour")
    }
    claims = {name for name in scores if "_norm_" in name}
    assert names == {*scores} - claims
    if model == "clap2diffusion":
        # Two judges, four norms, three strengths; three shares, and the joint one with its interval.
        assert 2 * 4 * 3 * 6 == len(claims)
        assert all(0 <= scores[name] <= 1 for name in claims)
    else:
        assert not claims
    if "real" in sets:
        assert scores["pocket-picture-cnn_real_kind"] >= 0.5
