"""What the specs of our own judges share: sentences that name the judge, not a key of a dataset's file."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from pipelines.errors import ConfigError
from pipelines.evaluate.judges.judge import MediaJudge
from schemas.media import Medium

# What the loaders of encoders say around their findings.
_KEY = r"^encode\.\w+(\.\w+)*: "
_ADVICE = r"; put the weights there, or set encode\.\w+=pocket to try without$"


@dataclass(frozen=True)
class WeightsSpec(ABC):
    """A judge with weights of its own.

    Attributes:
        name: as a person wrote it.
        weights: a folder, a file, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
    """

    name: str
    weights: str
    revision: str | None = None

    medium: ClassVar[Medium] = "sound"

    def open(self) -> MediaJudge:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are missing, or do not fit the net.
        """
        with as_judge_errors(self.name):
            return self._load()

    def fingerprint(self) -> str:
        """Return the sha256 of the weights.

        Raises:
            ConfigError: they are missing.
        """
        with as_judge_errors(self.name):
            return self._hash()

    def spaces(self) -> tuple[str, ...]:
        """Return the identity of its own embedding space."""
        return (self.fingerprint(),)

    @abstractmethod
    def _load(self) -> MediaJudge: ...

    @abstractmethod
    def _hash(self) -> str: ...


@contextmanager
def as_judge_errors(name: str) -> Iterator[None]:
    """Say of a judge what a loader says of the encoder of a dataset.

    Args:
        name: of the judge.

    Raises:
        ConfigError: in place of the loader's.
    """
    try:
        yield
    except ConfigError as error:
        problem = re.sub(_ADVICE, "; put the weights there, or name another judge", str(error))
        raise ConfigError(f"judge {name}: {re.sub(_KEY, '', problem)}") from error


def split_revision(place: str) -> tuple[str, str | None]:
    """Return a place of weights and its revision, as in OWNER/NAME@COMMIT; None where it has none."""
    found = re.fullmatch(r"(.+)@([0-9a-f]{40})", place)
    return (found[1], found[2]) if found else (place, None)
