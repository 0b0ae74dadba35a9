"""What a refresh brings in of changed keys, and what it refuses."""

import pytest

from pipelines.errors import ConfigError
from pipelines.maintain.row_keys import check_row_keys
from pipelines.store import dataset_file
from pipelines.store.root import Root
from schemas.dataset import Dataset


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, ""),
        ({"where": "score > 1"}, ""),
        ({"list": "/elsewhere/r.csv"}, ""),
        ({"list": "new.csv", "keep": "all"}, ""),
        ({"join": {"list": "o.csv", "on": "url"}}, ""),
        (
            {"keep": ["score", "md5"]},
            "list r.csv: keep of .* cannot be changed .*; set it back, or",
        ),
        ({"columns": {"hash": "md5"}, "keep": "none"}, "keep and columns.hash of .*; set them back"),
        ({"columns": {"licence": "score"}}, "columns.licence"),
    ],
)
def test_a_refresh_refuses_what_it_leaves_as_it_was(tmp_path, keys, said):
    """Rows that are there are not made again, so keys of what is stored of them are for another root."""

    def describe(**keys):
        source = {"kind": "table", "list": "r.csv", "keep": ["score"]} | keys
        return Dataset(name="a", root=str(tmp_path / "root"), sources=[source], contact="me@a.example")

    root = Root.from_url(str(tmp_path / "root"))
    check_row_keys(root, describe())
    dataset_file.pin(root, describe())
    if said:
        with pytest.raises(ConfigError, match=said):
            check_row_keys(root, describe(**keys))
    else:
        check_row_keys(root, describe(**keys))
