"""A dataset's `encode` -> the encoder of each family, with everything decided that decides a vector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pipelines.apart import Report, apart
from pipelines.encode.encoder import EncoderSpec, Loader
from pipelines.encode.open_clip import OpenClip
from pipelines.encode.pocket import pocket_clap, pocket_clip
from pipelines.encode.transformers_clap import TransformersClap
from schemas.dataset import Encode
from schemas.space import Precision, Space
from schemas.vectors import Family


def resolve(encode: Encode, pinned: Mapping[str, Space] | None = None) -> dict[Family, EncoderSpec]:
    """Return the encoders that a dataset asks for; a family that is null in its file is left out.

    Precision is decided here, once, by the driver; the loader carries it to the workers.

    Args:
        encode: of the dataset's file.
        pinned: family -> the space of the vectors that are there already. Where the file says `auto`,
            theirs is taken, whatever this machine would do best.

    Raises:
        ConfigError: weights are missing or do not fit their model.
    """
    specs = {family: resolve_family(encode, family, pinned) for family in get_args(Family)}
    return {family: spec for family, spec in specs.items() if spec is not None}


def resolve_apart(encode: Encode, pinned: Mapping[str, Space] | None = None) -> dict[Family, EncoderSpec]:
    """Return what `resolve` does, found out in a process that ends.

    The driver only needs the answer; the libraries behind it would stay with it, at a gigabyte.
    """
    return apart(_resolved, encode, pinned)


def _resolved(
    _: Path, __: Report, encode: Encode, pinned: Mapping[str, Space] | None
) -> dict[Family, EncoderSpec]:
    return resolve(encode, pinned)


def resolve_family(
    encode: Encode, family: Family, pinned: Mapping[str, Space] | None = None
) -> EncoderSpec | None:
    """Return the encoder of one family as `resolve` does, or None if the dataset has none."""
    asked = encode.clip if family == "clip" else encode.clap
    if asked is None:
        return None
    precision: Precision
    if encode.precision != "auto":
        precision = encode.precision
    elif pinned and family in pinned:
        precision = pinned[family].precision
    else:
        # The pocket models are small enough for fp32 everywhere, and so give the same on every machine.
        precision = "fp32" if asked == "pocket" else _fastest_precision()
    loader = _clip(encode, precision) if family == "clip" else _clap(encode, precision)
    return EncoderSpec(loader.space(), loader)


def _clip(encode: Encode, precision: Precision) -> Loader:
    if encode.clip == "pocket" or encode.clip is None:
        return pocket_clip(precision)
    return OpenClip(encode.clip.model, encode.clip.weights, precision, encode.clip.batch_rows)


def _clap(encode: Encode, precision: Precision) -> Loader:
    if encode.clap == "pocket" or encode.clap is None:
        return pocket_clap(precision)
    asked = encode.clap
    return TransformersClap(asked.weights, asked.revision, precision, asked.batch_rows)


def _fastest_precision() -> Precision:
    """Return what this machine computes fastest at a cosine to fp32 of at least 0.9999.

    Measured on two cores with avx512_bf16 and AMX: ViT-B-32 160 images/s in bf16 against 33 in fp32,
    ClapModel 38 windows/s against 10. Without such instructions bf16 is emulated and slower than fp32.
    """
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"
