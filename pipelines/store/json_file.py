"""JSON files of a root, which may come from anybody: bounded before they are parsed."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipelines.errors import StorageError
from pipelines.store.root import Root

M = TypeVar("M", bound=BaseModel)

# The largest are requests of a million keys. Parsed, a byte of JSON may take twenty of memory.
MAX_BYTES = 16 * 2**20
_SHOWN_CHARS = 200

_MAPPING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def read_json(root: Root, name: str, model: type[M], advice: str) -> M:
    """Return a JSON file of a root as a model.

    Args:
        root: of the dataset.
        name: of the file.
        model: that checks it.
        advice: what to do if it is damaged, the end of the error's sentence.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is too large, no JSON, nested too deeply, or not what the model takes.
    """
    try:
        return model.model_validate_json(read_bounded(root, name))
    except ValidationError as error:
        raise make_damaged_error(root, name, describe_problem(error), advice) from error


def read_mapping(root: Root, name: str, advice: str) -> dict[str, Any]:
    """Return a JSON file of a root as a mapping, whose values are still to be checked.

    Args:
        root: of the dataset.
        name: of the file.
        advice: what to do if it is damaged, the end of the error's sentence.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is too large, nested too deeply, or no JSON mapping.
    """
    try:
        return _MAPPING.validate_json(read_bounded(root, name))
    except ValidationError as error:
        raise make_damaged_error(root, name, describe_problem(error), advice) from error


def read_bounded(root: Root, name: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a file of a root.

    Args:
        root: of the dataset.
        name: of the file.
        max_bytes: of it.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is larger.
    """
    with root.open(name) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise StorageError(
            f"{root.url}/{name} has more than {max_bytes:,} bytes, which no such file needs; "
            "put it back from a copy"
        )
    return data


def make_damaged_error(root: Root, name: str, problem: str, advice: str) -> StorageError:
    """Return the error of a file that is not what it should be."""
    return StorageError(f"{root.url}/{name} is damaged ({problem}); {advice}")


def describe_problem(error: ValidationError) -> str:
    """Return the first of pydantic's problems as a part of a sentence."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:_SHOWN_CHARS]
    message = " ".join(first["msg"].removeprefix("Value error, ").split())[:_SHOWN_CHARS]
    return f"{where}: {message}" if where else message
