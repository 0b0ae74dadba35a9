"""The generator `vae`: which latents a seed, a class and rows lead to, and how they become sounds."""

import numpy as np
import pytest
import torch

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.vae_segments import compute_spectrogram, decode_segment, find_onset, measure_loudness
from pipelines.errors import ConfigError
from pipelines.generate.media import encode_sound
from pipelines.generate.params import make_params
from pipelines.generate.registry import choose_generator, list_names
from pipelines.generate.vae.choose import choose_vae
from pipelines.generate.vae.griffin_lim import invert_amplitudes
from pipelines.generate.vae.params import VaeParams
from pipelines.models.spectrogram_front import compute_amplitudes, compute_spectrograms, restore_amplitudes
from pipelines.models.vae_files import SpectrogramVae, build_vae, load_vae, make_standard_prior, save_vae
from pipelines.train.pocket.audioldm_data import compute_log_mels
from schemas.generators import OtherGenerator
from schemas.spectrogram_vae import SpectrogramFront, VaeCard, VaeNet

NET = VaeNet(frames=64, latent=4, widths=(8, 8, 8), condition=8)
FRONT = SpectrogramFront()
CLASSES = ("cat", "dog")


def write_vae(folder, front=FRONT, classes=CLASSES, net=NET):
    """Write a VAE with random weights, whose laws are standard normal."""
    torch.manual_seed(0)
    card = VaeCard(front=front, net=net, classes=classes, counts=(3, 1)[: len(classes)])
    folder.mkdir(parents=True, exist_ok=True)
    save_vae(SpectrogramVae(build_vae(card), card, make_standard_prior(card)), folder)
    return folder


@pytest.fixture(scope="module")
def folder(one_thread, tmp_path_factory):
    return write_vae(tmp_path_factory.mktemp("vae") / "own")


@pytest.fixture(scope="module")
def generator(folder):
    return choose_vae(str(folder), batch_rows=3).open()


def make(generator, seeds=(1, 2), **params):
    return generator.generate({}, seeds, VaeParams(length_s=0.5, **params))


def test_a_sample_is_its_seeds(generator):
    """Whatever stands beside it in its batch; another seed is another sound."""
    samples = make(generator, (5, 6, 7, 8))

    assert ("sound", 16_000, (4, 8_000)) == (samples.medium, samples.rate_hz, samples.data.shape)
    assert np.array_equal(samples.data[3:], make(generator, (8,)).data)
    assert not np.array_equal(samples.data[0], samples.data[1])


def test_a_class_is_told_or_drawn(generator):
    """As often as it was in training; one that it never heard is a sentence that lists those it did."""
    params = VaeParams()
    drawn = generator._draw_classes([torch.Generator().manual_seed(n) for n in range(400)], params)

    assert (drawn == 0).float().mean() == pytest.approx(0.75, abs=0.06)
    with pytest.raises(
        ConfigError, match="never heard --class 'cow'; name one that it was trained on: cat, dog"
    ):
        make(generator, label="cow")


def test_a_longer_sound_is_the_segment_again(generator):
    """The segment is of 64 frames of 20 ms."""
    segment = generator.draw_spectrograms([1], VaeParams(label="dog"))
    found = []
    generator.vocode, kept = (
        lambda each: found.append(each) or torch.zeros(len(each), 10**6),
        generator.vocode,
    )
    generator.generate({}, [1], VaeParams(label="dog", length_s=2.0))
    generator.vocode = kept

    assert found[0].shape[3] == 100
    assert torch.allclose(found[0][:1, ..., :64], segment, atol=1e-4)
    assert torch.allclose(found[0][:1, ..., 64:], segment[..., :36], atol=1e-4)


def test_an_interpolation_is_one_file_from_sound_to_sound(generator):
    """Its ends are the two sounds; all seeds but their texture are alike."""
    ends = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 2.0, 0.0))
    params = {"between": ("1", "2"), "points": 3, "anchors": ends, "texture": 0.0}
    way = generator.draw_spectrograms([4], VaeParams(**params))
    told = torch.full((3,), len(CLASSES))
    points = torch.tensor([ends[0], (0.5, 0.0, 1.0, 0.0), ends[1]])

    assert way.shape == (1, 1, 64, 192)
    assert torch.allclose(way, torch.cat([*generator.vae.decode(points, told)], 2)[None], atol=1e-5)
    assert make(generator, (4,), **params).data.shape == (1, 3 * 64 * 320)
    with pytest.raises(ConfigError, match="has 0 latents of the rows 1, 2; give rows by `echolens generate"):
        make(generator, between=("1", "2"))
    with pytest.raises(ConfigError, match="like and between are two places of the latents"):
        make_params(VaeParams, {"between": ["1", "2"], "like": "3"}, "vae")


def test_what_is_like_a_row_lies_around_it(generator):
    """At a spread of 0 it is the row's own sound."""
    anchor = (0.3, -0.2, 0.1, 1.0)
    near = [
        generator.draw_spectrograms([1], VaeParams(like="7", anchors=(anchor,), spread=spread, texture=0.0))
        for spread in (0.0, 0.1, 1.0)
    ]

    own = generator.vae.decode(torch.tensor([anchor]), torch.tensor([len(CLASSES)]))
    assert torch.allclose(near[0], own, atol=1e-5)
    assert 0 < (near[1] - own).abs().mean() < (near[2] - own).abs().mean()


