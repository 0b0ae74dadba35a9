"""A generator that reads any one of several columns, and which of them a request begins at.

Its spec has `with_column`, and its description names the columns in `alternatives`.
"""

from __future__ import annotations

from typing import Any

from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.request import GenerationRequest
from schemas.families import Column, Modality, get_modality


def read_from(generator: ChosenGenerator, request: GenerationRequest) -> ChosenGenerator:
    """Return the generator that reads the column that a request begins at.

    Args:
        generator: one without alternatives stays as it is.
        request: that names a column, or brings sounds or pictures.

    Raises:
        ConfigError: it cannot read the column that is named.
    """
    if not generator.info.alternatives:
        return generator
    if request.column is not None and request.via is None:
        return with_column(generator, request.column)
    modality: Modality | None = "audio" if request.sounds else "image" if request.pictures else None
    fitting = [each for each in generator.info.alternatives if get_modality(each) == modality]
    return with_column(generator, fitting[0]) if fitting else generator


def with_column(generator: ChosenGenerator, column: Column) -> ChosenGenerator:
    """Return a generator with alternatives that reads a column.

    Args:
        generator: that has some.
        column: of one of its families.

    Raises:
        ConfigError: it cannot read that column.
    """
    spec: Any = generator.spec
    chosen = spec.with_column(column)
    return ChosenGenerator(chosen, chosen.describe().model_copy(update={"name": generator.info.name}))
