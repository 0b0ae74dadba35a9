"""Stages of an adapter with the command: one begins with the model of another, and leaves an adapter."""

from pathlib import Path

import pytest
import yaml

from pipelines.generate.stable_diffusion.spec import Clap2DiffusionSpec
from tests.clips_by_hand import build_clips
from tests.commands import HOME, echolens
from tests.pipelines.random_diffusion import save_base

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]

PRESET = HOME / "jobs" / "presets" / "clap2diffusion.yaml"


def test_the_stages_leave_an_adapter_in_the_root(tmp_path):
    made = build_clips(tmp_path / "world", 60, "encode.windows=true")
    root, base = Path(made.dataset().root), save_base(tmp_path / "base")
    series = yaml.safe_load(PRESET.read_text())
    # The first and the last: the second is the last one with other weights.
    series["presets"] = [series["presets"][0], series["presets"][2]]
    series["presets"][1]["recipe"]["init_from"] = "models/clap2diffusion-align"
    for stage in series["presets"]:
        stage["base"] = str(base)
        stage["recipe"] |= {"steps": 2, "batch": 8, "accumulate": 2, "validate_every": 2, "schedule": {}}
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(series))
    echolens("train", root, "--preset", tmp_path / "short.yaml")

    names = ("clap2diffusion-align", "clap2diffusion")
    assert {*names} == {path.name for path in (root / "models").iterdir() if path.is_dir()}
    info = Clap2DiffusionSpec(str(root / "models" / names[-1]), str(base)).describe()
    assert ("clap_audio", "caption") == info.reads
    assert info.spaces[0][1].endswith("/16d")
