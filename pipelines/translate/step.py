"""vectors/SET/NNNNN.parquet -> translators/NAME/vectors/SET.COLUMN.SHA/NNNNN.parquet, shard by shard.

The folder's name contains the weights' sha256, so the vectors of a translator that was trained again are
stored beside those of the old one. A committed table never changes; the same weights give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.compute import timing
from pipelines.compute.device import choose_device
from pipelines.errors import SpaceError, StorageError
from pipelines.stage import Batch, Stage, Work
from pipelines.store.counts import count_outcomes
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker, make_vector_array, with_tables
from pipelines.translate.translator import Translator, make_seeds
from schemas.families import Column
from schemas.outcome import make_outcome
from schemas.space import Space
from schemas.translated import make_translated_schema
from schemas.translator_card import TranslatorCard
from schemas.vectors import decode_spaces

# Rows that are translated at a time: 8 MB of 512 dimensions, a matrix product that fills every core.
_BATCH_ROWS = 4096
_ROW_COLUMNS = ("key", "id", "outcome", "reason")
_NO_VECTOR = make_outcome("failed", "no_vector")


@dataclass(frozen=True)
class TranslateStage:
    """Translates the vectors of a column; rows without a vector get none.

    Attributes:
        root: of the translator.
        translator: its name.
        weights_sha256: of its weights; others are refused.
        source: the column to translate.
        target: the column to add; of several candidates, an array of them a row.
        seed: of a net whose vectors are drawn; each row is drawn by its id.
        candidates: vectors of each row, of a net whose vectors are drawn; others have one.
    """

    root: Root
    translator: str
    weights_sha256: str
    source: Column
    target: Column
    seed: int = 0
    candidates: int = 1
    name: str = "translate"

    @property
    def reads(self) -> frozenset[str]:
        """The vectors, the id for the seeds, and the outcome."""
        return frozenset({self.source, "id", "outcome", "reason"})

    @property
    def adds(self) -> frozenset[str]:
        """The translated vectors; the outcome of a row whose vector has no direction."""
        return frozenset({self.target, "outcome", "reason"})

    def open(self) -> Work:
        """Load the translator, onto a GPU where there is one."""
        translator = Translator.open(self.root, self.translator, choose_device().type)
        if translator.card.weights_sha256 != self.weights_sha256:
            raise StorageError(
                f"translator {self.translator!r} was trained again meanwhile; run the command again"
            )

        def work(batch: Batch) -> Batch:
            vectors: list[np.ndarray | None] = batch[self.source]
            usable = {row: v for row, v in enumerate(vectors) if v is not None and _has_direction(v)}
            translated: list[np.ndarray | None] = [None] * len(vectors)
            if usable:
                names = [batch["id"][row] for row in usable]
                units = self._translate(translator, np.stack([*usable.values()]), names)
                for row, unit in zip(usable, units.astype(np.float16), strict=True):
                    translated[row] = unit
            outcomes, reasons = list(batch["outcome"]), list(batch["reason"])
            for row, vector in enumerate(vectors):
                if vector is not None and translated[row] is None:
                    outcomes[row], reasons[row] = _NO_VECTOR
            return batch | {self.target: translated, "outcome": outcomes, "reason": reasons}

        return work

    def _translate(self, translator: Translator, vectors_NI: np.ndarray, names: list[str]) -> np.ndarray:
        """Return unit vectors `[N, O]`; of several candidates that differ, `[N, candidates, O]`."""
        space = translator.card.source_space
        if not translator.net.is_drawn:
            return translator.translate(vectors_NI, space)
        drawn = [
            translator.translate(vectors_NI, space, make_seeds(names, self.seed, candidate))
            for candidate in range(self.candidates)
        ]
        return drawn[0] if self.candidates == 1 else np.stack(drawn, 1)


def _has_direction(vector: np.ndarray) -> bool:
    length = float(np.linalg.norm(vector.astype(np.float32)))
    return bool(np.isfinite(length)) and length > 0


@dataclass(frozen=True)
class TranslateStep:
    """Translates a column of a set of vectors, shard by shard.

    Attributes:
        root: of the dataset.
        set_name: the set of vectors.
        card: of the translator.
        source: the column to translate, in the translator's space.
    """

    root: Root
    set_name: str
    card: TranslatorCard
    source: Column
    name: str = field(default="translate", init=False)

    @property
    def folder(self) -> str:
        """The folder of the tables."""
        return get_folder(self.card, self.set_name, self.source)

    def get_marker(self, shard: Shard) -> str:
        """Return the name of a shard's table."""
        return f"{self.folder}/{shard.name}.parquet"

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of these shards are translated."""
        return with_tables(self.root, self.folder, shards)

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is translated."""
        return self.root.exists(self.get_marker(shard))

    def make_stages(self, shard: Shard) -> Sequence[Stage]:  # noqa: ARG002 - one chain for all kinds
        """Return the one stage."""
        return (self._stage,)

    @cached_property
    def _stage(self) -> Stage:
        return TranslateStage(
            self.root, self.card.name, self.card.weights_sha256, self.source, self.card.target
        )

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the rows of a shard with their vectors.

        Raises:
            SpaceError: the vectors are not in the translator's space.
            StorageError: the shard is missing.
        """
        with timing.measure_time("read"), self._open_checked(shard) as file:
            table = file.read(columns=[*_ROW_COLUMNS, self.source])
        for start in range(0, table.num_rows, _BATCH_ROWS):
            part = table.slice(start, _BATCH_ROWS).combine_chunks()
            yield {
                **{column: part[column].to_pylist() for column in _ROW_COLUMNS},
                self.source: _unpack_vectors(part[self.source].combine_chunks()),
            }

    def check(self, shard: Shard) -> None:
        """Refuse a shard whose vectors the translator was not trained for.

        Raises:
            SpaceError: the column is missing or in another space.
            StorageError: the shard is missing.
        """
        with self._open_checked(shard):
            pass

    @contextmanager
    def _open_checked(self, shard: Shard) -> Iterator[pq.ParquetFile]:
        name = get_vectors_marker(self.set_name, shard)
        try:
            with self.root.open_parquet(name) as file:
                _check_space(self.card, self.source, decode_spaces(file.schema_arrow), name)
                yield file
        except FileNotFoundError as error:
            raise StorageError(
                f"{self.root.url} has no {name}; run `echolens build` on it to its end first"
            ) from error

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write the table."""
        schema = make_translated_schema(self.card, self.set_name, self.source)
        vector_type = schema.field(self.card.target).type
        tables = [
            pa.table(
                [
                    *(pa.array(batch[column], pa.string()) for column in _ROW_COLUMNS),
                    make_vector_array(batch[self.card.target], vector_type),
                ],
                schema=schema,
            )
            for batch in batches
        ]
        with timing.measure_time("write"):
            self.root.write_table(self.get_marker(shard), pa.concat_tables([schema.empty_table(), *tables]))

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a shard's rows, by `outcome/reason`."""
        table = self.root.read_table(self.get_marker(shard), columns=["outcome", "reason"])
        return count_outcomes(table)


def get_folder(card: TranslatorCard, set_name: str, source: Column) -> str:
    """Return the folder of the vectors that a translator, with its card's weights, makes of a column."""
    return f"translators/{card.name}/vectors/{set_name}.{source}.{card.weights_sha256[:12]}"


def _check_space(card: TranslatorCard, source: Column, spaces: Mapping[Column, Space], name: str) -> None:
    if (found := spaces.get(source)) is None:
        raise SpaceError(
            f"{name} has no column {source}; name one of {', '.join(sorted(spaces)) or 'another set'}"
        )
    if found != card.source_space:
        raise SpaceError(
            f"translator {card.name!r} takes vectors of {card.source_space} and {source} of {name} is in "
            f"{found} ({found.describe_differences(card.source_space)}); train one for their space"
        )


def _unpack_vectors(column: pa.Array) -> list[np.ndarray | None]:
    if column.null_count == len(column):
        return [None] * len(column)
    # Nulls have values in the array, too: whole rows, which are skipped.
    flat = column.values.to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    flat = flat[column.offset : column.offset + len(column)]
    valid = column.is_valid().to_pylist()
    return [vector if is_valid else None for vector, is_valid in zip(flat, valid, strict=True)]
