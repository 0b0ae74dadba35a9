"""Published checkpoints in the names of a prefix captioner: GPT-2 alone, and ClipCap with its mapper.

Both are dictionaries of tensors. Nothing is left over and nothing is missing, or they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipelines.errors import ConfigError
from schemas.captioner import CaptionerCard, Gpt2Shape, MapperShape

if TYPE_CHECKING:
    from torch import Tensor

_GPT2, _MAPPER = "gpt.", "clip_project."
# Of old versions of transformers: the causal mask as a buffer; and the tied head.
_LEFT_OUT = re.compile(r"(^|\.)(attn\.bias|attn\.masked_bias|lm_head\.weight)$")
_LAYER = re.compile(r"^h\.(\d+)\.")
# A layer's tensors, and what each has of the width: c_attn.weight is [W, 3 W].
_LAYER_TENSORS = (
    *("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"),
    *("attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias"),
    *("mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"),
)
_OTHER_TENSORS = ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")
# All published sizes of GPT-2 have heads of 64 numbers.
_HEAD_DIMS = 64
_MAPPER_TENSORS = ("model.0.weight", "model.0.bias", "model.2.weight", "model.2.bias")


@dataclass(frozen=True, eq=False)
class ConvertedGpt2:
    """A GPT-2.

    Attributes:
        shape: of it.
        weights: by the names of `GPT2LMHeadModel`, without the tied head.
    """

    shape: Gpt2Shape
    weights: Mapping[str, Tensor]


def convert_gpt2(state: Mapping[str, Tensor], where: str, heads: int | None = None) -> ConvertedGpt2:
    """Return a checkpoint of GPT-2, with or without the prefix `transformer.`.

    Its end token is the last of its vocabulary, as in the published one (50,256).

    Args:
        state: of it.
        where: it lies, for errors.
        heads: of each layer; those of 64 numbers if None.

    Raises:
        ConfigError: a tensor is missing, unexpected or of another shape.
    """
    named = {
        name.removeprefix("transformer."): tensor
        for name, tensor in state.items()
        if not _LEFT_OUT.search(name)
    }
    layers = 1 + max((int(found[1]) for name in named if (found := _LAYER.match(name))), default=-1)
    expected = {*_OTHER_TENSORS, *(f"h.{layer}.{name}" for layer in range(layers) for name in _LAYER_TENSORS)}
    _check_names(named.keys(), expected, where, "GPT-2")
    vocabulary, width = named["wte.weight"].shape
    try:
        shape = Gpt2Shape(
            width=width,
            layers=layers,
            heads=heads or max(1, width // _HEAD_DIMS),
            positions=named["wpe.weight"].shape[0],
            vocabulary=vocabulary,
            end=vocabulary - 1,
        )
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where} is no GPT-2 ({problem}); give a published checkpoint") from error
    return ConvertedGpt2(shape, {f"transformer.{name}": tensor for name, tensor in named.items()})


def convert_clipcap(
    state: Mapping[str, Tensor], where: str, family: str = "clip", norm: float = 10.0
) -> tuple[CaptionerCard, dict[str, Tensor]]:
    """Return the card and the weights of a ClipCap whose mapper is an MLP.

    Args:
        state: of the checkpoint.
        where: it lies, for errors.
        family: of the vectors that it reads.
        norm: that every vector is given. ClipCap reads raw vectors unless it was trained with
            `normalize_prefix`, and those of ViT-B/32 have norms of about 10.

    Raises:
        ConfigError: a tensor is missing, unexpected or of another shape, or the mapper is a transformer.
    """
    mapper = _read_mapper(state, where)
    gpt2 = convert_gpt2(
        {name.removeprefix(_GPT2): tensor for name, tensor in state.items() if name.startswith(_GPT2)}, where
    )
    (hidden, dims), outputs = mapper["model.0.weight"].shape, mapper["model.2.weight"].shape[0]
    width = gpt2.shape.width
    if outputs % width or mapper["model.2.weight"].shape[1] != hidden:
        raise ConfigError(
            f"{where} is of another net: its mapper gives {outputs} numbers, which are no prefix of a GPT-2 "
            f"of width {width}; give the checkpoint of one training"
        )
    card = CaptionerCard(
        gpt2=gpt2.shape,
        prefix=outputs // width,
        mappers={family: MapperShape(dims=dims, hidden=hidden, norm=norm)},
        trained_on="media",
        # ClipCap was trained without an end token, and its captions end at the first full stop.
        stop=".",
    )
    weights = {f"gpt2.{name}": tensor for name, tensor in gpt2.weights.items()}
    weights |= {f"mappers.{family}.{name.removeprefix('model.')}": each for name, each in mapper.items()}
    return card, weights


def _read_mapper(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the tensors of a ClipCap's mapper.

    Raises:
        ConfigError: it is no ClipCap, or its mapper is a transformer.
    """
    found = {name.partition(".")[0] + "." for name in state}
    if found != {_GPT2, _MAPPER}:
        raise ConfigError(
            f"{where} is no ClipCap: it has {', '.join(sorted(found)[:4]) or 'nothing'} and not gpt. and "
            "clip_project. alone; give the checkpoint of train.py"
        )
    mapper = {
        name.removeprefix(_MAPPER): tensor for name, tensor in state.items() if name.startswith(_MAPPER)
    }
    if "prefix_const" in mapper:
        raise ConfigError(
            f"{where} is a ClipCap whose mapper is a transformer, and only MLPs are converted; give one that "
            "was trained with --mapping_type mlp"
        )
    _check_names(mapper.keys(), {*_MAPPER_TENSORS}, where, "ClipCap")
    return mapper


def _check_names(found: Iterable[str], expected: set[str], where: str, what: str) -> None:
    names = set(found)
    missing, unexpected = sorted(expected - names), sorted(names - expected)
    if missing or unexpected:
        raise ConfigError(
            f"{where} is no {what}: {len(missing)} tensors are missing and {len(unexpected)} are unexpected "
            f"(first {[*missing, *unexpected][0]}); give a published checkpoint"
        )
