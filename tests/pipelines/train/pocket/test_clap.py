"""The pocket CLAP: how it is trained, and what the weights in the repository can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from jobs.shared.pocket_models import PocketPlan, train_pocket
from pipelines.errors import ConfigError
from pipelines.miniature import world
from pipelines.miniature.sounds import sound
from pipelines.train.pocket import clap
from pipelines.train.pocket.clap_data import FEATURES

WEIGHTS = Path(clap.__file__).parents[2] / "miniature" / "weights" / "clap"


@pytest.fixture(scope="module")
def processor() -> transformers.ClapProcessor:
    """The committed processor, as transformers finds it in the folder."""
    return transformers.AutoProcessor.from_pretrained(WEIGHTS, local_files_only=True)


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


def train(out: Path, seed: int = 0, progress: Any = None) -> dict[str, float]:
    """Train for twenty steps of small batches."""
    plan = PocketPlan(
        out,
        seed,
        20,
        {"draws": 40, "kinds_a_batch": 12},
        recipe={"batch": 8, "checkpoint_every": 5},
        progress=progress,
    )
    return train_pocket("clap", plan)


@pytest.mark.usefixtures("on_one_thread")
def test_a_cut_training_goes_on(tmp_path: Path) -> None:
    """Twenty steps lower the loss; cut at the twelfth and taken up again, they end in the same weights."""
    losses: list[float] = []
    found = train(tmp_path / "whole", progress=lambda _, loss: losses.append(loss))
    assert len(losses) == found["steps"] == 20
    assert np.mean(losses[-4:]) < np.mean(losses[:4])

    def cut(step: int, _: float) -> None:
        if step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", progress=cut)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(ConfigError, match="finish that one or remove"):
        train(tmp_path / "cut", seed=1)
    again: list[int] = []
    train(tmp_path / "cut", progress=lambda step, _: again.append(step))
    assert list(range(11, 21)) == again
    files = sorted(file.name for file in (tmp_path / "whole").iterdir())
    assert files == sorted(file.name for file in (tmp_path / "cut").iterdir())
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
