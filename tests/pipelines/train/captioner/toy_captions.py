"""Vectors of a few kinds, each with what is said of it, and a GPT-2's folder with a vocabulary of bytes."""

import json
from pathlib import Path

import numpy as np

from pipelines.train.captioner.data import CaptionedVectors
from pipelines.train.captioner.task import CaptionerTask
from pipelines.train.captioner.words import read_gpt2
from schemas.space import Space

KINDS = ("bell", "dog", "drum", "cat")
DIMS = 8
CONFIG = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 32, "vocab_size": 257, "eos_token_id": 256}


def make_space(dims: int = DIMS) -> Space:
    """Return a space of no encoder."""
    return Space(
        encoder="toy", weights_sha256="0" * 64, library="none", preprocessing="none", precision="fp32",
        batch_rows=1, dims=dims,
    )  # fmt: skip


def make_vectors(family: str = "clap", is_text: bool = False, count: int = 60) -> CaptionedVectors:
    """Return vectors of the kinds in turn, each near its kind's."""
    rng = np.random.default_rng(0)
    kinds = np.arange(count) % len(KINDS)
    vectors = rng.standard_normal((len(KINDS), DIMS))[kinds] + 0.1 * rng.standard_normal((count, DIMS))
    return CaptionedVectors(
        family=family,
        space=make_space(),
        is_text=is_text,
        units_ND=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
        captions=[(f"a {KINDS[kind]}",) for kind in kinds],
        train_N=np.arange(count - 12),
        held_N=np.arange(count - 12, count),
    )


def write_gpt2(folder: Path, config: dict[str, int] | None = None) -> Path:
    """Write the vocabulary of a GPT-2 of bytes, in the published files, and a configuration."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2Config

    folder.mkdir(parents=True, exist_ok=True)
    words = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    (folder / "vocab.json").write_text(json.dumps(words | {"<|endoftext|>": len(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    GPT2Config(**(CONFIG if config is None else config)).save_pretrained(folder)
    return folder


class ToyCaptioner(CaptionerTask):
    """The task on toy vectors."""

    def read_words(self, context):
        """Return a GPT-2 of bytes."""
        return read_gpt2(write_gpt2(context.folder / "gpt2"))

    def read_data(self, context):
        """Return the vectors of two families."""
        return [make_vectors("clap"), make_vectors("clip", is_text=True)]
