"""The pocket AudioLDM: how it is trained, and what the weights in the repository can do."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import ConfigError
from pipelines.generate.audioldm.pocket import make_pocket_audioldm as pocket
from pipelines.generate.generator import SamplingParams
from pipelines.miniature import world
from pipelines.train.pocket import audioldm, vae, vae_init, vocoder
from pipelines.train.pocket.audioldm_data import (
    HOP,
    SAMPLE_RATE,
    SAMPLES,
    SoundSampler,
    compute_log_mels,
    render_sound,
)
from pipelines.train.pocket.unet import draw_conditions
from pipelines.train.pocket.vocoder import measure_spectral_distance
from pipelines.train.pocket.vocoder_init import tune
from pipelines.train.trainer import AudioLdmSizes

AUDIOLDM = WEIGHTS / "audioldm"
SMALL = AudioLdmSizes(draws=12, block=8, vae_batch=2, vocoder_batch=2, unet_batch=2, checkpoint_every=2)


def test_the_committed_weights_are_small_halves() -> None:
    """With pocket CLIP and pocket CLAP they take less than 12 MB."""
    files = list(AUDIOLDM.rglob("*.safetensors"))
    kept = [tensor for file in files for tensor in load_file(file).values() if tensor.is_floating_point()]

    assert {"unet", "vae", "vocoder", "text_encoder"} == {file.parent.name for file in files}
    assert {torch.float16} == {tensor.dtype for tensor in kept}
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) < 12_000_000


def test_the_committed_folder_is_a_pipeline_of_diffusers() -> None:
    """It loads as the real ones do, in fp32, and makes the sounds that our own sampler makes."""
    from diffusers import AudioLDMPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = AudioLDMPipeline.from_pretrained(AUDIOLDM, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    generator = pocket(batch_rows=2).load()
    vectors_ND = generator.encode_text(["a dog barks twice", "a bell rings in a room"])

    expected_NT = pipeline(
        prompt_embeds=torch.from_numpy(vectors_ND),
        negative_prompt_embeds=torch.from_numpy(generator.encode_text(["", ""])),
        audio_length_in_s=2.5,
        num_inference_steps=3,
        generator=[torch.Generator().manual_seed(seed) for seed in (0, 1)],
    ).audios
    own = type(generator)(generator.nets, generator.texts, 2, normalize=False)

    np.testing.assert_allclose(
        expected_NT, own.generate(vectors_ND, [0, 1], SamplingParams(2.5, 3)), rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_the_committed_weights_are_heard_as_what_was_asked_for() -> None:
    """Pocket CLAP names the kind of sounds from captions and templates that were never trained on."""
    scores = audioldm.evaluate(AUDIOLDM, seed=5, rows=48)

    assert scores["real"] > 0.9
    assert scores["vocoded"] > 0.85
    assert scores["decoded"] > 0.85
    assert scores["text"] > 0.75
    assert scores["sound"] > 0.7
    assert scores["guided_away"] < 0.2


@pytest.mark.parametrize("length_s", [0.64, 5.12], ids=str)
def test_a_spectrogram_has_a_frame_for_every_hop(length_s: float) -> None:
    """Frames are as many as the vocoder makes samples of, and of about mean 0 and spread 1."""
    waves = [render_sound(world.draw(3, "heldout", index))[1] for index in range(8)]
    samples = round(length_s * SAMPLE_RATE)

    mels = compute_log_mels(torch.from_numpy(np.stack(waves)[:, :samples]))

    assert (8, samples // HOP, 64) == tuple(mels.shape)
    assert abs(float(mels.mean())) < 0.5
    assert 0.6 < float(mels.std()) < 1.4


def test_a_sound_is_heard_equally_loud_at_both_rates() -> None:
    """What pocket CLAP hears and what the nets learn are one sound, peaking at 0.7."""
    full, wave = render_sound(world.draw(0, "train", 4))

    assert (3 * SAMPLES, SAMPLES) == (len(full), len(wave))
    assert pytest.approx(0.7, abs=1e-6) == np.abs(full).max()
    kept = np.corrcoef(full[::3], wave)[0, 1]
    assert kept > 0.5


def test_spectra_tell_waves_apart() -> None:
    """A wave is at no distance from itself and none from its mirror image; noise is far from a tone."""
    times = torch.arange(16_000) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * 440 * times)[None]
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))

    assert float(measure_spectral_distance(tone, tone)) == 0
    assert float(measure_spectral_distance(-tone, tone)) == pytest.approx(0, abs=1e-6)
    assert float(measure_spectral_distance(noise, tone)) > 2


def test_the_vocoder_begins_as_a_bank_of_tones() -> None:
    """Before any training it plays a spectrogram back: a fifth of its spread off, and as loud."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    net = SpeechT5HifiGan(SpeechT5HifiGanConfig(**vocoder.CONFIG))
    waves = np.stack([render_sound(world.draw(3, "heldout", index))[1] for index in range(6)])
    mels = compute_log_mels(torch.from_numpy(waves))
    with torch.inference_mode():
        untuned = compute_log_mels(net(mels)) - mels
        tune(net)
        missed = compute_log_mels(net(mels)) - mels

    assert tuple(untuned.shape) == (6, SAMPLES // HOP, 64)
    assert float(untuned.abs().mean()) > 1
    assert float(missed.abs().mean()) < 0.25
    assert abs(float(missed.mean())) < 0.1


def test_the_vae_begins_with_principal_components() -> None:
    """Before any training it gives unseen spectrograms back, blurred: a quarter of their spread off."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    net = AutoencoderKL(**vae.CONFIG).eval()
    waves = np.stack([render_sound(world.draw(3, "heldout", index))[1] for index in range(40)])
    mels = compute_log_mels(torch.from_numpy(waves))
    seen, unseen = mels[:34], mels[34:, None]
    with torch.inference_mode():
        untuned = net.decode(net.encode(unseen).latent_dist.mean).sample - unseen
    vae_init.tune(net, seen)
    with torch.inference_mode():
        latents = net.encode(unseen).latent_dist
        missed = net.decode(latents.mean).sample - unseen

    assert float(untuned.abs().mean()) > 0.6
    assert float(missed.abs().mean()) < 0.35
    assert 0.5 < float(latents.mean.std()) < 2
    assert float(latents.std.max()) < 0.1


@pytest.mark.usefixtures("on_one_thread")
def test_wishes_are_unit_vectors_of_what_is_heard(tmp_path: Path) -> None:
    """Told are captions, sounds or nothing; strayed ones still point where they should."""
    sounds = SoundSampler(tmp_path, 0, WEIGHTS / "clap", SMALL)
    indices = np.repeat(np.arange(12), 50)
    made_ND = draw_conditions(sounds, indices, np.random.default_rng(0))

    np.testing.assert_allclose(np.linalg.norm(made_ND, axis=1), 1, rtol=1e-5)
    silent = (made_ND == sounds.unconditional_D).all(axis=1)
    assert 0.05 < silent.mean() < 0.16
    heard_N = (made_ND * sounds.audio_ND[indices]).sum(1)
    said_N = (made_ND[:, None] * sounds.text_NCD[indices]).sum(-1).max(1)
    assert np.maximum(heard_N, said_N)[~silent].min() > 0.6


@pytest.mark.slow
@pytest.mark.usefixtures("on_one_thread")
def test_a_cut_training_goes_on(tmp_path: Path) -> None:
    """Cut in its last part and taken up again, a training ends in the same files."""
    # Of four steps of the UNet, the VAE and the vocoder have one each; three sounds are two blocks.
    steps, sizes = 4, replace(SMALL, draws=3, block=2)
    scores = audioldm.train(tmp_path / "whole", 0, steps, sizes=sizes)
    assert scores["parameters"] < 3_600_000
    stages = {"real", "real_16k", "vocoded", "decoded", "text", "sound", "guided_away"}
    heard_as = audioldm.evaluate(tmp_path / "whole", seed=5, rows=2)
    assert stages == set(heard_as)
    assert heard_as["real"] == 1
    told: list[int] = []

    def cut(step: int, _: float) -> None:
        told.append(step)
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audioldm.train(tmp_path / "cut", 0, steps, cut, sizes=sizes)
    assert [1, 1, 1, 2, 3] == told
    assert not (tmp_path / "cut").exists()
    with pytest.raises(ConfigError, match="finish that one or remove"):
        audioldm.train(tmp_path / "cut", 1, steps, sizes=sizes)
    again: list[int] = []
    audioldm.train(tmp_path / "cut", 0, steps, lambda step, _: again.append(step), sizes=sizes)
    assert [3, 4] == again
    whole = sorted(file for file in (tmp_path / "whole").rglob("*") if file.is_file())
    assert {"README.md", "model_index.json"} <= {file.name for file in whole}
    for file in whole:
        assert file.read_bytes() == (tmp_path / "cut" / file.relative_to(tmp_path / "whole")).read_bytes()
