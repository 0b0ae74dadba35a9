"""Check that two encoders that claim one space are in it, by the vectors of a hundred captions (or media)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from pipelines.encode.encoder import EncoderSpec, Towers, encode, get_tower
from pipelines.errors import SpaceError
from schemas.families import Modality
from schemas.space import Space

# Another version of a library, or bf16 in place of fp32, stays above 0.999; another net is near 0.
LEAST_COSINE = 0.99

_THINGS = ("a dog", "a church bell", "heavy rain", "two birds", "an old clock", "a red drum", "a siren",
           "children", "a steam train", "the sea")  # fmt: skip
_PLACES = ("in the street", "at night", "in a small room", "far away", "on a hill", "in black and white",
           "close to the microphone", "behind a wall", "in the snow", "on a sunny day")  # fmt: skip

_ITEMS: Mapping[Modality, str] = {"text": "captions", "image": "pictures", "audio": "sounds"}

CAPTIONS = tuple(f"{thing} {place}" for thing, place in product(_THINGS, _PLACES))


class StoredItems(NamedTuple):
    """Captions, pictures or sounds of rows, and their stored vectors, [N, D]."""

    modality: Modality
    items: Sequence[str | bytes]
    unit_ND: np.ndarray


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
    spec: EncoderSpec,
    stored: Space,
    rows: Callable[[], StoredItems],
) -> EncoderSpec:
    """Return an encoder with the space of stored vectors, if it claims that space and passes the check.

    The same weights with another version of their library, precision or batch size claim the same space. An
    encoder of any other space is returned unchanged.

    Args:
        spec: the encoder of this machine.
        stored: the space of the vectors.
        rows: returns captions or media of rows and their vectors; called only if the check is needed. The
            encoder is returned unchanged if there are none.

    Raises:
        SpaceError: it claims the space and is not in it.
    """
    loose = {name: getattr(stored, name) for name in ("library", "precision", "batch_rows")}
    if spec.space == stored or spec.space.model_copy(update=loose) != stored:
        return spec
    found = rows()
    if not found.items:
        return spec
    check_against_vectors(spec, found, f"the vectors of {stored} ({stored.library})")
    return VerifiedEncoder(stored, spec.loader, spec)


def check_against_vectors(spec: EncoderSpec, stored: StoredItems, what: str) -> float:
    """Return the mean cosine between an encoder's vectors of items and those that are stored of them.

    Args:
        spec: the encoder.
        stored: captions or media of rows, and their vectors.
        what: the name of these vectors, for the error.

    Raises:
        SpaceError: it is below `LEAST_COSINE`, or the encoder's vectors have another length.
    """
    _check_dims(spec, stored.unit_ND.shape[1], what)
    own_ND = encode_items(spec, stored.items, stored.modality)
    return _compare(spec, own_ND, stored.unit_ND, what, stored.modality)


def encode_captions(spec: EncoderSpec, captions: Sequence[str]) -> np.ndarray:
    """Return the unit vectors of captions, float32 [N, D]."""
    return encode_items(spec, captions, "text")


def encode_items(spec: EncoderSpec, items: Sequence[str | bytes], modality: Modality) -> np.ndarray:
    """Return the unit vectors of texts, or of the bytes of pictures or sounds, float32 [N, D]."""
    tower = get_tower(spec, modality)
    pieces = [tower.prepare(item) for item in items]
    return encode(tower, pieces, spec.space.batch_rows)[0]


def _compare(
    spec: EncoderSpec, first_ND: np.ndarray, second_ND: np.ndarray, what: str, modality: Modality = "text"
) -> float:
    lengths_N = np.linalg.norm(first_ND, axis=1) * np.linalg.norm(second_ND.astype(np.float32), axis=1)
    cosine = float(((first_ND * second_ND).sum(axis=1) / lengths_N).mean())
    if not cosine >= LEAST_COSINE:  # NaN is refused as well
        raise SpaceError(
            f"{spec.space} ({spec.space.library}) and {what} claim one space, but the mean cosine of "
            f"{len(first_ND)} {_ITEMS[modality]} is {cosine:.3f}, not {LEAST_COSINE} at least; use the "
            "encoder that the dataset was built with, or encode the dataset into another set"
        )
    return cosine


def _check_dims(spec: EncoderSpec, dims: int, what: str) -> None:
    if spec.space.dims != dims:
        raise SpaceError(
            f"{spec.space} gives vectors of {spec.space.dims} numbers and {what} has {dims}, which is no one "
            "space; use the encoder that the dataset was built with"
        )
