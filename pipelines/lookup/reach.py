"""Which columns a text, picture or sound can search: those in whose space it has a tower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from schemas.families import (
    COLUMNS,
    Column,
    Modality,
    get_family,
    get_modality,
    list_columns,
    make_column,
    sort_columns,
)
from schemas.space import Space


@dataclass(frozen=True)
class ColumnReach:
    """The columns of a set of vectors, and which of them can be compared.

    Attributes:
        spaces: column -> its space, for every column that the encoders of the set fill.
    """

    spaces: Mapping[Column, Space]

    @classmethod
    def from_indexed(cls, spaces: Mapping[Column, Space]) -> Self:
        """Return the reach over columns that are indexed; of CLIP and CLAP the other column is added."""
        added = {
            other: space
            for column, space in spaces.items()
            if column in COLUMNS
            for other in list_columns(get_family(column))
        }
        return cls({**added, **spaces})

    def is_comparable(self, first: Column, second: Column) -> bool:
        """Return whether vectors of two columns may be compared; columns of one family always may."""
        if get_family(first) == get_family(second):
            return True
        if first not in self.spaces or second not in self.spaces:
            return False
        return self.spaces[first].is_comparable(self.spaces[second])

    def find_tower(self, modality: Modality, into: Column) -> Column | None:
        """Return the column whose tower encodes a query for another column; None if there is none.

        Args:
            modality: of the query.
            into: the column that it is compared with. A tower of its family is preferred.
        """
        own = make_column(get_family(into), modality)
        if own in self.spaces:
            return own
        return next((column for column in self._list(modality) if self.is_comparable(column, into)), None)

    def list_comparable(self, column: Column) -> tuple[Column, ...]:
        """Return the columns that can be compared with one, without itself."""
        return tuple(
            other
            for other in sort_columns(self.spaces)
            if other != column and self.is_comparable(other, column)
        )

    def list_searchable(self, modality: Modality) -> tuple[Column, ...]:
        """Return the columns that a query of a modality can search without a translator."""
        return tuple(column for column in sort_columns(self.spaces) if self.find_tower(modality, column))

    def has_tower(self, modality: Modality) -> bool:
        """Return whether any encoder of the set embeds a modality."""
        return bool(self._list(modality))

    def describe_families(self, modality: Modality) -> str:
        """Return the families with a tower of a modality, as in `clip or clap`."""
        return join_names(get_family(column) for column in self._list(modality))

    def _list(self, modality: Modality) -> tuple[Column, ...]:
        return sort_columns(column for column in self.spaces if get_modality(column) == modality)


def join_names(names: Iterable[str]) -> str:
    """Return names joined for a sentence, each once, as in `a, b or c`."""
    unique = [*dict.fromkeys(names)]
    return " or ".join(filter(None, [", ".join(unique[:-1]), unique[-1]])) if unique else "none"
