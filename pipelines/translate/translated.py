"""The translated vectors of a version: their card, which says that they are complete, and their reader."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError, StorageError
from pipelines.store import versions
from pipelines.store.atomic import TEMPORARY
from pipelines.store.counts import as_integers, count_outcomes
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.translate.step import TranslateStep, get_folder
from pipelines.translate.translator import find_card
from schemas.families import Column, has_column, is_embedded
from schemas.translated import TranslationCard
from schemas.version import Version


def find_shards_with(root: Root, version: Version, column: Column) -> list[Shard]:
    """Return the shards of a version that have a column.

    A list that brings vectors is alone in its dataset, so its shards of texts are asked for only where no
    other kind has the column.

    Raises:
        ConfigError: no row of the version has it.
    """
    if not version.vectors.get(column):
        columns = ", ".join(name for name, count in version.vectors.items() if count) or "no vectors"
        raise ConfigError(
            f"version {version.number} of {root.url} has no vectors in {column}, only in {columns}; "
            "name another --column"
        )
    shards = versions.read_shards(root, version)
    embedded = [shard for shard in shards if is_embedded(shard.kind, column)]
    return embedded or [shard for shard in shards if has_column(shard.kind, column)]


def finish(step: TranslateStep, version: Version, shards: Sequence[Shard]) -> TranslationCard:
    """Count the outcomes in the tables of all shards of a version; write and return the card beside them.

    Args:
        step: whose tables.
        version: that was translated.
        shards: of the version that have the column.
    """
    removed = versions.read_removed(step.root, version.number)["key"]
    outcomes: Counter[str] = Counter()
    for shard in shards:
        table = step.root.read_table(step.get_marker(shard), columns=["key", "outcome", "reason"])
        kept = table.filter(pc.invert(pc.is_in(table["key"], removed.combine_chunks())))
        outcomes += count_outcomes(kept)
    card = step.card
    translation = TranslationCard(
        translator=card.name,
        weights_sha256=card.weights_sha256,
        trained_on=card.version,
        version=version.number,
        set=step.set_name,
        source=step.source,
        target=card.target,
        space=card.target_space,
        shards=len(shards),
        outcomes=dict(sorted(outcomes.items())),
    )
    content = translation.model_dump_json(indent=2) + "\n"
    step.root.write(_make_card_path(step.folder, version.number), content.encode())
    return translation


def find_translated(step: TranslateStep, version: Version) -> TranslationCard | None:
    """Return the card of a version's translation, or None if it is not complete."""
    name = _make_card_path(step.folder, version.number)
    if not step.root.exists(name):
        return None
    try:
        return read_json(step.root, name, TranslationCard, "translate again")
    except StorageError:
        return None  # damaged: it is written again


def _make_card_path(folder: str, version: int) -> str:
    return f"{folder}/{version:04d}.json"


@dataclass(frozen=True)
class TranslatedVectors:
    """Reads the translated vectors of a version, without the rows that it hides.

    Attributes:
        root: of the dataset.
        card: of the translation.
        folder: of the tables.
        shards: of the version.
        removed: keys that no reader may see.
    """

    root: Root
    card: TranslationCard
    folder: str
    shards: Sequence[Shard]
    removed: np.ndarray

    @classmethod
    def open(cls, root: Root, name: str, version: Version, source: Column | None = None) -> Self:
        """Return the vectors that `echolens translate` made of a version.

        Raises:
            ConfigError: there is no such translator, or it was not applied to the version.
        """
        translator = find_card(root, name)
        step = TranslateStep(root, version.set, translator, source or translator.source)
        card = find_translated(step, version)
        if card is None:
            raise ConfigError(
                f"translator {name!r} was not applied to {step.source} of version {version.number}; "
                f"run `echolens translate {root.url} {name}` first"
            )
        shards = find_shards_with(root, version, step.source)
        folder = get_folder(translator, version.set, step.source)
        return cls(
            root, card, folder, shards, as_integers(versions.read_removed(root, version.number)["key"])
        )

    def write_npy(self, into: Path) -> int:
        """Write keys.npy, int64 `[N]`, and vectors.npy, float16 `[N, O]`, and return N.

        Args:
            into: a folder that does not exist yet; it is created complete or not at all.

        Raises:
            ConfigError: it exists.
            StorageError: a table is missing, or the disk is full.
        """
        if into.exists():
            raise ConfigError(f"{into} is there already and nothing is overwritten; name another folder")
        scratch = into.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{into.name}")
        try:
            scratch.mkdir(parents=True)
            keys_N = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in self.read_blocks())])
            np.save(scratch / "keys.npy", keys_N)
            if len(keys_N):
                shape = (len(keys_N), self.card.space.dims)
                vectors_NO = np.lib.format.open_memmap(scratch / "vectors.npy", "w+", np.float16, shape)
                at = 0
                for keys, vectors in self.read_blocks():
                    vectors_NO[at : at + len(keys)] = vectors
                    at += len(keys)
                vectors_NO.flush()
            scratch.replace(into)
        except OSError as error:
            raise StorageError(f"{into} cannot be written ({error}); choose another folder") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return len(keys_N)

    def read_blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys, int64 [N], and unit vectors, float32 [N, O], shard by shard.

        Raises:
            StorageError: a table is missing.
        """
        target = self.card.target
        for shard in self.shards:
            name = f"{self.folder}/{shard.name}.parquet"
            try:
                table = self.root.read_table(name, columns=["key", target])
            except FileNotFoundError as error:
                raise StorageError(
                    f"{self.root.url} has no {name}; run `echolens translate` again"
                ) from error
            kept = pc.and_(
                pc.is_valid(table[target]), pa.array(~np.isin(as_integers(table["key"]), self.removed))
            )
            table = table.filter(kept)
            if table.num_rows:
                flat = table[target].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                yield as_integers(table["key"]), flat.astype(np.float32).reshape(table.num_rows, -1)
