"""The parameters of a generator: what a person gave -> an instance of its own model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError
from pipelines.store.user_yaml import parse_user_yaml


def make_params(model: type[BaseModel], given: Mapping[str, Any], name: str) -> BaseModel:
    """Return the parameters of a generator.

    Args:
        model: of its parameters.
        given: some of them; the others have the model's defaults.
        name: of the generator, for errors.

    Raises:
        ConfigError: one is unknown, or its value is not what the model takes.
    """
    known = ", ".join(model.model_fields) or "none"
    for key in given:
        if key not in model.model_fields:
            raise ConfigError(f"generator {name} has no parameter {key!r}; it has: {known}")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"]) or "parameters"
        message = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"generator {name}: {key}: {message[:1].lower()}{message[1:]} (found {problem['input']!r})"
        ) from error


def parse_params(texts: Sequence[str]) -> dict[str, Any]:
    """Return `KEY=VALUE` texts as a mapping; values are read as YAML, as in a dataset's file.

    Raises:
        ConfigError: one has no `=`, or its value is no YAML.
    """
    params: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--param {text!r} is no parameter; write KEY=VALUE")
        try:
            params[key] = parse_user_yaml(value)
        except ValueError as error:
            raise ConfigError(f"--param {text[:80]!r} {error}") from error
    return params
