"""Texts, pictures and sounds -> unit vectors, by the encoders of a version's own spaces."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from pipelines.compute.device import get_decode_pool
from pipelines.encode.encoder import EncoderSpec, Tower, encode
from pipelines.encode.resolve import resolve_family
from pipelines.encode.space_check import CAPTIONS, verify_space
from pipelines.errors import ConfigError, EcholensError, UndecodableMediaError
from pipelines.lookup.plan import QueryVector, make_unreadable_error
from pipelines.lookup.rows import VersionRows
from schemas.dataset import Encode
from schemas.space import Space
from schemas.vectors import Column, Family, Modality


class QueryEncoders:
    """The encoders of queries, each loaded on first use. Safe to use from several threads.

    Args:
        asked: the encoders that the dataset names.
        pinned: family -> the space of the stored vectors.
        rows: of the version, to compare the encoder of this machine with.
    """

    def __init__(self, asked: Encode, pinned: Mapping[str, Space], rows: VersionRows) -> None:
        self._asked = asked
        self._pinned = pinned
        self._rows = rows
        self._specs: dict[Family, EncoderSpec] = {}
        self._lock = threading.Lock()

    def has(self, family: Family) -> bool:
        """Return whether the dataset names an encoder of a family."""
        return (self._asked.clip if family == "clip" else self._asked.clap) is not None

    def get_spec(self, family: Family) -> EncoderSpec:
        """Return the encoder of a family.

        Raises:
            ConfigError: the dataset has none.
            SpaceError: its vectors are not in the space of the stored ones, although it claims so.
        """
        self.check(family)
        with self._lock:
            if family not in self._specs:
                spec = resolve_family(self._asked, family, self._pinned)
                assert spec is not None
                if family in self._pinned:
                    column: Column = "clip_text" if family == "clip" else "clap_text"
                    read_captions = partial(self._rows.read_captions, column, len(CAPTIONS))
                    spec = verify_space(spec, self._pinned[family], read_captions)
                self._specs[family] = spec
            return self._specs[family]

    def check(self, family: Family) -> None:
        """Refuse a query that needs an encoder which the dataset does not have.

        Raises:
            ConfigError: it has none.
        """
        if not self.has(family):
            raise ConfigError(f"encode.{family} is null in this dataset; ask with a vector or a key")

    def encode_as_stored(self, family: Family, modality: Modality, item: str | bytes) -> np.ndarray:
        """Return the vector of an item as a build would store it, float16 [D].

        It is computed in a full batch and on one core, as in a build, so that it is equal to the last digit.
        That takes the time of a full batch.

        Raises:
            ConfigError: the dataset has no such encoder, or the item cannot be read.
            SpaceError: the encoder is not the one that the vectors were made with.
        """
        spec = self.get_spec(family)
        tower = spec.open()[modality]
        piece = _prepare(tower, modality, item)
        if isinstance(piece, EcholensError):
            raise piece
        unit_ND, norms_N = get_decode_pool().submit(encode, tower, [piece], spec.space.batch_rows).result()
        if not (norms_N[0] > 0 and np.isfinite(norms_N[0])):
            raise make_unreadable_error(modality, "no_vector")
        stored_D: np.ndarray = unit_ND[0].astype(np.float16)
        return stored_D

    def encode(
        self, family: Family, modality: Modality, items: Sequence[str | bytes]
    ) -> list[QueryVector | EcholensError]:
        """Return the vector of every item, or the error that says why it has none.

        The items share a batch, padded to a power of two, at most to the batch size of the stored vectors. So
        a vector may differ in its last digit from the stored one of the same media, and from that in a batch
        of another size; but no query waits for a batch to fill.
        """
        try:
            spec = self.get_spec(family)
            tower = spec.open()[modality]
        except EcholensError as error:
            return [error] * len(items)
        prepared: list[np.ndarray | EcholensError] = [_prepare(tower, modality, item) for item in items]
        pieces = [each for each in prepared if isinstance(each, np.ndarray)]
        if not pieces:
            return [each for each in prepared if isinstance(each, EcholensError)]
        batch_rows = min(spec.space.batch_rows, _round_to_power_of_two(sum(len(piece) for piece in pieces)))
        unit_ND, norms_N = encode(tower, pieces, batch_rows)
        vectors = iter(
            QueryVector(unit_D, spec.space)
            if norm > 0 and np.isfinite(norm)
            else make_unreadable_error(modality, "no_vector")
            for unit_D, norm in zip(unit_ND, norms_N, strict=True)
        )
        return [each if isinstance(each, EcholensError) else next(vectors) for each in prepared]


def _prepare(tower: Tower, modality: Modality, item: str | bytes) -> np.ndarray | EcholensError:
    try:
        return tower.prepare(item)
    except UndecodableMediaError as error:
        return make_unreadable_error(modality, error.reason)


def _round_to_power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
