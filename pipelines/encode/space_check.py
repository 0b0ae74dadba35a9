"""Check that two encoders that claim one space are in it, by the vectors of a hundred captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pipelines.encode.encoder import EncoderSpec, Towers, encode
from pipelines.errors import SpaceError
from schemas.space import Space

# Another version of a library, or bf16 in place of fp32, stays above 0.999; another net is near 0.
LEAST_COSINE = 0.99

_THINGS = ("a dog", "a church bell", "heavy rain", "two birds", "an old clock", "a red drum", "a siren",
           "children", "a steam train", "the sea")  # fmt: skip
_PLACES = ("in the street", "at night", "in a small room", "far away", "on a hill", "in black and white",
           "close to the microphone", "behind a wall", "in the snow", "on a sunny day")  # fmt: skip

CAPTIONS = tuple(f"{thing} {place}" for thing, place in product(_THINGS, _PLACES))


def check_same_space(one: EncoderSpec, other: EncoderSpec) -> float:
    """Return the mean cosine of `CAPTIONS` through the text towers of two encoders.

    Raises:
        SpaceError: it is below `LEAST_COSINE`, or their vectors differ in length.
    """
    _check_dims(one, other.space.dims, str(other.space))
    return _compare(one, encode_captions(one, CAPTIONS), encode_captions(other, CAPTIONS), str(other.space))


@dataclass(frozen=True)
class VerifiedEncoder(EncoderSpec):
    """An encoder that was verified to be in the space of stored vectors, and now has that space."""

    own: EncoderSpec

    def open(self) -> Towers:
        """Return the towers of the encoder of this machine."""
        return self.own.open()


def verify_space(
    spec: EncoderSpec, stored: Space, rows: Callable[[], tuple[Sequence[str], np.ndarray]]
) -> EncoderSpec:
    """Return an encoder with the space of stored vectors, if it claims that space and passes the check.

    The same weights with another version of their library, precision or batch size claim the same space. An
    encoder of any other space is returned unchanged.

    Args:
        spec: the encoder of this machine.
        stored: the space of the vectors.
        rows: returns captions of rows and their vectors; called only if the check is needed.

    Raises:
        SpaceError: it claims the space and is not in it.
    """
    loose = {name: getattr(stored, name) for name in ("library", "precision", "batch_rows")}
    if spec.space == stored or spec.space.model_copy(update=loose) != stored:
        return spec
    captions, unit_ND = rows()
    if not captions:
        return spec
    check_against_vectors(spec, captions, unit_ND, f"the vectors of {stored} ({stored.library})")
    return VerifiedEncoder(stored, spec.loader, spec)


def check_against_vectors(
    spec: EncoderSpec, captions: Sequence[str], unit_ND: np.ndarray, what: str
) -> float:
    """Return the mean cosine between an encoder's vectors of captions and those that are stored of them.

    Args:
        spec: the encoder.
        captions: of the rows.
        unit_ND: their stored vectors.
        what: the name of these vectors, for the error.

    Raises:
        SpaceError: it is below `LEAST_COSINE`, or the encoder's vectors have another length.
    """
    _check_dims(spec, unit_ND.shape[1], what)
    return _compare(spec, encode_captions(spec, captions), unit_ND, what)


def encode_captions(spec: EncoderSpec, captions: Sequence[str]) -> np.ndarray:
    """Return the unit vectors of captions, float32 [N, D]."""
    tower = spec.open()["text"]
    pieces = [tower.prepare(caption) for caption in captions]
    return encode(tower, pieces, spec.space.batch_rows)[0]


def _compare(spec: EncoderSpec, first_ND: np.ndarray, second_ND: np.ndarray, what: str) -> float:
    lengths_N = np.linalg.norm(first_ND, axis=1) * np.linalg.norm(second_ND.astype(np.float32), axis=1)
    cosine = float(((first_ND * second_ND).sum(axis=1) / lengths_N).mean())
    if not cosine >= LEAST_COSINE:  # NaN is refused as well
        raise SpaceError(
            f"{spec.space} ({spec.space.library}) and {what} claim one space, but the mean cosine of "
            f"{len(first_ND)} captions is {cosine:.3f}, not {LEAST_COSINE} at least; use the encoder that "
            "the dataset was built with, or encode the dataset into another set"
        )
    return cosine


def _check_dims(spec: EncoderSpec, dims: int, what: str) -> None:
    if spec.space.dims != dims:
        raise SpaceError(
            f"{spec.space} gives vectors of {spec.space.dims} numbers and {what} has {dims}, which is no one "
            "space; use the encoder that the dataset was built with"
        )
