"""Checks that the vectors of a dataset are of the generator's own CLAP.

A vector of another CLAP may have the same dimensions; then it gives noise, or the same sound for every
vector, without any error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.audioldm_clap import AudioLdmClap, find_audioldm_folder
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.encode.resolve import resolve_entry
from pipelines.encode.space_check import CAPTIONS, LEAST_COSINE, encode_captions
from pipelines.errors import SpaceError
from pipelines.generate.registry import GeneratorSpec, hash_text_tower
from schemas.encoders import Encode
from schemas.families import Column
from schemas.space import Space


def check_own_clap(generator: GeneratorSpec, spec: EncoderSpec | None, target: Space, what: str) -> float:
    """Return the mean cosine of `CAPTIONS` between a generator's text tower and an encoder's.

    Args:
        generator: to check.
        spec: the CLAP of the dataset; None if it has none.
        target: the space of the vectors that condition the generator.
        what: the origin of the vectors, for the error message.

    Raises:
        SpaceError: the vectors are not of the generator's own CLAP.
    """
    if spec is None or not spec.space.is_comparable(target):
        found = (
            "no CLAP"
            if spec is None
            else f"vectors of {spec.space} ({target.describe_differences(spec.space)})"
        )
        raise SpaceError(
            f"{what} leads to {target}, and the dataset's set has {found}, so nothing can be compared; "
            "train a translator to the clap column of this set"
        )
    if _is_own_tower(generator, spec):
        return 1.0
    dataset_ND, own_ND = encode_captions(spec, CAPTIONS), generator.open().encode_text(CAPTIONS)
    cosine = float((dataset_ND * own_ND).sum(1).mean()) if dataset_ND.shape == own_ND.shape else float("nan")
    if not cosine >= LEAST_COSINE:  # NaN is refused as well
        raise SpaceError(_format_refusal(generator, target, what, dataset_ND, own_ND, cosine))
    return cosine


def verify_generator(
    encode: Encode,
    pinned: Mapping[Column, Space],
    generator: GeneratorSpec,
    target: Space | None,
    what: str,
) -> tuple[EncoderSpec, float]:
    """Return the CLAP of a dataset and the mean cosine of the space check.

    Args:
        encode: the encoders of the dataset's set.
        pinned: column -> the space of the stored vectors.
        generator: to check.
        target: the space of the vectors that condition the generator; None where captions do.
        what: the origin of the vectors, for the error message.

    Raises:
        SpaceError: the vectors, or the CLAP, are not the generator's own.
    """
    spec = resolve_entry(encode, "clap", pinned)
    if spec is None:
        raise SpaceError(f"{what} needs a CLAP to be compared with, and the dataset's set has none")
    return spec, check_own_clap(generator, spec, target or spec.space, what)


def _format_refusal(  # noqa: PLR0913, PLR0917
    generator: GeneratorSpec,
    target: Space,
    what: str,
    dataset_ND: np.ndarray,
    own_ND: np.ndarray,
    cosine: float,
) -> str:
    name = generator.info.name
    found = (
        f"the mean cosine of {len(CAPTIONS)} captions is {cosine:.3f}, not {LEAST_COSINE} at least"
        if dataset_ND.shape == own_ND.shape
        else f"it takes vectors of {own_ND.shape[1]} numbers, not of {dataset_ND.shape[1]}"
    )
    return (
        f"{what} leads to {target}, which is not the CLAP of generator {name}: {found}; build a set with "
        f"encode.clap={{loader: audioldm, weights: {name}, audio: ITS ORIGINAL CHECKPOINT}} and train a "
        "translator to its clap_audio"
    )


def _is_own_tower(generator: GeneratorSpec, spec: EncoderSpec) -> bool:
    """Return whether the encoder's text tower has the same bytes as the generator's."""
    loader = spec.loader
    if not isinstance(loader, AudioLdmClap) or loader.precision != "fp32":
        return False
    folder = find_audioldm_folder(loader.weights, loader.revision, ("text_encoder", "tokenizer"))
    files = sorted((folder / "text_encoder").glob("*.safetensors"))
    return bool(files) and compute_fingerprint(files) == hash_text_tower(generator)
