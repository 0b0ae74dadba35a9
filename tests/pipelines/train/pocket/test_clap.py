"""The pocket CLAP: how it is trained, and what the weights in the repository can do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from pipelines.errors import ConfigError
from pipelines.miniature import world
from pipelines.miniature.sounds import sound
from pipelines.train.pocket import clap
from pipelines.train.pocket.clap_data import (
    FEATURES,
    ClapSampler,
    ClapSizes,
    audio_attributes,
    augment_sound,
    find_mentioned,
    match_texts,
)
from pipelines.train.pocket.clap_eval import encode_flac

WEIGHTS = Path(clap.__file__).parents[2] / "miniature" / "weights" / "clap"
SMALL = ClapSizes(batch=8, draws=40, kinds_a_batch=12, checkpoint_every=5)


@pytest.fixture(scope="module")
def processor() -> transformers.ClapProcessor:
    """The committed processor, as transformers finds it in the folder."""
    return transformers.AutoProcessor.from_pretrained(WEIGHTS, local_files_only=True)


@pytest.mark.slow
def test_the_committed_weights_find_the_right_kind() -> None:
    """On held-out draws and templates, both ways, through the loader of datasets."""
    scores = clap.evaluate(WEIGHTS, seed=5, rows=240)
    assert scores["text_to_sound_r1"] > 0.9
    assert scores["sound_to_text_r1"] > 0.9
    assert scores["picture_text_to_sound_r1"] > 0.9
    assert scores["text_to_sound_top10"] > 0.8
    assert scores["sound_to_text_top10"] > 0.8
    assert scores["pitch"] > 0.5
    assert scores["background"] > 0.6
    assert scores["mean_log_spectrum"] < 0.5
    assert scores["mean_power_spectrum"] < 0.5


@pytest.mark.slow
def test_the_committed_weights_hear_through_aac() -> None:
    """Clips of the web are AAC: 96 kbit/s costs next to nothing."""
    scores = clap.evaluate(WEIGHTS, seed=6, rows=240, aac=True)
    assert scores["text_to_sound_r1"] > 0.9
    assert scores["sound_to_text_r1"] > 0.9


def test_the_committed_weights_are_small_halves_that_load_as_floats() -> None:
    """At most 1.3 million parameters in fp16; transformers gives fp32 when asked for it."""
    kept = load_file(WEIGHTS / "model.safetensors")
    model = transformers.ClapModel.from_pretrained(WEIGHTS, dtype=torch.float32, local_files_only=True)
    assert {torch.float16} == {v.dtype for v in kept.values() if v.is_floating_point()}
    assert {torch.float32} == {p.dtype for p in model.parameters()}
    assert sum(p.numel() for p in model.parameters()) < 1_300_000
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 3_000_000


def test_the_committed_tokenizer_knows_the_vocabulary(processor: transformers.ClapProcessor) -> None:
    """Weights, configuration and tokenizer are of one vocabulary; a newer one needs a new training."""
    config = json.loads((WEIGHTS / "config.json").read_text())
    assert clap.make_word_tokenizer().get_vocab() == processor.tokenizer.get_vocab()
    assert len(processor.tokenizer) == config["text_config"]["vocab_size"]
    kept = json.loads((WEIGHTS / "preprocessor_config.json").read_text())
    assert {**kept, **FEATURES} == kept
    assert {**config["audio_config"], **clap.AUDIO_TOWER} == config["audio_config"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A Dog BARKS!", "a dog barks"),
        ("  a dog,   barks twice. ", "a dog barks twice"),
        ("a zyzzyva", "a <unk>"),
    ],
    ids=["case", "marks", "unknown"],
)
def test_texts_that_read_alike(processor: transformers.ClapProcessor, text: str, same: str) -> None:
    """Case, marks and spaces do not matter; every unknown word is the same word."""
    one, two = processor.tokenizer([text, same])["input_ids"]
    assert one == two
    assert len(one) > 2


def test_a_window_is_features_of_exactly_five_seconds(processor: transformers.ClapProcessor) -> None:
    """A sound of the window's length is neither cut at random nor filled up; a shorter one is filled."""
    scene = world.draw(0, "heldout", 0)
    for length_s in (2.56, 5.0):
        made = [processor(audio=sound(scene, length_s), sampling_rate=48_000) for _ in range(2)]
        one, two = (np.asarray(each["input_features"][0]) for each in made)
        assert one.shape == (1, 288, 32)
        assert one.tobytes() == two.tobytes()
        assert (one[0, -1].max() > -99) == (length_s == 5.0)


