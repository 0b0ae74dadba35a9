"""User-written content as a model; what is wrong with it is one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError
from schemas.dataset import Dataset

M = TypeVar("M", bound=BaseModel)


def check_content(model: type[M], content: Mapping[str, Any], target: str, at: Sequence[str | int] = ()) -> M:
    """Return user-written content as a model.

    Args:
        model: that checks it.
        content: as nested mappings.
        target: source of the content, for the error.
        at: the key below which the content is, as in ("sources", 0).

    Raises:
        ConfigError: a key or a value is unknown to the model.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # Unknown keys first: a misspelt key is often why another is missing. Of a union, the closest member.
        order = {"extra_forbidden": 0, "missing": 2, "model_type": 3}
        problems = sorted(error.errors(), key=lambda problem: order.get(problem["type"], 1))
        raise ConfigError(f"{target}: {_format_problem(dict(problems[0]), model, at)}") from error


def _format_problem(problem: Mapping[str, Any], model: type[BaseModel], at: Sequence[str | int]) -> str:
    """Return one of pydantic's problems as a sentence: what was found, what is expected, what to do."""
    # A union adds the names of its members to the location; they are not keys of the file.
    is_unknown = problem["type"] == "extra_forbidden"
    last = len(problem["loc"]) - 1
    parts = [
        part
        for number, part in enumerate(problem["loc"])
        if isinstance(part, int) or part[:1].islower() or (is_unknown and number == last)
    ]
    parts = [*at, *(part for part in parts if not str(part).startswith(("literal[", "function-")))]
    key = ".".join(str(part) for part in parts)
    if is_unknown:
        general = _generalize(parts)
        known = list(_iterate_keys(model, f"{_generalize(at)}." if at else ""))
        nearest = difflib.get_close_matches(general, known, n=1, cutoff=0.0)[0]
        unknown = f"unknown key {key!r}; the nearest known one is {nearest.replace('.[]', '[]')!r}"
        is_encoder = model is Dataset and parts[:-1] == ["encode"]
        return f"{unknown}, and an encoder of your own is {{loader: module:Class}}" if is_encoder else unknown
    if problem["type"] == "missing":
        return f"key {key!r} is missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    found = problem["input"]
    shown = "" if isinstance(found, dict | list) else f" (found {found!r})"
    return f"{key or 'the file'}: {message[:1].lower()}{message[1:]}{shown}"


def _generalize(parts: Sequence[str | int]) -> str:
    return ".".join("[]" if isinstance(part, int) else part for part in parts)


def _iterate_keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{before}{name}"
        for inner in _iterate_models(field.annotation):
            middle = f"{name}.[]." if get_origin(field.annotation) is tuple else f"{name}."
            yield from _iterate_keys(inner, before + middle)


def _iterate_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _iterate_models(argument)
