"""indices/SET/NNNN/COLUMN.{faiss,json}: an index and the card beside it, written and read back."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipelines.errors import StorageError
from pipelines.index.file_check import check_index_file
from pipelines.store.cache import fetch_cached
from pipelines.store.json_file import read_json
from pipelines.store.library_files import get_local_path
from pipelines.store.root import Root
from schemas.families import Column
from schemas.index_card import IndexCard
from schemas.version import Version

_ADVICE = "take that version away and run the build again"


def make_index_path(set_name: str, number: int, column: Column) -> str:
    """Return the path of an index below the root, without its suffix (.faiss, .json)."""
    return f"indices/{set_name}/{number:04d}/{column}"


def commit_index(root: Root, path: str, index: Any, card: IndexCard) -> IndexCard:
    """Write an index, then its card, to which size and sha256 of the index are added.

    Args:
        root: of the dataset.
        path: from `make_index_path`.
        index: of FAISS.
        card: its size and sha256 are replaced.

    Returns:
        The card as it is written.
    """
    import faiss

    with root.write_atomically(f"{path}.faiss") as scratch:
        faiss.write_index(index, str(scratch))
        with scratch.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = scratch.stat().st_size
    whole = card.model_copy(update={"bytes": size, "sha256": sha256})
    root.write_json(f"{path}.json", whole.model_dump(mode="json"))
    return whole


def read_index(root: Root, path: str) -> tuple[Any, IndexCard] | None:
    """Return an index in memory with its card, or None if either is damaged or missing."""
    import faiss

    try:
        card = _read_card(root, f"{path}.json")
        name = f"{path}.faiss"
        if root.is_local and root.compute_sha256(name) != card.sha256:
            return None
        return faiss.read_index(str(_find_local(root, name, card))), card
    except (FileNotFoundError, ValueError, RuntimeError, StorageError):
        return None


def map_index(root: Root, name: str, card: IndexCard) -> Any:
    """Return an index whose file is memory-mapped: several processes share one copy.

    Args:
        root: of the dataset.
        name: of the index's file.
        card: of the index.

    Raises:
        StorageError: the file is missing or damaged.
    """
    import faiss

    try:
        size = root.get_size(name)
        if size != card.bytes:
            raise StorageError(
                f"{name} has {size} bytes, but its card says {card.bytes}; "
                "take that version away and run the build again"
            )
        return faiss.read_index(str(_find_local(root, name, card)), faiss.IO_FLAG_MMAP_IFC)
    except (FileNotFoundError, RuntimeError) as error:
        raise StorageError(
            f"{name} cannot be read as an index ({type(error).__name__}); "
            "take that version away and run the build again"
        ) from error


def _find_local(root: Root, name: str, card: IndexCard) -> Path:
    """Return a file of this machine with the bytes of an index, checked before FAISS believes it."""
    local = get_local_path(root, name) if root.is_local else fetch_cached(root, name, card.sha256)
    check_index_file(local, card.space.dims, name)
    return local


def _read_card(root: Root, name: str) -> IndexCard:
    return read_json(root, name, IndexCard, _ADVICE)


def read_cards(root: Root, version: Version) -> dict[Column, tuple[str, IndexCard]]:
    """Return, by column, the file of a version's index below the root, and its card."""
    cards: dict[Column, tuple[str, IndexCard]] = {}
    for entry in version.indices:
        if entry.path.endswith(".json"):
            try:
                card = _read_card(root, entry.path)
            except FileNotFoundError as error:
                raise StorageError(f"{root.url} has no {entry.path}; {_ADVICE}") from error
            cards[card.column] = (entry.path.removesuffix(".json") + ".faiss", card)
    return cards


def find_shortfalls(root: Root, version: Version) -> list[str]:
    """Return one sentence for every index of a version whose recall is below the wanted one."""
    return [
        sentence for _, card in read_cards(root, version).values() if (sentence := card.describe_shortfall())
    ]
