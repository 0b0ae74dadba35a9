"""Lists that are written as texts, in JSON or as Python shows them: the SQL of their items.

A csv has no lists, so `explode` finds those that its writer made of them: `["a", "b"]`, `['a', "b's"]`.
"""

from __future__ import annotations

from pipelines.source.table.cells import make_literal

# A text of Python, and what else stands in its lists of them. Adjacent texts, as numpy shows them, are none.
_TEXT = r"""(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
_ITEM = rf"(?:{_TEXT}|None)"
_LIST = rf"\s*\[\s*(?:{_ITEM}\s*(?:,\s*{_ITEM}\s*)*,?)?\s*\]\s*"
# What begins and ends as a list of texts or an object does; `[laughs]` is a caption.
_LIKE_ONE = r"""(?s)\s*(?:\[\s*(?:['"\[{].*|None\b.*)?\]|\{\s*(?:['"].*)?\})\s*"""
# In no text that is written as one; stands for a backslash while the others are replaced.
_MARK = "chr(1)"


def get_text_items(text: str) -> str:
    """Return the SQL of the texts in a cell: the items of a list, or the cell itself."""
    json_items = f"json_extract_string({text}, '$[*]')"
    found = f"regexp_extract_all({text}, {make_literal(_TEXT)})"
    one = _write_json("one")
    read = f"CASE WHEN json_valid({one}) THEN json_extract_string({one}, '$') END"
    python_items = f"list_transform({found}, lambda one: {read})"
    return (
        f"CASE WHEN {_is_json_list(text)} THEN {json_items} "
        f"WHEN {_is_python_list(text)} THEN {python_items} ELSE [{text}] END"
    )


def find_unread_list(text: str) -> str:
    """Return the SQL of whether a cell is like a list, and none of texts that can be read."""
    types = f"json_type({text}, '$[*]')"
    holds_others = f"list_has_any({types}, ['OBJECT', 'ARRAY'])"
    found = f"regexp_extract_all({text}, {make_literal(_TEXT)})"
    are_texts = f"len(list_filter({found}, lambda one: NOT json_valid({_write_json('one')}))) = 0"
    is_like = f"regexp_full_match({text}, {make_literal(_LIKE_ONE)})"
    return (
        f"coalesce(CASE WHEN {_is_json_list(text)} THEN {holds_others} "
        f"WHEN {_is_python_list(text)} THEN contains({text}, {_MARK}) OR NOT ({are_texts}) "
        f"ELSE {is_like} END, false)"
    )


def _is_json_list(text: str) -> str:
    return f"json_valid({text}) AND json_type({text}) = 'ARRAY'"


def _is_python_list(text: str) -> str:
    return f"regexp_full_match({text}, {make_literal(_LIST)})"


def _write_json(item: str) -> str:
    """Return the SQL of a text of Python as one of JSON, which has the same escapes but for quotes and x."""
    sql = f"replace({item}[2:-2], '\\\\', {_MARK})"
    for old, new in (("\\'", "'"), ('\\"', '"'), ('"', '\\"'), ("\t", "\\t")):
        sql = f"replace({sql}, {make_literal(old)}, {make_literal(new)})"
    sql = f"regexp_replace({sql}, '\\\\x([0-9a-fA-F]{{2}})', '\\\\u00\\1', 'g')"
    return f"""('"' || replace({sql}, {_MARK}, '\\\\') || '"')"""