def test_texture_is_the_decoders_own_noise(generator):
    """At 1 it has the deviation that the net has learnt."""
    smooth, rough = (
        generator.draw_spectrograms([3], VaeParams(label="cat", texture=each)) for each in (0.0, 1.0)
    )
    learnt = float((generator.vae.net.find_log_variance() / 2).exp())

    assert float((rough - smooth).std()) == pytest.approx(learnt, rel=0.05)


def test_the_pocket_one_is_found_by_its_name():
    """Beside those trained here and AudioLDM; it fits its size, and knows all kinds."""
    chosen = choose_generator(OtherGenerator(name="vae"))
    card = load_vae(WEIGHTS / "animal_vae").card

    assert {"vae", "audioldm"} <= {*list_names()}
    assert ("vae", "sound", (), 16_000) == (
        chosen.info.name, chosen.info.medium, chosen.info.reads, chosen.info.rate_hz
    )  # fmt: skip
    assert sum(file.stat().st_size for file in (WEIGHTS / "animal_vae").iterdir()) <= 1_200_000
    assert {"bird", "dog", "cat", "frog", "cricket", "bee"} <= {*card.classes}
    assert chosen.spec.vocoder.name == "pocket"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"weights": "nowhere"},
            "there is no vae.json or joint_vae.json in nowhere; give pocket or the folder of a VAE",
        ),
        ({"vocoder": "nowhere"}, "there is no vocoder in nowhere; name pocket, griffin-lim"),
        (
            {"weights": "{wide}", "vocoder": "pocket"},
            "hears 64 mel bands at 16000 Hz, 320 samples a frame, and ",
        ),
        ({"weights": "{broken}"}, "is no card of a VAE of spectrograms"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(folder, tmp_path, keys, said):
    write_vae(tmp_path / "wide", SpectrogramFront(hop=160))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "vae.json").write_text('{"front": 3}')
    places = {name: str(tmp_path / name) for name in ("wide", "broken")}
    given = {"weights": str(folder)} | {key: value.format(**places) for key, value in keys.items()}
    with pytest.raises(ConfigError, match=said) as raised:
        choose_vae(**given)
    assert "\n" not in str(raised.value)


def test_weights_of_another_net_are_refused(folder, tmp_path):
    write_vae(tmp_path / "other", net=NET.model_copy(update={"latent": 5}))
    (tmp_path / "other" / "vae.json").write_text((folder / "vae.json").read_text())
    with pytest.raises(ConfigError, match="is of another net"):
        load_vae(tmp_path / "other")


def test_the_front_is_that_of_pocket_audioldm():
    """The same numbers, so that its vocoder makes sounds of them."""
    waves = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 6_400)).astype(np.float32))
    own = compute_spectrograms(waves, SpectrogramFront())

    assert torch.allclose(own[:, 0].transpose(1, 2), compute_log_mels(waves), atol=1e-4)


@pytest.mark.parametrize(
    "front",
    [
        SpectrogramFront(),
        SpectrogramFront(kind="decibels", rate_hz=48_000, window=1_024, hop=512, bands=512),
    ],
    ids=["log-mel", "decibels"],
)
def test_griffin_lim_takes_amplitudes(front):
    """A tone comes back at its pitch, from mel bands and from decibels; decibels as amplitudes would hiss."""
    times = np.arange(64 * front.hop) / front.rate_hz
    wave = (0.5 * np.sin(2 * np.pi * 1_000 * times)).astype(np.float32)
    spectrogram = torch.from_numpy(compute_spectrogram(wave, front))[None]
    amplitudes = restore_amplitudes(spectrogram, front)
    found = invert_amplitudes(amplitudes, front).numpy()[0]
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))

    assert found.shape == wave.shape
    assert spectrum.argmax() * front.rate_hz / len(found) == pytest.approx(1_000, abs=40)
    if front.kind == "decibels":
        real = compute_amplitudes(torch.from_numpy(wave)[None], front)
        assert torch.allclose(amplitudes, real / real.max() * (amplitudes > 1.1e-4), atol=1.2e-4)


def test_a_segment_begins_with_an_event():
    """A few frames before it; a sound that is too short is repeated."""
    card = VaeCard(front=SpectrogramFront(), net=NET)
    wave = np.random.default_rng(0).normal(0, 0.001, 80_000)
    wave[40_000:46_000] += np.sin(np.arange(6_000) * 0.4)
    spectrogram = compute_spectrogram(wave.astype(np.float32), card.front)

    assert find_onset(measure_loudness(spectrogram, card.front), 64) == pytest.approx(40_000 / 320 - 4, abs=2)
    short = decode_segment(encode_sound(wave[40_000:44_000].astype(np.float32), 16_000, "flac"), card)
    assert short.shape == (1, 64, 64)
    assert np.isfinite(short).all()
