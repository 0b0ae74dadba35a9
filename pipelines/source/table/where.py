"""`where` of a table: an expression over the columns of the list -> SQL that only this file has written.

DuckDB parses the text (`json_serialize_sql`) and is never asked to run it. What is run is written anew, from
the nodes of the parse tree that are named here: columns, constants, comparisons, arithmetic, LIKE, IN,
BETWEEN, IS NULL and a few pure functions. Whatever else a text has, such as a subquery, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError
from pipelines.source.table.cells import make_literal
from pipelines.source.table.where_nodes import (
    ARITHMETIC,
    NUMBER_FUNCTIONS,
    find_whole,
    is_boolean,
    is_number,
    parse_condition,
)

# DuckDB's own parser bounds the depth of a text; this one is that of the tree.
_MAX_DEPTH = 60
_SHOWN_COLUMNS = 40

_COMPARISONS: Mapping[str, str] = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_LIKE: Mapping[str, str] = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}
# Name -> how many arguments it may have.
_TEXT_FUNCTIONS: Mapping[str, Sequence[int]] = {
    "lower": (1,),
    "upper": (1,),
    "trim": (1,),
    "contains": (2,),
    "starts_with": (2,),
    "ends_with": (2,),
    "regexp_matches": (2,),
}
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,3})?|-?\.\d{1,40}(?:[eE][+-]?\d{1,3})?")
# Larger whole numbers lose digits as doubles.
_MAX_EXACT = 2**53
# Of a value that stands several times in the SQL of a comparison.
_MAX_REPEATED_CHARS = 1_000
_KNOWN = (
    "comparisons, AND, OR, NOT, + - * / %, LIKE, IN, BETWEEN, IS NULL, length, "
    + ", ".join([*_TEXT_FUNCTIONS, *NUMBER_FUNCTIONS])
    + " and coalesce"
)


@dataclass(frozen=True)
class RowCondition:
    """A filter in SQL, and the columns that it reads."""

    sql: str
    columns: tuple[str, ...]


def compile_where(
    text: str,
    cells: Mapping[str, str],
    where: str,
    typed: Collection[str] = (),
    *,
    blanks: bool = False,
) -> RowCondition:
    """Return a filter; a row stays where it is true.

    Args:
        text: as a user wrote it.
        cells: the columns of the list: name -> its SQL over `records`. Cells of text may hold numbers.
        where: the list, for errors.
        typed: columns whose cells are numbers, dates or others with a type, and no texts.
        blanks: whether an empty cell is none, as in a csv: IS NULL and coalesce take it so.

    Raises:
        ConfigError: it is no expression, names no column of the list, or is more than a filter needs.
    """
    compiler = _Compiler(cells, where, typed, blanks=blanks)
    sql = compiler.compile_condition(parse_condition(text, where))
    return RowCondition(sql, tuple(compiler.used))


class _Compiler:
    def __init__(self, cells: Mapping[str, str], where: str, typed: Collection[str], *, blanks: bool) -> None:
        self._cells, self._where, self._typed, self._blanks = cells, where, typed, blanks
        self.used: dict[str, None] = {}

    def compile_condition(self, node: Mapping[str, Any], depth: int = 0) -> str:
        """Return the SQL of a node that is true or false; a cell may say so in words."""
        sql = self._compile(node, depth)
        return f"TRY_CAST({sql} AS BOOLEAN)" if node["class"] in ("COLUMN_REF", "CONSTANT") else sql

    def _compile(self, node: Mapping[str, Any], depth: int) -> str:
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{self._where}: `where` is nested deeper than {_MAX_DEPTH}; make it simpler")
        compile_node = {
            "CONJUNCTION": self._compile_conjunction,
            "COMPARISON": self._compile_comparison,
            "BETWEEN": self._compile_between,
            "OPERATOR": self._compile_operator,
            "FUNCTION": self._compile_function,
            "COLUMN_REF": self._compile_column,
            "CONSTANT": self._compile_constant,
        }.get(node["class"])
        if compile_node is None:
            raise self._make_unknown_error(node["class"].lower().replace("_", " "))
        return compile_node(node, depth + 1)

    def _compile_conjunction(self, node: Mapping[str, Any], depth: int) -> str:
        word = {"CONJUNCTION_AND": " AND ", "CONJUNCTION_OR": " OR "}[node["type"]]
        return f"({word.join(self.compile_condition(child, depth) for child in node['children'])})"

    def _compile_comparison(self, node: Mapping[str, Any], depth: int) -> str:
        if node["type"] not in _COMPARISONS:
            raise self._make_unknown_error(node["type"])
        word = _COMPARISONS[node["type"]]
        nodes = (node["left"], node["right"])
        return self._compile_compared(nodes, depth, lambda sql: f"({sql[0]} {word} {sql[1]})")

    def _compile_between(self, node: Mapping[str, Any], depth: int) -> str:
        nodes = (node["input"], node["lower"], node["upper"])
        return self._compile_compared(nodes, depth, lambda sql: f"({sql[0]} BETWEEN {sql[1]} AND {sql[2]})")

    def _compile_operator(self, node: Mapping[str, Any], depth: int) -> str:
        kind, children = node["type"], node["children"]
        if kind == "OPERATOR_NOT":
            return f"(NOT {self.compile_condition(children[0], depth)})"
        if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
            is_null = "IS NULL" if kind == "OPERATOR_IS_NULL" else "IS NOT NULL"
            return f"({self._compile_given(children[0], depth)} {is_null})"
        if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
            word = "IN" if kind == "COMPARE_IN" else "NOT IN"
            return self._compile_compared(
                children, depth, lambda sql: f"({sql[0]} {word} ({', '.join(sql[1:])}))"
            )
        if kind == "OPERATOR_COALESCE":
            return f"coalesce({', '.join(self._compile_alike(children, depth))})"
        raise self._make_unknown_error(kind)

    def _compile_function(self, node: Mapping[str, Any], depth: int) -> str:
        name = node["function_name"]
        arguments = [each["expression"] for each in node["arguments"]]
        if node["is_operator"] and name in ARITHMETIC and len(arguments) in (1, 2):
            numbers = [self._compile_number(each, depth) for each in arguments]
            return f"({name} {numbers[0]})" if len(numbers) == 1 else f"({f' {name} '.join(numbers)})"
        if node["is_operator"] and name in _LIKE and len(arguments) == 2:
            value, pattern = (self._compile_text(each, depth) for each in arguments)
            return f"({value} {_LIKE[name]} {pattern})"
        if name in ("length", "strlen") and len(arguments) == 1:
            return f"length({self._compile_text(arguments[0], depth)})"
        if name == "regexp_matches":
            self._check_pattern(arguments)
        if name == "round" and len(arguments) == 2:
            value, digits = (self._compile_number(each, depth) for each in arguments)
            return f"round({value}, TRY_CAST({digits} AS INTEGER))"
        if len(arguments) in _TEXT_FUNCTIONS.get(name, ()):
            return f"{name}({', '.join(self._compile_text(each, depth) for each in arguments)})"
        if len(arguments) in NUMBER_FUNCTIONS.get(name, ()):
            return f"{name}({', '.join(self._compile_number(each, depth) for each in arguments)})"
        raise self._make_unknown_error(name)

    def _compile_column(self, node: Mapping[str, Any], depth: int) -> str:  # noqa: ARG002
        name = ".".join(node["column_names"])
        alike = [each for each in self._cells if each.lower() == name.lower()]
        if name in alike:
            alike = [name]
        if len(alike) != 1:
            known = " and ".join(alike) or ", ".join([*self._cells][:_SHOWN_COLUMNS])
            raise ConfigError(
                f"{self._where}: `where` names {name!r}, and the list has {known}; name one of those"
            )
        (found,) = alike
        self.used[found] = None
        return self._cells[found]

    def _compile_constant(self, node: Mapping[str, Any], depth: int) -> str:  # noqa: ARG002
        kind, text = str(node["literal"]["kind"]), str(node["literal"]["text"])
        if kind in ("INTEGER", "NUMERIC") and _NUMBER.fullmatch(text):
            return f"{text}::DOUBLE"
        if kind == "STRING" and "\0" not in text:
            return make_literal(text)
        if kind == "BOOLEAN" and text in ("true", "false"):
            return text
        if kind == "NULL_LITERAL":
            return "NULL"
        raise self._make_unknown_error(f"the constant {text!r}")

    def _compile_given(self, node: Mapping[str, Any], depth: int) -> str:
        """Return the SQL of a value that is null where its cell is empty, if the list has no other nulls."""
        sql = self._compile(node, depth)
        return f"nullif({sql}, '')" if self._blanks and node["class"] == "COLUMN_REF" else sql

    def _compile_alike(self, nodes: Sequence[Mapping[str, Any]], depth: int) -> list[str]:
        """Return the SQL of values of one type: numbers if one of them is a number."""
        if any(is_number(node) for node in nodes):
            return [self._compile_number(node, depth) for node in nodes]
        if any(is_boolean(node) for node in nodes):
            return [f"TRY_CAST({self._compile(node, depth)} AS BOOLEAN)" for node in nodes]
        if any(node["class"] == "CONSTANT" for node in nodes):
            return [f"CAST({self._compile_given(node, depth)} AS VARCHAR)" for node in nodes]
        return [self._compile_given(node, depth) for node in nodes]

    def _compile_compared(
        self, nodes: Sequence[Mapping[str, Any]], depth: int, form: Callable[[Sequence[str]], str]
    ) -> str:
        """Return the SQL of a comparison: of numbers where a constant is one, or all cells are.

        Args:
            nodes: what is compared.
            depth: of the comparison.
            form: the SQL of the values -> that of their comparison.
        """
        has_large = any(abs(find_whole(node) or 0) > _MAX_EXACT for node in nodes)
        if any(is_number(node) for node in nodes):
            reals = form([self._compile_number(node, depth) for node in nodes])
            return f"CASE {self._form_wholes(nodes, depth, form)} ELSE {reals} END" if has_large else reals
        if any(is_boolean(node) for node in nodes):
            return form(self._compile_alike(nodes, depth))
        if any(node["class"] == "CONSTANT" for node in nodes):
            return form(self._compile_texts(nodes, depth))
        if all(self._is_typed(node) for node in nodes):
            return form([self._compile(node, depth) for node in nodes])
        numbers = [self._compile_number(node, depth) for node in nodes]
        are_numbers = " AND ".join(f"{sql} IS NOT NULL" for sql in numbers)
        return (
            f"CASE {self._form_wholes(nodes, depth, form)} WHEN {are_numbers} THEN {form(numbers)} "
            f"ELSE {form(self._compile_texts(nodes, depth))} END"
        )

    def _form_wholes(
        self, nodes: Sequence[Mapping[str, Any]], depth: int, form: Callable[[Sequence[str]], str]
    ) -> str:
        """Return the WHEN of a comparison of whole numbers alone, of which doubles would lose digits."""
        values, checks = [], list[str]()
        for node in nodes:
            if (whole := find_whole(node)) is not None:
                values.append(f"{whole}::HUGEINT")
                continue
            text = self._compile_text(node, depth)
            if len(text) > _MAX_REPEATED_CHARS:
                raise ConfigError(f"{self._where}: `where` compares comparisons; make it simpler")
            checks.append(f"regexp_full_match({text}, '[+-]?[0-9]{{1,38}}')")
            values.append(f"TRY_CAST({text} AS HUGEINT)")
        return f"WHEN {' AND '.join(checks) or 'true'} THEN {form(values)}"

    def _is_typed(self, node: Mapping[str, Any]) -> bool:
        if node["class"] != "COLUMN_REF":
            return False
        self._compile_column(node, 0)
        name = ".".join(node["column_names"])
        return name in self._typed or (
            name not in self._cells and any(each.lower() == name.lower() for each in self._typed)
        )

    def _compile_texts(self, nodes: Sequence[Mapping[str, Any]], depth: int) -> list[str]:
        return [self._compile_text(node, depth) for node in nodes]

    def _check_pattern(self, arguments: Sequence[Mapping[str, Any]]) -> None:
        node = arguments[-1]
        if node["class"] != "CONSTANT" or node["literal"]["kind"] != "STRING":
            return
        pattern = str(node["literal"]["text"])
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise ConfigError(
                f"{self._where}: `where` has {pattern!r}, which is no RE2 ({error}); mend it"
            ) from error

    def _compile_number(self, node: Mapping[str, Any], depth: int) -> str:
        sql = self._compile(node, depth)
        # A cell that is no number compares as NULL does: the row goes.
        return sql if is_number(node) else f"TRY_CAST({sql} AS DOUBLE)"

    def _compile_text(self, node: Mapping[str, Any], depth: int) -> str:
        return f"CAST({self._compile(node, depth)} AS VARCHAR)"

    def _make_unknown_error(self, what: str) -> ConfigError:
        return ConfigError(
            f"{self._where}: `where` has {what}, which is not for a filter; it may have {_KNOWN}"
        )
