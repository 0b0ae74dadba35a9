"""The protocol of a judge: an independent net that embeds and classifies files of one medium.

A judge comes in by adding a file below pipelines/evaluate/judges/ that offers it, as in
`JUDGES = {"clap": choose_clap}`, or as a class of somebody's own, named as module:Class.

Shapes: N files, C classes, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.media import Medium


class MediaJudge(Protocol):
    """Looks at files of its medium.

    Attributes:
        name: as a person wrote it.
        medium: of its files.
        rate_hz: at which it hears; None for other media.
    """

    name: str
    medium: Medium
    rate_hz: int | None

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the vector of each file, float32 [N, D], of any length; NaN where it cannot be decoded."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return vectors of texts in the space of `embed`, [N, D]; None if it has no text tower."""
        ...

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the logits of classes, float32 [N, C]; NaN where a file cannot be decoded.

        Args:
            files: of its medium.
            classes: words.

        Returns:
            None if it does not know one of the classes, or none at all.
        """
        ...

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]] | None:
        """Return attribute -> its value of each file, empty where it cannot be decoded.

        Returns:
            None if it reads none. The pocket judges read kind, ground, size, count and colour.
        """
        ...


class JudgeSpec(Protocol):
    """Finds and loads a judge. Frozen, hashable and picklable, as a stage is."""

    @property
    def name(self) -> str:
        """As a person wrote it."""
        ...

    @property
    def medium(self) -> Medium:
        """Of the files that it looks at."""
        ...

    def open(self) -> MediaJudge:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are missing, or do not fit the net.
        """
        ...

    def fingerprint(self) -> str:
        """Return the sha256 of the weights on this machine."""
        ...

    def spaces(self) -> tuple[str, ...]:
        """Return the identities of the embedding spaces in it; empty if nothing else could be in them."""
        ...
