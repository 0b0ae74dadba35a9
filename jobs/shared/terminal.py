r"""What a job prints: nothing of a list, a root or a server can steer the terminal.

A caption may hold ESC ]52, which puts words into the clipboard, or a mark that turns the rest of the line
around. Such characters are printed as JSON writes them, `\u001b`, so that JSON stays the same JSON.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

# C0 but for tab and line feed, DEL and C1, and the marks of Unicode's bidirectional algorithm that outlast a
# word (UAX 9: embeddings, overrides, isolates). A carriage return stays at the end of a line.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
_WITHIN_A_LINE = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
# Ray colours the names of its workers.
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_MAX_LINE_CHARS = 2000


def replace_controls(text: str) -> str:
    """Return a text without colours, and with its other control characters as JSON writes them."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", _COLOURS.sub("", text))


def replace_unknown(text: str, encoding: str | None) -> str:
    """Return a text in which what an encoding lacks is written as JSON writes it, also halves of pairs.

    Args:
        text: of any characters.
        encoding: of a stream; None for one of text, which takes any.
    """
    if encoding is None or text.isascii():
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(each if _can_encode(each, encoding) else _escape(each) for each in text)
    return text


def _can_encode(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]


def choose_spinner() -> str:
    """Return the name of rich's spinner that stderr has the characters for: dots of Braille, or a stroke."""
    return "dots" if (getattr(sys.stderr, "encoding", None) or "").lower().startswith("utf") else "line"


def format_text(text: str, chars: int = _MAX_LINE_CHARS) -> str:
    """Return a text on one line, its control characters escaped, cut to so many characters."""
    line = replace_controls(_WITHIN_A_LINE.sub(" ", text[: 2 * chars]))
    return line if len(line) <= chars else f"{line[: chars - 1]}…"


def format_count(number: int, noun: str) -> str:
    """Return a number and its noun, as in `1 shard` and `12,000 shards`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


class SafeStream:
    """A stream of text that writes no control characters.

    Attributes:
        rich_proxied_file: the stream itself, which rich writes its progress bars to.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write a text, its control characters escaped, and those that the terminal has no bytes for."""
        encoding = getattr(self.rich_proxied_file, "encoding", None)
        self.rich_proxied_file.write(replace_unknown(replace_controls(text), encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def replace_streams() -> Iterator[None]:
    """Let everything that is printed in the block go through `SafeStream`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, SafeStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
