"""`where`: what a filter may say, and that nothing else of SQL comes through."""

import duckdb
import pytest

from pipelines.errors import ConfigError
from pipelines.source.table.where import compile_where

# Cells of text, as those of a CSV are.
CELLS = {"sim": '"sim"', "TEXT": '"TEXT"', "odd name": '"odd name"', "ok": '"ok"'}
ROWS = [
    ("0.5", "a cat", "x", "true"),
    ("0.1", "A Dog", None, "false"),
    ("much", "it's", "y'z", "no"),
    (None, None, None, None),
]


def choose(where):
    """Return the numbers of the rows that a filter takes."""
    condition = compile_where(where, CELLS, "list L")
    with duckdb.connect() as database:
        database.execute(
            'CREATE TABLE t (n INT, "sim" VARCHAR, "TEXT" VARCHAR, "odd name" VARCHAR, "ok" VARCHAR)'
        )
        database.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?)", [(n, *row) for n, row in enumerate(ROWS)]
        )
        found = database.execute(
            f"SELECT n FROM t WHERE coalesce({condition.sql}, false) ORDER BY n"
        ).fetchall()
    return [n for (n,) in found]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("sim > 0.28", [0]),
        ("sim < 0.28 OR text LIKE '%cat%'", [0, 1]),
        ("text ILIKE 'a d%'", [1]),
        ("text NOT LIKE '%a%'", [1, 2]),
        ("TEXT = 'it''s'", [2]),
        ("lower(text) IN ('a dog', 'a cat')", [0, 1]),
        ("text NOT IN ('a cat')", [1, 2]),
        ('"odd name" IS NULL', [1, 3]),
        ('NOT ("odd name" IS NOT NULL)', [1, 3]),
        ("sim BETWEEN 0.05 AND 0.2", [1]),
        ("sim * 10 - 1 >= 4", [0]),
        ("-sim < -0.4", [0]),
        ("length(text) = 5 AND ok", [0]),
        ("ok = false", [1, 2]),
        ("coalesce(\"odd name\", 'none') = 'none'", [1, 3]),
        ("sim = '0.1'", [1]),
        ("starts_with(text, 'a') AND contains(text, 'cat') AND ends_with(text, 't')", [0]),
        ("regexp_matches(text, '^A [A-Z]')", [1]),
        ("greatest(sim, 0.3) > 0.4", [0]),
        ("sim > 0.28 -- of CLIP", [0]),
        ("true", [0, 1, 2, 3]),
        ("sim = NULL", []),
    ],
)
def test_rows_are_chosen(where, rows):
    """Cells of text are numbers where they are compared with one; a cell that is none lets its row go."""
    assert rows == choose(where)


def test_the_columns_that_are_read_are_known():
    """Only these are read from a Parquet file."""
    assert ("sim", "TEXT") == compile_where("sim > 1 AND text = 'a' AND SIM < 9", CELLS, "L").columns


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("sim IN (SELECT 1)", "`where` has subquery"),
        ("EXISTS (SELECT * FROM '/etc/passwd')", "`where` has subquery"),
        ("sim = (SELECT content FROM read_text('/etc/passwd'))", "`where` has subquery"),
        ("read_text('/etc/passwd') IS NULL", "`where` has read_text"),
        ("getenv('HOME') = 'x'", "`where` has getenv"),
        ("sim = current_setting('memory_limit')", "`where` has current_setting"),
        ("1=1) UNION SELECT (2", "more than a condition"),
        ("sim > 1) ORDER BY (sim", "more than a condition"),
        ("sim > 1) GROUP BY (sim", "more than a condition"),
        ("sim > 1); COPY (SELECT 1) TO '/tmp/x'; SELECT (1", "more than a condition|no condition"),
        ("sim > 1; ATTACH '/tmp/x'", "no condition"),
        ("sim > count(*) OVER ()", "`where` has"),
        ("CAST(sim AS INT) > 1", "`where` has cast"),
        ("CASE WHEN ok THEN true END", "`where` has case"),
        ("list_filter([1], lambda x: x > 0) IS NULL", "`where` has list_filter"),
        ("sim > $1", "`where` has parameter"),
        ("row(sim, text) = row(1, 2)", "`where` has row"),
        ("sim > 'a' COLLATE nocase", "`where` has"),
        ('"sim"" = 1', "no condition|cannot be parsed"),
        ("punsafe < 0.5", "names 'punsafe', and the list has sim, TEXT, odd name, ok"),
        ("t.sim > 1", "names 't.sim'"),
        ("sim >", "no condition"),
        ("  \n", "no condition; write one"),
        ("sim = 1 OR " * 500 + "ok", "characters; 4,000 are the most"),
        ("NOT " * 90 + "ok", "nested deeper than 60"),
        ("repeat(text, 1000000000) = 'a'", "`where` has repeat"),
    ],
)
def test_what_is_no_filter_is_refused(where, said):
    """Subqueries, files, other statements, other functions: one sentence, and nothing is run."""
    with pytest.raises(ConfigError, match=f"list L: .*({said})") as caught:
        compile_where(where, CELLS, "list L")
    assert len(str(caught.value)) < 500


def test_a_text_stays_a_text():
    """What ends a literal in another dialect of SQL does not end one of ours."""
    sql = compile_where("text = 'x'' OR 1=1 --' AND sim > 1", CELLS, "L").sql
    assert """CAST("TEXT" AS VARCHAR) = CAST('x'' OR 1=1 --' AS VARCHAR)""" in sql
