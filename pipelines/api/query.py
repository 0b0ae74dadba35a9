"""The query of a search, from what Python has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.api.inputs import read_image, read_sound
from pipelines.errors import ConfigError
from pipelines.store.validation import check_content
from schemas.query import Query


def make_query(asked: Mapping[str, Any], **how: Any) -> Query:
    """Return a query.

    Args:
        asked: one of text, image, audio, vector and key, as `EmbeddingDataset.search` takes them; the others
            are None.
        **how: its other arguments; None stands for what is not given.

    Raises:
        ConfigError: not one thing is asked, a file is not there, or an option is none.
    """
    content = {name: value for name, value in {**asked, **how}.items() if value is not None}
    if "image" in content:
        content["image"] = read_image(content["image"])
    if "audio" in content:
        content["sound"] = read_sound(content.pop("audio"))
    if "vector" in content:
        content["vector"] = _read_vector(content["vector"])
    return check_content(Query, content, "search")


def _read_vector(given: Any) -> tuple[float, ...]:
    try:
        vector_D = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"vector is a {type(given).__name__} that holds no numbers; give D of them"
        ) from error
    if vector_D.ndim != 1:
        raise ConfigError(f"vector has the shape {list(vector_D.shape)}; give one vector of D numbers")
    return tuple(vector_D.tolist())
