"""Encoders: towers that turn media into raw vectors of one space, and how they are run.

Shapes: N items, P pieces of an item (the frames of a clip, the windows of a long sound), B rows of a
batch, D dimensions.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.errors import ConfigError, SpaceError
from schemas.families import (
    FAMILIES,
    MODALITIES,
    Column,
    Modality,
    get_family,
    get_modality,
    is_column,
    list_columns,
    sort_columns,
)
from schemas.space import Space


class Tower(Protocol):
    """One modality of an encoder. Preprocessing and the net are two methods, so that they can overlap.

    A tower of sounds may say where its windows lie: `locate_windows(item)` returns the start of each piece of
    `prepare(item)`, in seconds, float32 [P].
    """

    def prepare(self, item: Any) -> np.ndarray:
        """Return the pieces of one item, [P, ...], as `forward` takes them. Safe to call from threads.

        Args:
            item: the bytes of a picture or sound file, or a text.

        Raises:
            UndecodableMediaError: the item cannot be decoded.
        """
        ...

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Return the raw vectors of a batch of pieces, float32 [B, D], not normalised."""
        ...


Towers = Mapping[Modality, Tower]


class EncoderLoader(Protocol):
    """Finds and loads an encoder. Frozen, hashable and picklable, as a stage is."""

    def space(self) -> Space:
        """Return the space of the encoder's vectors without loading its weights; they are hashed."""
        ...

    def load(self) -> Towers:
        """Load the weights.

        A loader whose towers are not those of CLIP or CLAP says which it has in an attribute `modalities`, a
        tuple as in ("image", "audio").
        """
        ...


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder whose weights are not loaded yet: the driver needs the space, a worker the towers."""

    space: Space
    loader: EncoderLoader

    def open(self) -> Towers:
        """Return the towers. The stages of a process share one copy of the weights.

        Raises:
            SpaceError: weights or packages of this machine differ from the driver's.
        """
        with _lock:
            if self not in _towers:
                here = self.loader.space()
                if here != self.space:
                    raise SpaceError(
                        f"this machine would encode with {here}, but the dataset is in {self.space} "
                        f"({here.describe_differences(self.space)}); give every machine the same weights "
                        "and packages"
                    )
                _towers[self] = self.loader.load()
            return _towers[self]


# By the keys of the dataset's file: a family, or a column that joins one.
EncoderSpecs = Mapping[str, EncoderSpec]

_lock = threading.Lock()
_towers: dict[EncoderSpec, Towers] = {}


def get_spaces(specs: EncoderSpecs) -> dict[Column, Space]:
    """Return the space of every column that these encoders fill."""
    spaces = {column: spec.space for key, spec in specs.items() for column in _list_own(key, spec.loader)}
    return {column: spaces[column] for column in sort_columns(spaces)}


def _list_own(key: str, loader: EncoderLoader) -> tuple[Column, ...]:
    return (key,) if is_column(key) else list_columns(key, find_modalities(key, loader))


def find_modalities(key: str, loader: EncoderLoader) -> tuple[Modality, ...]:
    """Return what an encoder embeds: what its loader says, else what the table of families does.

    Args:
        key: of the dataset's file, a family or a column.
        loader: of the encoder.

    Raises:
        ConfigError: neither says it, or the loader says something else.
    """
    if is_column(key):
        return (get_modality(key),)
    found = getattr(loader, "modalities", FAMILIES.get(key))
    if not isinstance(found, tuple) or not found or not set(found) <= set(MODALITIES):
        raise ConfigError(
            f"encode.{key}: {type(loader).__name__} does not say what it embeds (modalities is {found!r}); "
            f"give the class `modalities`, a tuple of some of {', '.join(MODALITIES)}"
        )
    return found


def find_spec(specs: EncoderSpecs, column: Column) -> EncoderSpec:
    """Return the encoder that fills a column."""
    return specs[column] if column in specs else specs[get_family(column)]


def open_tower(specs: EncoderSpecs, column: Column) -> Tower:
    """Return the tower that fills a column, with its weights.

    Raises:
        ConfigError: the encoder has no such tower, although it says so.
        SpaceError: weights or packages of this machine differ from the driver's.
    """
    return get_tower(find_spec(specs, column), get_modality(column))


def get_tower(spec: EncoderSpec, modality: Modality) -> Tower:
    """Return a tower of an encoder, with its weights.

    Raises:
        ConfigError: the encoder has no such tower, although it says so.
        SpaceError: weights or packages of this machine differ from the driver's.
    """
    towers = spec.open()
    if modality not in towers:
        raise ConfigError(
            f"{spec.space} loads towers of {', '.join(map(str, towers)) or 'nothing'}, and one of {modality} "
            "is needed; check the encoder with `echolens doctor --encoder`"
        )
    return towers[modality]


def encode(tower: Tower, pieces: Sequence[np.ndarray], batch_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Run prepared items through a tower, in batches of exactly `batch_rows` pieces.

    The net always sees the same number of pieces, so a vector does not depend on its neighbours.

    Args:
        tower: the net.
        pieces: of every item, [P, ...]; P may differ, and texts may be of several lengths.
        batch_rows: the size of a batch; the last one of each shape is padded.

    Returns:
        Unit vectors and norms, as `pool_pieces` returns them.
    """
    flat = [piece for item in pieces for piece in item]
    raw: list[np.ndarray] = [np.empty(0)] * len(flat)
    for shape in {piece.shape for piece in flat}:
        same_shape = [index for index, piece in enumerate(flat) if piece.shape == shape]
        for start in range(0, len(same_shape), batch_rows):
            batch = same_shape[start : start + batch_rows]
            raw_BD = tower.forward(pad_batch(np.stack([flat[index] for index in batch]), batch_rows))
            for index, raw_D in zip(batch, raw_BD, strict=False):
                raw[index] = raw_D
    return pool_pieces(np.stack(raw), [len(item) for item in pieces])


def pad_batch(pieces_M: np.ndarray, batch_rows: int) -> np.ndarray:
    """Return a batch of exactly `batch_rows` pieces.

    Padded with a real piece: zeros would be a text without tokens, whose vector is NaN.
    """
    short = batch_rows - len(pieces_M)
    return np.concatenate([pieces_M, np.repeat(pieces_M[-1:], short, axis=0)]) if short else pieces_M


def pool_pieces(raw_MD: np.ndarray, pieces: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Pool the vectors of pieces to one vector for each item.

    Args:
        raw_MD: raw vectors of all pieces, item after item.
        pieces: how many pieces each item has.

    Returns:
        Unit vectors, float32 [N, D], and norms, float32 [N]: the raw norm of a single piece, or the length of
        the mean of several unit vectors. A vector without a direction has the norm 0 or NaN.
    """
    norms_M = np.linalg.norm(raw_MD, axis=1)
    starts_N = np.cumsum([0, *pieces[:-1]])
    counts_N = np.array(pieces)
    with np.errstate(divide="ignore", invalid="ignore"):
        means_ND = np.add.reduceat(raw_MD / norms_M[:, None], starts_N) / counts_N[:, None]
        mean_norms_N = np.linalg.norm(means_ND, axis=1)
        unit_ND = means_ND / mean_norms_N[:, None]
    norms_N = np.where(counts_N == 1, norms_M[starts_N], mean_norms_N)
    return unit_ND.astype(np.float32), norms_N.astype(np.float32)
