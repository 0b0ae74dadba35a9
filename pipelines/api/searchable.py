"""What can be searched from Python: a root, and a running service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.api.inputs import read_image, read_sound, read_vector
from pipelines.store.validation import check_content
from schemas.families import Column
from schemas.query import Answer, Hit, Query, RowFilter

if TYPE_CHECKING:
    from PIL.Image import Image


class Searchable(ABC):
    """Answers queries."""

    def search(  # noqa: PLR0913
        self,
        *,
        text: str | None = None,
        image: str | Path | bytes | Image | None = None,
        audio: str | Path | bytes | tuple[np.ndarray, int] | None = None,
        vector: Sequence[float] | np.ndarray | None = None,
        key: str | None = None,
        into: Column | None = None,
        via: str | None = None,
        k: int = 10,
        only: Mapping[str, Any] | RowFilter | None = None,
        distinct: bool = False,
    ) -> list[Hit]:
        """Return the rows nearest to one of text, image, audio, vector and key, best first.

        Args:
            text: words.
            image: a picture's file, its bytes, or a PIL image.
            audio: a sound's file, its bytes, or float samples `[T]` or `[T, channels]` with their rate in Hz.
            vector: in the space of the column that is searched, or where the translator begins.
            key: of a row: more like this.
            into: the column to search; clip_image for words and pictures, clap_audio for sounds.
            via: the translator that crosses from the query's space to the column's.
            k: rows, 1 to 1,000.
            only: sources, languages or min_side_px of the rows that may be found.
            distinct: whether near-duplicates of better rows are left out.

        Raises:
            ConfigError: there is no such row, column, translator or file, or not one query was given.
            SpaceError: the query cannot be compared with the column.
            StorageError: a file of the version is damaged.
            ServiceError: a service cannot be reached, refuses, or answers with something else.
        """
        content: dict[str, Any] = {"text": text, "key": key, "into": into, "via": via, "k": k}
        content |= {"only": only, "distinct": distinct}
        content |= {"image": None if image is None else read_image(image)}
        content |= {"sound": None if audio is None else read_sound(audio)}
        content |= {"vector": None if vector is None else read_vector(vector)}
        given = {name: value for name, value in content.items() if value is not None}
        return list(self._answer(check_content(Query, given, "search")).hits)

    @abstractmethod
    def _answer(self, query: Query) -> Answer:
        """Return the rows nearest to a query."""
