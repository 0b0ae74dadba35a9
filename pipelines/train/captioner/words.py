"""The GPT-2 that a captioner begins with: its vocabulary, and its weights where there are some."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.encode.loaders.weights import load_tensors
from pipelines.errors import ConfigError
from pipelines.generate.captioner.tokenizer import CaptionTokenizer, load_caption_tokenizer
from pipelines.models.captioner_checkpoints import convert_gpt2
from pipelines.store.models import hash_files
from schemas.captioner import Gpt2Shape

if TYPE_CHECKING:
    from torch import Tensor

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_CONFIG = "config.json"


@dataclass(frozen=True, eq=False)
class FirstWords:
    """What a captioner's words begin with.

    Attributes:
        shape: of the GPT-2.
        tokenizer: of it.
        weights: by the names of `GPT2LMHeadModel`; None for random ones.
        described: the files, for the card.
    """

    shape: Gpt2Shape
    tokenizer: CaptionTokenizer
    weights: Mapping[str, Tensor] | None
    described: str


def read_gpt2(folder: Path) -> FirstWords:
    """Return the GPT-2 in a folder of transformers: a vocabulary, config.json, and weights or none.

    Args:
        folder: of a person's own; nothing is downloaded.

    Raises:
        ConfigError: the vocabulary is not there or does not fit, or it is no GPT-2.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"gpt2: there is no folder {folder}; give one with a GPT-2's vocab.json, merges.txt, config.json "
            "and model.safetensors"
        )
    config = _read_config(folder / _CONFIG)
    file = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        shape, weights = _read_shape(config, folder), None
    else:
        heads = config.get("n_head")
        state = _read_state(file)
        converted = convert_gpt2(state, str(file), heads if isinstance(heads, int) else None)
        shape, weights = converted.shape, converted.weights
    tokenizer = load_caption_tokenizer(folder, shape)
    hashes = repr(sorted(hash_files(folder).items()))
    described = f"{folder.name} {hashlib.sha256(hashes.encode()).hexdigest()[:12]}"
    return FirstWords(shape, tokenizer, weights, described)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"gpt2: {file} cannot be read ({error}); copy it again") from error
    return content if isinstance(content, dict) else {}


def _read_shape(config: Mapping[str, Any], folder: Path) -> Gpt2Shape:
    from pydantic import ValidationError

    try:
        return Gpt2Shape(
            width=config["n_embd"],
            layers=config["n_layer"],
            heads=config["n_head"],
            positions=config["n_positions"],
            vocabulary=config["vocab_size"],
            end=config.get("eos_token_id", config["vocab_size"] - 1),
        )
    except (KeyError, TypeError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"gpt2: {folder} has no weights, and its {_CONFIG} does not say which GPT-2 to begin with "
            f"({reason}); give n_embd, n_layer, n_head, n_positions and vocab_size"
        ) from error


def _read_state(file: Path) -> Mapping[str, Tensor]:
    from torch import Tensor

    state = load_tensors("gpt2", file)
    if not isinstance(state, Mapping) or not all(isinstance(each, Tensor) for each in state.values()):
        raise ConfigError(f"gpt2: {file} holds no tensors by name; give the state_dict of a GPT-2")
    return state
