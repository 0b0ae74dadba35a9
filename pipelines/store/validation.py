"""User-written content as a model; what is wrong with it is one sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError
from schemas.dataset import Dataset

M = TypeVar("M", bound=BaseModel)
_SHOWN_CHARS = 200
# A union adds the names of its members to the place of a problem.
_OF_UNIONS = ("literal[", "function-", "tuple[", "list[", "dict[")
_PLAIN_TYPES = frozenset({"str", "bool", "int", "float"})
_LISTS = frozenset({"tuple_type", "list_type"})
_MAPPINGS = frozenset({"model_type", "model_attributes_type", "dict_type", "mapping_type"})
_WANTED = dict.fromkeys(_LISTS, "it has to be a list") | {"string_type": "it has to be a text"}
_EXAMPLES: Mapping[str | int, str] = {
    "kind": ", as in `kind: table`",
    "list": ", as in `list: links.csv`",
    "sources": ", as in `sources: [{kind: table, list: links.csv}]`",
}


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
        problems = sorted(_drop_counts(error.errors()), key=lambda problem: order.get(problem["type"], 1))
        raise ConfigError(f"{target}: {_format_problem(dict(problems[0]), model, at)}") from error


def _drop_counts(problems: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short where the items that it has are wrong: these count as none."""
    places = [problem["loc"] for problem in problems]

    def has_wrong(place: Sequence[Any]) -> bool:
        return any(len(at) > len(place) and at[: len(place)] == place for at in places)

    return [each for each in problems if each["type"] != "too_short" or not has_wrong(each["loc"])]


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
    parts = [*at, *(part for part in parts if not str(part).startswith(_OF_UNIONS))]
    if parts and parts[-1] in _PLAIN_TYPES:
        parts.pop()
    key = ".".join(str(part) for part in parts)
    if is_unknown:
        general = _generalize(parts)
        known = list(_iterate_keys(model, f"{_generalize(at)}." if at else ""))
        nearest = difflib.get_close_matches(general, known, n=1, cutoff=0.0)[0]
        unknown = f"unknown key {key!r}; the nearest known one is {nearest.replace('.[]', '[]')!r}"
        is_encoder = model is Dataset and parts[:-1] == ["encode"]
        return f"{unknown}, and an encoder of your own is {{loader: module:Class}}" if is_encoder else unknown
    if problem["type"] == "missing":
        return f"key {key!r} is missing; add it{_EXAMPLES.get(parts[-1], '')}"
    message = _describe_wanted(problem) or problem["msg"].removeprefix("Value error, ")
    found = problem["input"]
    shown = "" if isinstance(found, dict | list) else f" (found {_shorten(found)})"
    return f"{key or 'the file'}: {message[:1].lower()}{message[1:]}{shown}{_advise(problem, model)}"


def _describe_wanted(problem: Mapping[str, Any]) -> str | None:
    """Return in words of our own what a value has to be; None where pydantic's are as good."""
    if problem["type"] in _MAPPINGS:
        return "it has to be keys with their values"
    if problem["type"] == "too_short" and problem["ctx"].get("min_length") == 1:
        return "it is empty"
    return _WANTED.get(problem["type"])


def _advise(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Return what to do about a value, as the end of a sentence; empty where the rest says it."""
    found, kind = problem["input"], problem["type"]
    if kind == "string_type" and isinstance(found, int | float):
        return "; put it in quotes"
    if kind == "literal_error" and isinstance(found, str):
        known = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        near = difflib.get_close_matches(found, known, n=1, cutoff=0.5)
        return f"; the nearest is {near[0]!r}" if near else ""
    if kind == "too_short":
        of = "sources" if problem["loc"] == ("sources",) else ""
        return f"; name one at least{_EXAMPLES.get(of, '')}"
    if kind in _MAPPINGS:
        fields = _list_fields(problem.get("ctx", {}).get("class_name"), model)
        return f"; write {{{', '.join(f'{name}: ...' for name in fields)}}}"
    return "; write [..., ...], or a line with `- ` for each" if kind in _LISTS else ""


def _list_fields(name: str | None, model: type[BaseModel]) -> list[str]:
    """Return the first keys of a model that is part of another one: those it needs, else any two."""
    known = {each.__name__: each for each in [model, *_iterate_inner(model)]}
    fields = known[name].model_fields if name in known else {}
    needed = [key for key, field in fields.items() if field.is_required()]
    return (needed or [*fields])[:2] or ["key"]


def _iterate_inner(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for inner in _iterate_models(field.annotation):
            yield inner
            yield from _iterate_inner(inner)


def _shorten(found: object) -> str:
    # YAML's lists are tuples by now.
    shown = repr([*found] if isinstance(found, tuple) else found)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."


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
