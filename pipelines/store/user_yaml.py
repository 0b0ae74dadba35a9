"""YAML that a person writes: what can be read in two ways is refused, with its line.

Of two equal keys the last one would win; `no` is false in YAML 1.1 and a word in 1.2; `0100` is 64 or 100.
Dates stay the words that they are: no key of ours takes any.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import yaml

_MAX_CHARS = 2**20
# Aliases count as often as they are used: nine lines of nine aliases unfold to a billion values.
_MAX_VALUES = 100_000
_MAX_INT = 2**63 - 1
_TAG = "tag:yaml.org,2002:"
_STR = f"{_TAG}str"
_TRUTHS: Mapping[str, str] = {"yes": "true", "on": "true", "no": "false", "off": "false"}
# The forms of numbers that YAML 1.1 and 1.2 read alike.
_PLAIN_INT = re.compile(r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)")
_OTHER_FLOAT = re.compile(r".*[_:]")


class _UserLoader(yaml.SafeLoader):
    """Reads one document, whose nodes are checked before values are made of them."""


def parse_user_yaml(text: str) -> Any:
    """Return the value of a YAML or JSON text.

    Args:
        text: of a file, or of a value on a command line.

    Raises:
        ValueError: it is neither, or can be read in two ways; the message is the end of a sentence that
            begins with the name of what was read.
    """
    if len(text) > _MAX_CHARS:
        raise ValueError(f"has more than {_MAX_CHARS:,} characters; name long lists by a file of their own")
    loader = _UserLoader(text)
    try:
        if text.lstrip("\ufeff \t\r\n").startswith("{") and (found := _parse_json(text)) is not None:
            return found
        node = loader.get_single_node()
        if node is None:
            return None
        _Check(is_line_named="\n" in text.strip()).check(node)
        return _check_characters(loader.construct_document(node))
    except RecursionError as error:
        raise ValueError("is nested too deeply; write it as the README's example does") from error
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML ({_describe(error, text)}); mend that line") from error
    finally:
        loader.dispose()


def _parse_json(text: str) -> Any:
    """Return the value of a JSON text, in which tabs may be; None if it is none."""
    try:
        found = json.loads(text.lstrip("\ufeff"))
    except ValueError:
        return None
    # Within quotes JSON has no tab, so none of its strings changes. What is JSON and no YAML is not checked.
    with suppress(yaml.YAMLError):
        if node := yaml.compose(text.replace("\t", " "), _UserLoader):
            _Check(is_line_named="\n" in text.strip()).check(node)
    return _check_characters(found)


def _check_characters(found: Any) -> Any:
    """Return a value whose words can all be written to a file."""
    try:
        json.dumps(found, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "has half of a surrogate pair (\\ud800 to \\udfff); write the whole character"
        ) from error
    return found


def _describe(error: yaml.YAMLError, text: str) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    line = (text.splitlines() or [""])[min(mark.line, len(text.splitlines()) - 1)] if text else ""
    hint = "; tabs indent nothing, use blanks" if "\t" in line else ""
    return f"line {mark.line + 1}: {' '.join(problem.split())}{hint}"


class _Check:
    """Checks the nodes of a document, and turns dates and keys such as `on` into words."""

    def __init__(self, *, is_line_named: bool) -> None:
        self._is_line_named = is_line_named
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, node: yaml.Node) -> int:
        """Return the number of values of a node, aliases as often as they are used.

        Raises:
            ValueError: a value can be read in two ways, or there are too many.
        """
        if (size := self._sizes.get(id(node))) is not None:
            return size
        if id(node) in self._open:
            raise ValueError(f"has an alias that contains itself{self._where(node)}; write the value out")
        self._open.add(id(node))
        size = 1 + sum(map(self.check, self._list_children(node)))
        self._open.remove(id(node))
        if size > _MAX_VALUES:
            raise ValueError(
                f"has aliases that unfold to more than {_MAX_VALUES:,} values{self._where(node)}; write fewer"
            )
        self._sizes[id(node)] = size
        return size

    def _list_children(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            return [child for pair in node.value for child in pair]
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            self._check_scalar(node)
        return []

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.style is None and key.tag == f"{_TAG}bool" and key.value.lower() in _TRUTHS:
                key.tag = _STR
            name = (key.tag, key.value)
            if first := seen.get(name):
                raise ValueError(
                    f"has the key {key.value!r} twice{self._where(first, 'lines')}"
                    f"{self._where(key, 'and') if self._is_line_named else ''}; keep one of them"
                )
            seen[name] = key

    def _check_scalar(self, node: yaml.ScalarNode) -> None:
        kind, value = node.tag.removeprefix(_TAG), str(node.value)
        if kind in ("timestamp", "value"):
            node.tag = _STR
        elif kind == "bool" and (meant := _TRUTHS.get(value.lower())):
            raise ValueError(
                f"has {value} without quotes{self._where(node)}, which is {meant} to YAML 1.1 and a word to "
                f'others; write "{value}" for the word, or {meant}'
            )
        elif kind == "int":
            self._check_int(node, value)
        elif kind == "float" and _OTHER_FLOAT.match(value):
            raise ValueError(
                f"has the number {value}{self._where(node)}, which not every YAML reads alike; write its "
                "plain digits, or put it in quotes"
            )

    def _check_int(self, node: yaml.ScalarNode, value: str) -> None:
        if len(value) > 40 or (_PLAIN_INT.fullmatch(value) and abs(int(value, 0)) > _MAX_INT):
            raise ValueError(
                f"has a number of {len(value):,} characters{self._where(node)}, and {_MAX_INT:,} is the "
                "largest; write a smaller one, or put a word that is all digits in quotes"
            )
        if not _PLAIN_INT.fullmatch(value):
            number = yaml.safe_load(value)
            digits = value.replace("_", "")
            others = [str(number)]
            if re.fullmatch(r"[-+]?0[0-7]+", digits):
                others.append(str(int(digits, 10)))
            raise ValueError(
                f"has the number {value}{self._where(node)}, which is {number} to YAML 1.1 and not to others"
                f'; write {" or ".join(others)}, or "{value}" in quotes for the word'
            )

    def _where(self, node: yaml.Node, word: str = "in line") -> str:
        if not self._is_line_named:
            return ""
        word = {"lines": "in lines"}.get(word, word)
        return f" {word} {node.start_mark.line + 1}"
