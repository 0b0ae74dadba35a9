"""The pocket AudioLDM: how it is trained, and what the weights in the repository can do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jobs.shared.pocket_models import PocketPlan, train_pocket
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import ConfigError
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.spec import choose_audioldm as pocket
from pipelines.train.pocket.audioldm_eval import evaluate

AUDIOLDM = WEIGHTS / "audioldm"


def test_the_committed_weights_are_small_halves() -> None:
    """With pocket CLIP and pocket CLAP they take less than 12 MB."""
    files = list(AUDIOLDM.rglob("*.safetensors"))
    kept = [tensor for file in files for tensor in load_file(file).values() if tensor.is_floating_point()]

    assert {"unet", "vae", "vocoder", "text_encoder"} == {file.parent.name for file in files}
    assert {torch.float16} == {tensor.dtype for tensor in kept}
    folders = [WEIGHTS / name for name in ("audioldm", "clap", "clip")]
    sizes = [file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert sum(sizes) < 12_000_000


def test_the_committed_folder_is_a_pipeline_of_diffusers() -> None:
    """It loads as the real ones do, in fp32, and makes the sounds that our own sampler makes."""
    from diffusers import AudioLDMPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = AudioLDMPipeline.from_pretrained(AUDIOLDM, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    generator = pocket(batch_rows=2).open()
    vectors_ND = generator.encode_text(["a dog barks twice", "a bell rings in a room"])

    expected_NT = pipeline(
        prompt_embeds=torch.from_numpy(vectors_ND),
        negative_prompt_embeds=torch.from_numpy(generator.encode_text(["", ""])),
        audio_length_in_s=2.5,
        num_inference_steps=3,
        generator=[torch.Generator().manual_seed(seed) for seed in (0, 1)],
    ).audios
    params = AudioLdmParams(length_s=2.5, steps=3)

    np.testing.assert_allclose(
        expected_NT, generator.generate_waves(vectors_ND, [0, 1], params), rtol=0, atol=1e-5
    )


def train(out: Path, seed: int = 0, progress: Any = None) -> dict[str, float]:
    """Train for four steps of small batches."""
    sizes, recipe = {"draws": 3, "block": 2}, {"batch": 2, "checkpoint_every": 2}
    return train_pocket("audioldm", PocketPlan(out, seed, 4, sizes, recipe, progress))


@pytest.mark.slow
@pytest.mark.usefixtures("on_one_thread")
def test_a_cut_training_goes_on(tmp_path: Path) -> None:
    """Cut in its last part and taken up again, a training ends in the same files."""
    # Of four steps of the UNet, the VAE and the vocoder have one each; three sounds are two blocks.
    found = train(tmp_path / "whole")
    assert found["parameters"] < 3_600_000
    stages = {"real", "real_16k", "vocoded", "decoded", "text", "sound", "guided_away"}
    heard_as = evaluate(tmp_path / "whole", seed=5, rows=2)
    assert stages == set(heard_as)
    assert heard_as["real"] == 1
    told: list[int] = []

    def cut(step: int, _: float) -> None:
        told.append(step)
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", progress=cut)
    assert [1, 1, 1, 2, 3] == told
    assert not (tmp_path / "cut").exists()
    with pytest.raises(ConfigError, match="finish that one or remove"):
        train(tmp_path / "cut", seed=1)
    again: list[int] = []
    train(tmp_path / "cut", progress=lambda step, _: again.append(step))
    assert [3, 4] == again
    whole = sorted(file for file in (tmp_path / "whole").rglob("*") if file.is_file())
    assert {"README.md", "model_index.json"} <= {file.name for file in whole}
    for file in whole:
        assert file.read_bytes() == (tmp_path / "cut" / file.relative_to(tmp_path / "whole")).read_bytes()
