"""The columns of CLIP and CLAP that the rows of a kind have."""

from schemas.candidate import Kind
from schemas.families import COLUMNS, Column, is_embedded


def columns_of(kind: Kind) -> tuple[Column, ...]:
    """Return the columns of a kind, in the order of tables."""
    return tuple(column for column in COLUMNS if is_embedded(kind, column))