def test_aac_keeps_the_sound() -> None:
    """What comes out of an mp4 is as long, but for one AAC frame, and as loud."""
    import io

    import soundfile

    scene = world.draw(0, "heldout", 1)
    (given, rate_hz), (kept, kept_hz) = (
        soundfile.read(io.BytesIO(encode_flac(scene, aac=aac)), dtype="float32") for aac in (False, True)
    )
    assert rate_hz == kept_hz == 48_000
    assert abs(len(given) - len(kept)) <= 1024
    assert 0.8 < np.square(kept).mean() / np.square(given).mean() < 1.25


def test_batches_are_of_the_training_split_and_of_their_step() -> None:
    """The same step gives the same batch, and another step another one."""
    batch, again, other = (ClapSampler(0, SMALL).draw_batch(step) for step in (3, 3, 2))
    assert batch.texts == again.texts
    assert batch.windows.tobytes() == again.windows.tobytes()
    assert batch.texts != other.texts
    assert (8, 1, 288, 32) == batch.windows.shape
    assert np.isfinite(batch.windows).all()


def test_windows_vary_within_the_extractors_range() -> None:
    """Whatever is done to a spectrogram, it keeps its shape and is no quieter than silence."""
    mel_FM = np.full((575, 32), -60, np.float16)
    windows = [augment_sound(mel_FM, np.random.default_rng(seed)) for seed in range(50)]
    assert {(288, 32)} == {window.shape for window in windows}
    assert all(-100 <= window.min() and window.max() < -50 for window in windows)
    assert 2 < sum(window[-1].max() == -100 for window in windows) < 20


def test_a_sound_fits_a_text_by_what_the_text_tells() -> None:
    """Kinds exclude each other; each told attribute that differs leaves a third; colour is not heard."""
    scenes = [
        world.Scene("bell", 1, "red", "low", "meadow", 0),
        world.Scene("bell", 2, "blue", "high", "meadow", 0),
        world.Scene("dog", 1, "red", "low", "meadow", 0),
    ]
    of_texts = np.array([[True] * 4, [True, False, True, False], [True] * 4])
    expected = [[1, 1 / 3, 0], [1 / 9, 1, 0], [0, 0, 1]]
    assert np.allclose(expected, match_texts(audio_attributes(scenes), of_texts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a bell", (True, False, False, False)),
        ("church bell ringing", (True, False, False, False)),
        ("a bell rings twice at a low pitch in a room", (True, True, True, True)),
        ("two big red bells indoors", (True, True, True, True)),
        ("three small bells on a beach", (True, False, False, False)),
    ],
)
def test_what_a_text_tells(text: str, expected: tuple[bool, ...]) -> None:
    """An attribute is told by a word for the scene's own value."""
    scene = world.Scene("bell", 2, "red", "low", "room", 0)
    assert expected == find_mentioned(scene, text)


@pytest.mark.usefixtures("on_one_thread")
def test_a_cut_training_goes_on(tmp_path: Path) -> None:
    """Twenty steps lower the loss; cut at the twelfth and taken up again, they end in the same weights."""
    losses: list[float] = []
    clap.train(tmp_path / "whole", 0, 20, lambda _, loss: losses.append(loss), sizes=SMALL)
    assert len(losses) == 20
    assert np.mean(losses[-4:]) < np.mean(losses[:4])

    def cut(step: int, _: float) -> None:
        if step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clap.train(tmp_path / "cut", 0, 20, cut, sizes=SMALL)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(ConfigError, match="finish that one or remove"):
        clap.train(tmp_path / "cut", 1, 20, sizes=SMALL)
    again: list[int] = []
    clap.train(tmp_path / "cut", 0, 20, lambda step, _: again.append(step), sizes=SMALL)
    assert list(range(11, 21)) == again
    files = sorted(file.name for file in (tmp_path / "whole").iterdir())
    assert files == sorted(file.name for file in (tmp_path / "cut").iterdir())
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
