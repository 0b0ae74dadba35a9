"""The query of a search, from what Python has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.api.inputs import read_image, read_sound
from pipelines.store.validation import check_content
from schemas.query import Query


def make_query(options: Mapping[str, Any]) -> Query:
    """Return a query.

    Args:
        options: those of `EmbeddingDataset.search`, by name; None stands for what is not given.

    Raises:
        ConfigError: not one thing is asked, a file is not there, or an option is none.
    """
    content = {name: value for name, value in options.items() if value is not None}
    if "image" in content:
        content["image"] = read_image(content["image"])
    if "audio" in content:
        content["sound"] = read_sound(content.pop("audio"))
    if "vector" in content:
        content["vector"] = tuple(np.asarray(content["vector"], np.float64).ravel().tolist())
    return check_content(Query, content, "search")
