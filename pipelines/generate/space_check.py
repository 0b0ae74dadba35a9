"""Whether a generator takes the vectors of a dataset for what they are.

A vector of another CLAP has the same length and makes a sound without any error: noise, or the same thing
for everything. So a generator is given vectors of its own CLAP alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.audioldm_clap import AudioLdmClap, find_audioldm_folder
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.encode.resolve import resolve_family
from pipelines.encode.space_check import CAPTIONS, LEAST_COSINE, encode_captions
from pipelines.errors import SpaceError
from pipelines.generate.registry import GeneratorSpec, find_text_tower
from schemas.dataset import Encode
from schemas.space import Space


def check_own_clap(chosen: GeneratorSpec, spec: EncoderSpec | None, target: Space, what: str) -> float:
    """Return the mean cosine of `CAPTIONS` through a generator's text tower and an encoder's.

    Args:
        chosen: the generator.
        spec: the CLAP of the dataset; None if it has none.
        target: the space of the vectors that shall become sounds.
        what: whose vectors they are, for the error.

    Raises:
        SpaceError: the vectors are not of the generator's own CLAP.
    """
    if spec is None or spec.space != target:
        found = "no CLAP" if spec is None else f"vectors of {spec.space} ({target.differences(spec.space)})"
        raise SpaceError(
            f"{what} leads to {target}, and the dataset's set has {found}, so nothing can be compared; "
            "train a translator to the clap column of this set"
        )
    if _is_its_own(chosen, spec):
        return 1.0
    theirs_ND, own_ND = encode_captions(spec, CAPTIONS), chosen.open().encode_text(CAPTIONS)
    cosine = float((theirs_ND * own_ND).sum(1).mean()) if theirs_ND.shape == own_ND.shape else float("nan")
    if not cosine >= LEAST_COSINE:  # NaN is refused as well
        raise SpaceError(_refusal(chosen, target, what, theirs_ND, own_ND, cosine))
    return cosine


def verify_generator(
    _: Path,
    __: object,
    asked: Encode,
    pinned: dict[str, Space],
    chosen: GeneratorSpec,
    target: Space | None,
    what: str,
) -> tuple[EncoderSpec, float]:
    """Return the CLAP of a dataset and the mean cosine of the gate; for `apart`.

    Args:
        asked: the encoders of the dataset's set.
        pinned: family -> the space of the vectors that are there.
        chosen: the generator.
        target: the space of the vectors that shall become sounds; None where captions are spoken.
        what: whose vectors they are.

    Raises:
        SpaceError: the vectors, or the CLAP, are not the generator's own.
    """
    spec = resolve_family(asked, "clap", pinned)
    if spec is None:
        raise SpaceError(f"{what} needs a CLAP to be compared with, and the dataset's set has none")
    return spec, check_own_clap(chosen, spec, target or spec.space, what)


def _refusal(  # noqa: PLR0913, PLR0917 - what was found
    chosen: GeneratorSpec, target: Space, what: str, theirs_ND: np.ndarray, own_ND: np.ndarray, cosine: float
) -> str:
    name = chosen.info.name
    found = (
        f"the mean cosine of {len(CAPTIONS)} captions is {cosine:.3f}, not {LEAST_COSINE} at least"
        if theirs_ND.shape == own_ND.shape
        else f"it takes vectors of {own_ND.shape[1]} numbers, not of {theirs_ND.shape[1]}"
    )
    return (
        f"{what} leads to {target}, which is not the CLAP of generator {name}: {found}; build a set with "
        f"encode.clap={{loader: audioldm, weights: {name}, audio: ITS ORIGINAL CHECKPOINT}} and train a "
        "translator to its clap_audio"
    )


def _is_its_own(chosen: GeneratorSpec, spec: EncoderSpec) -> bool:
    """Whether the encoder is the generator's own text tower, byte by byte."""
    loader = spec.loader
    if not isinstance(loader, AudioLdmClap) or loader.precision != "fp32":
        return False
    folder = find_audioldm_folder(loader.weights, loader.revision, ("text_encoder", "tokenizer"))
    files = sorted((folder / "text_encoder").glob("*.safetensors"))
    return bool(files) and compute_fingerprint(files) == find_text_tower(chosen)
