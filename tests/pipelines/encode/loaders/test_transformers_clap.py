import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.loaders.waveform import decode_mono

WINDOW = 48_000


@pytest.fixture(scope="module")
def spec(tiny_clap):
    loader = TransformersClap(str(tiny_clap), None, "fp32", 4)
    return EncoderSpec(loader.space(), loader)


def wav(samples_T, rate_hz=48_000):
    made = io.BytesIO()
    soundfile.write(made, samples_T, rate_hz, format="WAV", subtype="FLOAT")
    return made.getvalue()


def test_vectors_are_the_librarys_own(tiny_clap, spec, flac):
    """Sounds and texts come out as transformers' single call gives them; only the norm is kept besides."""
    import torch
    from transformers import AutoProcessor, ClapModel

    model, processor = ClapModel.from_pretrained(tiny_clap), AutoProcessor.from_pretrained(tiny_clap)
    model.eval()
    sound = flac(3, length_s=1.0)
    heard = processor(audio=decode_mono(sound, 48_000), sampling_rate=48_000, return_tensors="pt")
    read = processor(text="rain on a roof", return_tensors="pt")
    with torch.inference_mode():
        sound_D = model.get_audio_features(**heard).pooler_output[0].numpy()
        text_D = model.get_text_features(**read).pooler_output[0].numpy()

    towers = spec.open()
    for expected_D, tower, item in (
        (sound_D, towers["audio"], sound),
        (text_D, towers["text"], "rain on a roof"),
    ):
        unit_ND, norms_N = encode(tower, [tower.prepare(item)], 4)
        np.testing.assert_allclose(expected_D, unit_ND[0], atol=1e-5)
        assert norms_N[0] != pytest.approx(1, abs=1e-3)


def test_a_vector_does_not_depend_on_its_neighbours(spec, flac):
    """Alone, in company, and at any place in a batch: the same bits."""
    tower = spec.open()["audio"]
    pieces = [tower.prepare(flac(seed, length_s=0.4 * seed + 0.3)) for seed in range(7)]
    together, _ = encode(tower, pieces, 4)

    backwards, _ = encode(tower, pieces[::-1], 4)
    alone = np.concatenate([encode(tower, [piece], 4)[0] for piece in pieces])

    np.testing.assert_array_equal(together, backwards[::-1])
    np.testing.assert_array_equal(together, alone)


def test_a_long_sound_is_the_mean_of_its_windows(spec):
    """2.5 windows: the first, the second, and the last whole window that there is."""
    samples_T = np.random.default_rng(0).uniform(-0.5, 0.5, WINDOW * 5 // 2).astype(np.float32)
    tower = spec.open()["audio"]
    starts = (0, WINDOW, WINDOW * 3 // 2)
    windows = [tower.prepare(wav(samples_T[start : start + WINDOW])) for start in starts]
    unit_ND, _ = encode(tower, windows, 4)

    whole_ND, norms_N = encode(tower, [tower.prepare(wav(samples_T))], 4)

    mean_D = unit_ND.mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(mean_D), norms_N[0], rtol=1e-5)
    np.testing.assert_allclose(mean_D / np.linalg.norm(mean_D), whole_ND[0], atol=1e-6)


@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_nothing_is_drawn_at_random(saving_clap, tmp_path, flac, truncation):
    """Neither the random cut nor the random fusion of the extractor has a say."""
    folder = saving_clap(tmp_path / "clap", truncation)
    loader = TransformersClap(str(folder), None, "fp32", 4)
    tower = loader.load()["audio"]
    vectors = []
    for seed in range(3):
        np.random.seed(seed)  # noqa: NPY002 - the extractor draws from it
        vectors.append(encode(tower, [tower.prepare(flac(1, length_s=2.7))], 4)[0])

    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_silence_has_a_vector(spec):
    """Silence is a sound: no NaN from its logarithm."""
    tower = spec.open()["audio"]

    unit_ND, norms_N = encode(tower, [tower.prepare(wav(np.zeros(WINDOW)))], 4)

    assert np.isfinite(unit_ND).all()
    assert norms_N[0] > 0


def test_preparing_is_safe_in_threads(spec, flac):
    """Eight threads prepare what one does."""
    towers = spec.open()
    jobs = [("audio", flac(seed)) for seed in range(12)] + [("text", f"bell {n}") for n in range(200)]
    alone = [towers[modality].prepare(item) for modality, item in jobs]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda job: towers[job[0]].prepare(job[1]), jobs))

    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_array_equal(one, other)


def test_space_names_what_decides_a_vector(spec):
    """No path in it, and what the extractor does in one line."""
    assert spec.space.encoder == "transformers:tiny-clap"
    assert (20, 4) == (spec.space.dims, spec.space.batch_rows)
    assert "windows of 48000 samples (repeatpad, rand_trunc), 16 mels 50-14000 Hz" in spec.space.preprocessing


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(tiny_clap, spec, flac, precision):
    """Half the bits, nearly the same direction."""
    loader = TransformersClap(str(tiny_clap), None, precision, 4)
    pieces = [spec.open()["audio"].prepare(flac(seed)) for seed in range(5)]

    full_ND, _ = encode(spec.open()["audio"], pieces, 4)
    half_ND, _ = encode(loader.load()["audio"], pieces, 4)

    assert (full_ND * half_ND).sum(axis=1).min() > 0.999
