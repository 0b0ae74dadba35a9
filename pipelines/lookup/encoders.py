"""Texts, pictures and sounds -> unit vectors, by the encoders of a version's own spaces."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from pipelines.compute.device import get_decode_pool
from pipelines.decode.upright import make_upright
from pipelines.encode.encoder import EncoderSpec, Tower, encode, get_tower
from pipelines.encode.resolve import resolve_entry
from pipelines.encode.space_check import CAPTIONS, StoredItems, verify_space
from pipelines.errors import ConfigError, EcholensError, UndecodableMediaError
from pipelines.lookup.media import MediaReader, Medium
from pipelines.lookup.plan import QueryVector, make_unreadable_error
from pipelines.lookup.rows import VersionRows
from schemas.candidate import Kind
from schemas.dataset import Fetch
from schemas.encoders import Encode
from schemas.families import Column, Modality, get_modality
from schemas.segment import WHOLE
from schemas.space import Space

# The rows whose media are stored as a column's tower saw them, and the medium.
_STORED: Mapping[Modality, tuple[Kind, Medium]] = {
    "image": ("image", "picture"),
    "audio": ("clip", "sound"),
}
_COMPARED: Sequence[Modality] = ("text", "image", "audio")
# Media that are compared where an encoder embeds no text; each is read from its tar.
_MEDIA_COMPARED = 16


class QueryEncoders:
    """The encoders of queries, each loaded on first use. Safe to use from several threads.

    Args:
        asked: the encoders that the dataset names.
        pinned: column -> the space of the stored vectors.
        rows: of the version, to compare the encoder of this machine with.
        media: of the version, for encoders that embed no text.
        fetch: of the dataset: pictures stand as those of its rows do.
    """

    def __init__(
        self,
        asked: Encode,
        pinned: Mapping[Column, Space],
        rows: VersionRows,
        media: MediaReader,
        fetch: Fetch,
    ) -> None:
        self._fetch = fetch
        self._asked = asked
        self._pinned = pinned
        self._rows = rows
        self._media = media
        self._specs: dict[str, EncoderSpec] = {}
        self._lock = threading.Lock()

    def has(self, column: Column) -> bool:
        """Return whether the dataset names the encoder that fills a column."""
        return self._asked.find_key(column) in self._asked.entries

    def get_spec(self, column: Column) -> EncoderSpec:
        """Return the encoder that fills a column.

        Raises:
            ConfigError: the dataset has none.
            SpaceError: its vectors are not in the space of the stored ones, although it claims so.
        """
        self.check(column)
        key = self._asked.find_key(column)
        with self._lock:
            if key not in self._specs:
                spec = resolve_entry(self._asked, key, self._pinned)
                assert spec is not None
                own = [other for other in self._pinned if self._asked.find_key(other) == key]
                if own:
                    spec = verify_space(spec, self._pinned[own[0]], partial(self._read_items, own))
                self._specs[key] = spec
            return self._specs[key]

    def _read_items(self, columns: Sequence[Column]) -> StoredItems:
        """Return captions or media of rows, and their vectors in the first of some columns that has any.

        Captions are the cheapest, and then pictures. Left out is what a tower did not see as it is stored:
        the pictures of clips, whose vectors are means, and sounds of which a segment was encoded.
        """
        for column in sorted(columns, key=lambda column: _COMPARED.index(get_modality(column))):
            modality = get_modality(column)
            if modality == "text":
                found = StoredItems(modality, *self._rows.read_captions(column, len(CAPTIONS)))
            elif modality == "audio" and self._asked.segment != WHOLE:
                continue
            else:
                kind, medium = _STORED[modality]
                keys, unit_ND = self._rows.read_first_vectors(column, _MEDIA_COMPARED, kind)
                found = StoredItems(modality, [self._media.read(key, medium)[0] for key in keys], unit_ND)
            if found.items:
                return found
        return StoredItems("text", (), np.empty((0, 0), dtype=np.float32))

    def check(self, column: Column) -> None:
        """Refuse a query that needs an encoder which the dataset does not have.

        Raises:
            ConfigError: it has none.
        """
        if not self.has(column):
            key = self._asked.find_key(column)
            raise ConfigError(f"encode.{key} is null in this dataset; ask with a vector or a key")

    def encode_as_stored(self, column: Column, item: str | bytes) -> np.ndarray:
        """Return the vector of an item by a column's tower as a build would store it, float16 [D].

        It is computed in a full batch and on one core, as in a build, so that it is equal to the last digit.
        That takes the time of a full batch.

        Raises:
            ConfigError: the dataset has no such encoder, or the item cannot be read.
            SpaceError: the encoder is not the one that the vectors were made with.
        """
        spec, modality = self.get_spec(column), get_modality(column)
        tower = get_tower(spec, modality)
        piece = self._prepare(tower, modality, item)
        if isinstance(piece, EcholensError):
            raise piece
        unit_ND, norms_N = get_decode_pool().submit(encode, tower, [piece], spec.space.batch_rows).result()
        if not (norms_N[0] > 0 and np.isfinite(norms_N[0])):
            raise make_unreadable_error(modality, "no_vector")
        stored_D: np.ndarray = unit_ND[0].astype(np.float16)
        return stored_D

    def encode(self, column: Column, items: Sequence[str | bytes]) -> list[QueryVector | EcholensError]:
        """Return the vector of every item by a column's tower, or the error that says why it has none.

        The items share a batch, padded to a power of two, at most to the batch size of the stored vectors. So
        a vector may differ in its last digit from the stored one of the same media, and from that in a batch
        of another size; but no query waits for a batch to fill.
        """
        modality = get_modality(column)
        try:
            spec = self.get_spec(column)
            tower = get_tower(spec, modality)
        except EcholensError as error:
            return [error] * len(items)
        prepared: list[np.ndarray | EcholensError] = [self._prepare(tower, modality, item) for item in items]
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

    def _prepare(self, tower: Tower, modality: Modality, item: str | bytes) -> np.ndarray | EcholensError:
        if modality == "image" and isinstance(item, bytes) and self._fetch.orientation == "upright":
            item = make_upright(item, self._fetch.max_pixels)
        try:
            return tower.prepare(item)
        except UndecodableMediaError as error:
            return make_unreadable_error(modality, error.reason)


def _round_to_power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
