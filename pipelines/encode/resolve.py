"""A dataset's `encode` -> its encoders, with everything decided that decides a vector."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.compute.child_process import run_in_subprocess
from pipelines.compute.device import choose_device
from pipelines.encode.encoder import EncoderSpec, find_modalities
from pipelines.encode.places import check_encoders, locate_tower
from pipelines.encode.precision import compare_with_fp32
from pipelines.encode.registry import make_loader
from pipelines.errors import ConfigError, SpaceError
from schemas.encoders import (
    AudioLdmEncoder,
    Encode,
    LaionClapEncoder,
    OpenClipEncoder,
    TransformersClapEncoder,
    TransformersClipEncoder,
)
from schemas.families import Column, get_family, get_modality, is_column
from schemas.space import Precision, Space


def resolve(encode: Encode, pinned: Mapping[Column, Space] | None = None) -> dict[str, EncoderSpec]:
    """Return the encoders that a dataset asks for, by their keys; one that is null is left out.

    Precision is decided here, once, by the driver; the loader carries it to the workers.

    Args:
        encode: of the dataset's file.
        pinned: column -> the space of the vectors that exist already. Where the file says `auto`, their
            precision is taken, whatever is fastest on this machine.

    Raises:
        ConfigError: weights are missing or do not fit their model, an encoder does not say what it embeds, or
            only a root names its class or its weights.
        SpaceError: an encoder joins another space than that of its column's family.
    """
    check_encoders(encode)
    specs = {key: spec for key in encode.entries if (spec := resolve_entry(encode, key, pinned)) is not None}
    _check_joins(specs)
    return specs


def resolve_in_subprocess(
    encode: Encode, pinned: Mapping[Column, Space] | None = None
) -> dict[str, EncoderSpec]:
    """Run `resolve` in a process of its own: the libraries that it imports take a gigabyte of memory."""
    return run_in_subprocess(resolve, encode, pinned)


def resolve_entry(
    encode: Encode, key: str, pinned: Mapping[Column, Space] | None = None
) -> EncoderSpec | None:
    """Return the encoder of one key as `resolve` does, or None if the dataset has none.

    Args:
        encode: of the dataset's file.
        key: a family, or a column that joins one.
        pinned: column -> the space of the vectors that exist already.
    """
    check_encoders(encode, (key,))
    asked = locate_tower(encode, encode.entries.get(key))
    there = _find_pinned(key, encode, pinned or {})
    precision: Precision
    if encode.precision != "auto":
        precision = encode.precision
    elif there:
        precision = there.precision
    else:
        precision = _choose_fastest_precision() if isinstance(asked, _MEASURED) else "fp32"
    loader = make_loader(asked, key, precision, encode.trusted)
    if loader is None:
        return None
    find_modalities(key, loader)
    space = loader.space()
    if there == space:
        return EncoderSpec(there, loader)  # with the cosine to fp32 that was measured when it was pinned
    full = make_loader(asked, key, "fp32", encode.trusted) if isinstance(asked, _MEASURED) else None
    if full is None or precision == "fp32":
        return EncoderSpec(space, loader)
    cosine = compare_with_fp32(loader, full)
    if encode.precision == "auto" and cosine < _LEAST_COSINE:
        return EncoderSpec(full.space(), full)
    return EncoderSpec(space.model_copy(update={"fp32_cosine": cosine}), loader)


def _find_pinned(key: str, encode: Encode, pinned: Mapping[Column, Space]) -> Space | None:
    if is_column(key):
        return pinned.get(key)
    return next((space for column, space in pinned.items() if encode.find_key(column) == key), None)


def _check_joins(specs: Mapping[str, EncoderSpec]) -> None:
    """Refuse a tower for a column of a family in whose space it is not."""
    for key, spec in specs.items():
        if not is_column(key):
            continue
        family = get_family(key)
        if family in specs and get_modality(key) in find_modalities(family, specs[family].loader):
            raise ConfigError(
                f"encode.{family} fills {key} by itself, and encode.{key} would fill it, too; leave one out"
            )
        if family not in specs:
            raise ConfigError(
                f"encode.{key} joins {family}, and encode.{family} is null; name the encoder that its tower "
                "was trained with"
            )
        if spec.space == specs[family].space or not spec.space.is_comparable(specs[family].space):
            joins = f"the space {spec.space.joins}" if spec.space.joins else "no space"
            raise SpaceError(
                f"encode.{key} joins {joins}, and encode.{family} is {specs[family].space} with the identity "
                f"{specs[family].space.identity}; name the encoder that its tower was trained with"
            )


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
