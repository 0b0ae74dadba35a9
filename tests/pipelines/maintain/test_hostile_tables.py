"""Publishing and refreshing over tables that are missing or lie: one sentence, not that of a database."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import StorageError
from pipelines.maintain.publish import publish

DAMAGES = ["missing", "garbage", "keys", "types", "bomb"]


def damage_table(root, name, how):
    if how == "missing":
        root.remove(name)
    elif how == "garbage":
        root.write(name, b"PAR1" + bytes(1000) + b"PAR1")
    else:
        table = root.read_table(name)
        position = table.column_names.index("key")
        keys = {
            "keys": pa.array(["../../x\x1b]0;x"] * len(table)),
            "types": pa.array(np.full(len(table), -1.5)),
            "bomb": pa.array(["9" * 10**6] * len(table)),
        }[how]
        root.write_table(name, table.set_column(position, pa.field("key", keys.type), keys))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_publish_says_which_tables(own_versions, how):
    """Its query for equal media names the tables, in one line."""
    root = own_versions.at()
    damage_table(root, "media/00000.parquet", how)
    with pytest.raises(StorageError, match=r"media/") as caught:
        publish(root, own_versions.dataset())

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_refresh_says_which_tables(own_versions, how):
    """So does the comparison with the lists; the lists are not said to be too large."""
    root = own_versions.at()
    damage_table(root, "media/00001.parquet", how)
    with pytest.raises(StorageError, match=r"media/") as caught:
        own_versions.refresh()

    assert "\n" not in str(caught.value)
