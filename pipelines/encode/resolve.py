"""A dataset's `encode` -> the encoder of each family, with everything decided that decides a vector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pipelines.compute.child_process import ReportProgress, run_in_subprocess
from pipelines.compute.device import choose_device
from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.precision import compare_with_fp32
from pipelines.encode.registry import make_loader
from schemas.dataset import (
    AudioLdmEncoder,
    Encode,
    LaionClapEncoder,
    OpenClipEncoder,
    TransformersClapEncoder,
    TransformersClipEncoder,
)
from schemas.space import Precision, Space
from schemas.vectors import Family


def resolve(encode: Encode, pinned: Mapping[str, Space] | None = None) -> dict[Family, EncoderSpec]:
    """Return the encoders that a dataset asks for; a family that is null in its file is left out.

    Precision is decided here, once, by the driver; the loader carries it to the workers.

    Args:
        encode: of the dataset's file.
        pinned: family -> the space of the vectors that exist already. Where the file says `auto`, their
            precision is taken, whatever is fastest on this machine.

    Raises:
        ConfigError: weights are missing or do not fit their model.
    """
    specs = {family: resolve_family(encode, family, pinned) for family in get_args(Family)}
    return {family: spec for family, spec in specs.items() if spec is not None}


def resolve_in_subprocess(
    encode: Encode, pinned: Mapping[str, Space] | None = None
) -> dict[Family, EncoderSpec]:
    """Run `resolve` in a process of its own: the libraries that it imports take a gigabyte of memory."""
    return run_in_subprocess(_resolve, encode, pinned)


def _resolve(
    _: Path, __: ReportProgress, encode: Encode, pinned: Mapping[str, Space] | None
) -> dict[Family, EncoderSpec]:
    return resolve(encode, pinned)


def resolve_family(
    encode: Encode, family: Family, pinned: Mapping[str, Space] | None = None
) -> EncoderSpec | None:
    """Return the encoder of one family as `resolve` does, or None if the dataset has none."""
    asked = encode.clip if family == "clip" else encode.clap
    there = (pinned or {}).get(family)
    precision: Precision
    if encode.precision != "auto":
        precision = encode.precision
    elif there:
        precision = there.precision
    else:
        precision = _choose_fastest_precision() if isinstance(asked, _MEASURED) else "fp32"
    loader = make_loader(asked, family, precision, encode.trusted)
    if loader is None:
        return None
    space = loader.space()
    if there == space:
        return EncoderSpec(there, loader)  # with the cosine to fp32 that was measured when it was pinned
    full = make_loader(asked, family, "fp32", encode.trusted) if isinstance(asked, _MEASURED) else None
    if full is None or precision == "fp32":
        return EncoderSpec(space, loader)
    cosine = compare_with_fp32(loader, full)
    if encode.precision == "auto" and cosine < _LEAST_COSINE:
        return EncoderSpec(full.space(), full)
    return EncoderSpec(space.model_copy(update={"fp32_cosine": cosine}), loader)


# Encoders whose precision `auto` measures. The pocket models are small enough for fp32 everywhere, and so
# give the same vectors on every machine.
_MEASURED = (
    OpenClipEncoder,
    TransformersClipEncoder,
    TransformersClapEncoder,
    LaionClapEncoder,
    AudioLdmEncoder,
)

# The cosine to fp32 below which `auto` takes fp32: ten times the loss of bf16 for ViT-B-32 (0.99994).
_LEAST_COSINE = 0.999


def _choose_fastest_precision() -> Precision:
    """Return the fastest precision of this machine.

    Measured on two cores with avx512_bf16 and AMX: ViT-B-32 160 images/s in bf16 against 33 in fp32,
    ClapModel 38 windows/s against 10. Without such instructions bf16 is emulated and slower than fp32.
    """
    import torch

    if choose_device().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"
