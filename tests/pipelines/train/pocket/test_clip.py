"""The pocket CLIP: how it is trained, and what the weights in the repository can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from jobs.shared.pocket_models import PocketPlan, train_pocket
from pipelines.errors import ConfigError
from pipelines.miniature import captions, world
from pipelines.train.pocket import clip

WEIGHTS = Path(clip.__file__).parents[2] / "miniature" / "weights" / "clip"


def test_the_committed_weights_are_small_halves_that_load_as_floats() -> None:
    """At most 1.3 million parameters in fp16; open_clip gives fp32 when asked for it."""
    stored = load_file(WEIGHTS / "open_clip_model.safetensors")
    model = open_clip.create_model(f"local-dir:{WEIGHTS}", precision="fp32", require_pretrained=True)
    assert {torch.float16} == {v.dtype for v in stored.values() if v.is_floating_point()}
    assert {torch.float32} == {p.dtype for p in model.parameters()}
    assert sum(p.numel() for p in model.parameters()) < 1_300_000
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 3_000_000


def test_the_committed_tokenizer_knows_every_word_of_the_captions() -> None:
    """A word that the world has gained since the training would be the unknown word (token 1)."""
    tokenizer = open_clip.get_tokenizer(f"local-dir:{WEIGHTS}")
    scenes = [world.draw(3, "heldout", i) for i in range(500)]
    media: tuple[world.Medium, ...] = ("picture", "sound")
    texts = [captions.caption(scene, medium, "heldout") for scene in scenes for medium in media]
    assert not (tokenizer(texts + [captions.label(kind) for kind in world.KINDS]) == 1).any()


def test_the_committed_configuration_is_the_one_that_training_writes() -> None:
    """But for the number of words, which is that of the day of the training."""
    config = json.loads((WEIGHTS / "open_clip_config.json").read_text())
    expected = clip.make_model_config()
    for text_cfg in (expected["text_cfg"], config["model_cfg"]["text_cfg"]):
        del text_cfg["vocab_size"]
    assert expected == config["model_cfg"]
    assert config["preprocess_cfg"] == clip.PREPROCESS


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Two RED bells!", "two red bells"),
        ("  a bell,   in the meadow. ", "a bell in the meadow"),
        ("a zyzzyva", "a [UNK]"),
    ],
    ids=["case", "marks", "unknown"],
)
def test_texts_that_read_alike(text: str, same: str) -> None:
    """Case, marks and spaces do not matter; every unknown word is the same word."""
    tokenizer = open_clip.get_tokenizer(f"local-dir:{WEIGHTS}")
    one, two = tokenizer([text, same])
    assert one.tolist() == two.tolist()


def test_a_long_text_keeps_its_end_mark() -> None:
    """The text's vector is read at the end mark (token 2), so cutting must not lose it."""
    tokens = open_clip.get_tokenizer(f"local-dir:{WEIGHTS}")(["bell " * 100])
    assert tokens.shape == (1, 20)
    assert int(tokens[0, -1]) == 2


def train(out: Path, seed: int = 0, progress: Any = None) -> dict[str, float]:
    """Train for twenty steps of small batches."""
    plan = PocketPlan(
        out, seed, 20, {"draws": 256}, recipe={"batch": 32, "checkpoint_every": 5}, progress=progress
    )
    return train_pocket("clip", plan)


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
