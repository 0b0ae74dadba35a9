"""A judge of captions of the miniature world, by their words alone: no net, and nothing to share with one.

    words:miniature

What a caption does not say is empty, which is not what is true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ConfigError
from pipelines.miniature.caption_reader import list_phrases, read_caption
from schemas.media import Medium

_WORLD = "miniature"


@dataclass(frozen=True)
class WordsJudge:
    """Reads captions.

    Attributes:
        name: as a person wrote it.
    """

    name: str
    medium: Medium = "text"
    rate_hz: int | None = None

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return NaN: it has no space."""
        return np.full((len(files), 1), np.nan, np.float32)

    def embed_texts(self, texts: Sequence[str]) -> None:  # noqa: ARG002
        """Return None: it has no space."""
        return

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> None:  # noqa: ARG002
        """Return None: it says which, never how sure it is."""
        return

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]]:
        """Return attribute -> its value of each caption; empty where the caption does not say it."""
        read = [read_caption(file.decode(errors="replace")) for file in files]
        return {name: np.array([each[name] for each in read]) for name in list_phrases()}


@dataclass(frozen=True)
class WordsSpec:
    """The judge, which has no weights.

    Attributes:
        name: as a person wrote it.
    """

    name: str
    medium: Medium = "text"

    def open(self) -> WordsJudge:
        """Return it."""
        return WordsJudge(self.name)

    def fingerprint(self) -> str:
        """Return the sha256 of its words."""
        return hashlib.sha256(repr(list_phrases()).encode()).hexdigest()

    def spaces(self) -> tuple[str, ...]:
        """Return none."""
        return ()


def choose_words(name: str, place: str) -> WordsSpec:
    """Return the judge.

    Args:
        name: as a person wrote it.
        place: whose words.

    Raises:
        ConfigError: it is not the miniature world.
    """
    if place != _WORLD:
        raise ConfigError(f"judge {name}: only the words of one world are known; write words:{_WORLD}")
    return WordsSpec(name)


JUDGES = {"words": choose_words}
