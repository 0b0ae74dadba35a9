"""Files of tables: what they may hold and be."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ListError


def test_a_table_that_unpacks_to_gigabytes_is_damaged(plan, tmp_path):
    """A long text that every row repeats is stored once, and would be spread over all of them."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array(["x" * 2**20]))
    pq.write_table(
        pa.table({"url": ["http://a.example/1.jpg"] * 5000, "caption": texts}), tmp_path / "a.parquet"
    )
    assert (tmp_path / "a.parquet").stat().st_size < 2**21

    with pytest.raises(
        ListError, match=r"a\.parquet is damaged \(5,000 texts of 'caption' take 5,000 MiB in memory"
    ):
        plan("a.parquet")


def test_special_files_of_a_folder_are_no_tables(plan, tmp_path):
    """A pipe with the name of a table would be waited for, for ever."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "1.csv").write_text("url,caption\nhttp://a.example/1.jpg,a bell\n")
    os.mkfifo(folder / "2.csv")
    os.mkfifo(tmp_path / "a.parquet")

    with pytest.raises(ListError, match=r"a\.parquet is no regular file"):
        plan("a.parquet")
    assert 1 == plan("parts")[0].candidates


def test_texts_are_not_fetched(plan, tmp_path):
    """Their links are kept, and nothing is asked for."""
    (tmp_path / "a.csv").write_text("url,caption\nhttp://a.example/1,a bell rings\n")
    counts, rows, _ = plan("a.csv", of="text")

    assert [("text", None, "a bell rings")] == [
        (row["kind"], row["media_url"], row["caption"]) for row in rows
    ]
    assert ["none"] == [lane.lane for lane in counts.lanes]
