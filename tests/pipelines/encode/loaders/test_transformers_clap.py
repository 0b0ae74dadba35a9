import io
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.loaders.waveform import decode_mono, find_window_starts
from pipelines.errors import ConfigError, UndecodableMediaError

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


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        pytest.param(1, [0], id="one-sample"),
        pytest.param(1000, [0], id="exactly-a-window"),
        pytest.param(1010, [0], id="a-codec-frame-more"),
        pytest.param(1011, [0, 11], id="more-than-that"),
        pytest.param(2000, [0, 1000], id="two-windows"),
        pytest.param(2005, [0, 1000], id="two-and-a-frame"),
        pytest.param(2500, [0, 1000, 1500], id="two-and-a-half"),
    ],
)
def test_windows(length, starts):
    """Every window of a long sound is whole, and a few milliseconds do not make one."""
    assert starts == find_window_starts(length, 1000)


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


def test_waveform():
    """Stereo becomes its mean, another rate becomes the model's, and samples lie on CLAP's int16 grid."""
    times_T = np.arange(22_050) / 22_050
    tone_T = 0.5 * np.sin(2 * np.pi * 440 * times_T)
    sound = wav(np.stack([tone_T, np.zeros_like(tone_T)], axis=1), 22_050)

    samples_T = decode_mono(sound, 48_000)

    assert len(samples_T) == 48_000
    assert np.abs(samples_T).max() == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.round(samples_T * 32767), samples_T * 32767, atol=1e-2)
    loud_T = decode_mono(wav(np.array([2.0, -2.0, 0.5])), 48_000)
    np.testing.assert_allclose([1, -1, 16383 / 32767], loud_T, atol=1e-6)


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        pytest.param(lambda: b"<html>", "undecodable", id="html"),
        pytest.param(lambda: b"", "undecodable", id="empty"),
        pytest.param(lambda: wav(np.zeros(0)), "no_audio", id="no-samples"),
        pytest.param(lambda: wav(np.full(99, np.nan)), "undecodable", id="nan"),
    ],
)
def test_bad_sounds(spec, sound, reason):
    """What cannot be heard is an outcome, with its reason."""
    with pytest.raises(UndecodableMediaError) as caught:
        spec.open()["audio"].prepare(sound())

    assert caught.value.reason == reason


def test_silence_has_a_vector(spec):
    """Silence is a sound: no NaN from its logarithm."""
    tower = spec.open()["audio"]

    unit_ND, norms_N = encode(tower, [tower.prepare(wav(np.zeros(WINDOW)))], 4)

    assert np.isfinite(unit_ND).all()
    assert norms_N[0] > 0


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("", 16, id="empty"),
        pytest.param("a dog barks at night", 32, id="a-caption"),
        pytest.param("dog " * 1250, 38, id="5,000-characters"),
    ],
)
def test_texts_have_few_shapes(spec, text, width):
    """A text is padded to the narrowest width that holds it, and cut to the positions that the net has."""
    assert (1, 2, width) == spec.open()["text"].prepare(text).shape


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


def without_tensors(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "text_projection" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def drop(name):
    return lambda folder: (folder / name).unlink()


def write(name, content):
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(shutil.rmtree, "no folder.*pocket", id="no-folder"),
        pytest.param(drop("model.safetensors"), "no model.safetensors.*pocket", id="no-weights"),
        pytest.param(drop("config.json"), "no config.json.*pocket", id="no-config"),
        pytest.param(write("config.json", "{"), "no config.json.*pocket", id="not-json"),
        pytest.param(write("config.json", '{"model_type": "bert"}'), "not a clap", id="bert"),
        pytest.param(drop("tokenizer.json"), "tokenizer", id="no-tokenizer"),
        pytest.param(write("model.safetensors", "x"), "cannot be loaded", id="garbage"),
        pytest.param(without_tensors, "lack 4 tensors", id="tensors-missing"),
    ],
)
def test_broken_folders(tiny_clap, tmp_path, edit, said):
    """Never random numbers for what is missing: one sentence that says what to do."""
    folder = tmp_path / "clap"
    shutil.copytree(tiny_clap, folder)
    edit(folder)

    with pytest.raises(ConfigError, match=said):
        TransformersClap(str(folder), None, "fp32", 4).load()


def test_a_tokenizer_without_its_vocabulary(saving_clap, tmp_path):
    """Five special tokens make every caption the same, and no library says so."""
    folder = saving_clap(tmp_path / "clap", vocabulary=False)

    with pytest.raises(ConfigError, match="knows 5 tokens and cannot tell captions apart"):
        TransformersClap(str(folder), None, "fp32", 4).space()


@pytest.mark.parametrize(
    ("weights", "revision", "said"),
    [
        pytest.param("laion/clap-htsat-unfused", "main", "'main' may move", id="branch"),
        pytest.param("laion/clap-htsat-unfused", None, "could not be fetched.*pocket", id="no-network"),
        pytest.param("./nowhere", None, "no folder ./nowhere.*pocket", id="no-folder"),
    ],
)
def test_the_hub(weights, revision, said):
    """A branch is no revision; weights that cannot be had are named, with a way to try without."""
    with pytest.raises(ConfigError, match=said):
        TransformersClap(weights, revision, "fp32", 4).space()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(tiny_clap, spec, flac, precision):
    """Half the bits, nearly the same direction."""
    loader = TransformersClap(str(tiny_clap), None, precision, 4)
    pieces = [spec.open()["audio"].prepare(flac(seed)) for seed in range(5)]

    full_ND, _ = encode(spec.open()["audio"], pieces, 4)
    half_ND, _ = encode(loader.load()["audio"], pieces, 4)

    assert (full_ND * half_ND).sum(axis=1).min() > 0.999
