"""The parse tree of a `where`: DuckDB makes it of the text, which is never run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.errors import ConfigError

# Longer ones are no filter; DuckDB's parser recurses, and the trees of such texts are bounded with it.
_MAX_CHARS = 4_000
# Of the text in an error.
_SHOWN_CHARS = 120
_WHOLE = re.compile(r"-?\d{1,38}")
ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
NUMBER_FUNCTIONS: Mapping[str, Sequence[int]] = {
    "abs": (1,),
    "round": (1, 2),
    "floor": (1,),
    "ceil": (1,),
    "least": (2, 3, 4),
    "greatest": (2, 3, 4),
}


def parse_condition(text: str, where: str) -> Any:
    """Return the parse tree of a condition, which is nothing else.

    Args:
        text: as a user wrote it.
        where: the list, for errors.

    Raises:
        ConfigError: it is no condition, or more than one.
    """
    import duckdb

    if not text.strip():
        raise ConfigError(f"{where}: `where` has no condition; write one, or leave the key out")
    if len(text) > _MAX_CHARS:
        raise ConfigError(f"{where}: `where` has {len(text):,} characters; {_MAX_CHARS:,} are the most")
    # A line end after it, so that a comment cannot reach the bracket.
    sql = f"SELECT 1 WHERE (\n{text}\n)"
    try:
        with duckdb.connect(config={"enable_external_access": False, "lock_configuration": True}) as parser:
            ((answer,),) = parser.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchall()
        parsed = json.loads(answer)
    except (duckdb.Error, ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(
            f"{where}: `where` cannot be parsed ({problem}); mend {text[:_SHOWN_CHARS]!r}"
        ) from error
    if parsed["error"]:
        problem = parsed.get("error_message", "syntax error")
        raise ConfigError(f"{where}: `where` is no condition ({problem}); mend {text[:_SHOWN_CHARS]!r}")
    nodes = [statement["node"] for statement in parsed["statements"]]
    if len(nodes) != 1 or not _is_condition_alone(nodes[0]):
        raise ConfigError(
            f"{where}: `where` is more than a condition; leave {text[:_SHOWN_CHARS]!r} with one"
        )
    return nodes[0]["where_clause"]


def _is_condition_alone(node: Mapping[str, Any]) -> bool:
    unused = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")
    return (
        node["type"] == "SELECT_NODE"
        and not any(node.get(key) for key in unused)
        and not node["cte_map"]["map"]
        and node["from_table"]["type"] == "EMPTY"
    )


def find_whole(node: Mapping[str, Any]) -> int | None:
    """Return the whole number that a node is, with its sign; None for another node, and for 39 digits."""
    arguments = node.get("arguments", ())
    if node["class"] == "FUNCTION" and node["function_name"] == "-" and len(arguments) == 1:
        number = find_whole(arguments[0]["expression"])
        return None if number is None else -number
    if node["class"] != "CONSTANT" or node["literal"]["kind"] not in ("INTEGER", "NUMERIC"):
        return None
    text = str(node["literal"]["text"])
    return int(text) if _WHOLE.fullmatch(text) else None


def is_number(node: Mapping[str, Any]) -> bool:
    """Return whether a node is a number, whatever its columns hold."""
    if node["class"] == "CONSTANT":
        return bool(node["literal"]["kind"] in ("INTEGER", "NUMERIC"))
    name = node.get("function_name", "")
    return bool(node["class"] == "FUNCTION") and bool(
        (node["is_operator"] and name in ARITHMETIC) or name in {*NUMBER_FUNCTIONS, "length", "strlen"}
    )


def is_boolean(node: Mapping[str, Any]) -> bool:
    """Return whether a node is true or false, as a word of SQL."""
    return bool(node["class"] == "CONSTANT" and node["literal"]["kind"] == "BOOLEAN")
