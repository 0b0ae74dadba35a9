from dataclasses import dataclass

import pytest

from pipelines.errors import ConfigError
from pipelines.stage import check_chain, count_rows


@dataclass(frozen=True)
class Copy:
    """Adds a column from another one."""

    source: str
    column: str
    name: str = "copy"

    @property
    def reads(self):
        return frozenset({self.source})

    @property
    def adds(self):
        return frozenset({self.column})


def test_check_chain_names_the_missing_column():
    """A stage that reads what no stage before it makes is refused before anything starts."""
    assert frozenset({"n", "m", "o"}) == check_chain([Copy("n", "m"), Copy("m", "o")], ["n"])
    with pytest.raises(
        ConfigError, match=r"stage 'copy' reads \['m'\], but by then the rows have only \['n'\]"
    ):
        check_chain([Copy("m", "o"), Copy("n", "m")], ["n"])


def test_rows_are_counted_by_any_column():
    """A batch without columns has none."""
    assert (2, 0) == (count_rows({"key": ["a", "b"], "m": [1, 2]}), count_rows({}))
