"""Reads captions of the miniature world, by their words alone.

What a caption does not say is empty, which is not what is true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from pipelines.miniature import captions, words
from pipelines.miniature.world import KINDS


@cache
def list_phrases() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Return attribute -> (phrase, its value), the longest phrases first: `church bell` before `bell`."""
    found: dict[str, list[tuple[str, str]]] = {
        "kind": [],
        "ground": [],
        "size": [],
        "count": [],
        "colour": [],
    }
    for kind in KINDS:
        names = words.NAMES[kind]
        seen = [form for noun in names.seen for form in noun.split("/")]
        heard = [noun.removeprefix("a ").removeprefix("an ") for noun in names.heard]
        found["kind"] += [(phrase, kind) for phrase in (*seen, *heard, names.label, captions.label(kind))]
    tables: tuple[tuple[str, Mapping[str, Sequence[str]]], ...] = (
        *(("ground", table) for table in (words.SEEN_WHERE, words.HEARD_WHERE)),
        *(("size", table) for table in (words.SIZES, words.TONES)),
        ("colour", words.COLOUR_WORDS),
    )
    for name, table in tables:
        found[name] += [(phrase, value) for value, phrases in table.items() for phrase in phrases if phrase]
    for number, (count, times) in enumerate(zip(words.COUNTS, words.TIMES, strict=True), 1):
        found["count"] += [(count, str(number)), (times, str(number))]
    return {name: tuple(sorted(pairs, key=lambda pair: -len(pair[0]))) for name, pairs in found.items()}


def read_caption(text: str) -> dict[str, str]:
    """Return attribute -> the value that a caption names; empty where it names none."""
    said = f" {' '.join(re.findall(r'[a-z]+', text.lower()))} "
    found: dict[str, str] = {}
    for name, phrases in list_phrases().items():
        plain = ((" ".join(re.findall(r"[a-z]+", phrase)), value) for phrase, value in phrases)
        found[name] = next((value for phrase, value in plain if f" {phrase} " in said), "")
    if (
        not found["count"]
        and found["kind"]
        and re.search(r" an? ", said)
        and not _is_heard(said, found["kind"])
    ):
        found["count"] = "1"
    return found


def _is_heard(said: str, kind: str) -> bool:
    """Return whether a caption is of a sound, whose article counts things and not how often they sound."""
    verbs = [form for verb in words.NAMES[kind].verbs for form in verb.split("/")]
    return (
        any(f" {verb} " in said for verb in verbs) or re.search(r" (sound|hear|recording) ", said) is not None
    )
