"""Classes found by name: those that files of a folder of ours offer, and module:Class of one's own."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pkgutil
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from importlib.abc import SourceLoader
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from pipelines.errors import ConfigError, EcholensError

# Of a value in an error.
_SHOWN_CHARS = 80


def import_class(path: str, where: str, what: str, methods: Sequence[str]) -> type[Any]:
    """Import a class; whether it may be imported is for the caller to have checked (`store.trust`).

    Args:
        path: of the class, as module:Class.
        where: the key of the file that names it, for errors.
        what: the class must be, for errors, as in "encoder".
        methods: that it must have.

    Raises:
        ConfigError: there is no such class, its module fails, or it lacks a method.
    """
    module, colon, name = path.partition(":")
    if not colon:
        raise ConfigError(f"{where}: {path!r} names no class; write module:Class")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{where}: {module} imports {error.name}, which is not here; install it"
            ) from error
        raise ConfigError(
            f"{where}: there is no module {error.name!r}; put its folder on PYTHONPATH, on every machine"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{where}: there is no {name!r} in {module}; name one of its classes") from error
    except Exception as error:
        raise ConfigError(f"{where}: {module} cannot be imported ({describe(error)}); mend it") from error
    if not isinstance(found, type):
        raise ConfigError(f"{where}: {path} is a {type(found).__name__}; name a class")
    if lacking := [each for each in methods if not callable(getattr(found, each, None))]:
        raise ConfigError(f"{where}: {path} is no {what}, it has no {lacking[0]}(); name one that does")
    return found


def make_instance(
    found: type[Any], path: str, keys: Mapping[str, Any], where: str, hidden: Sequence[str] = ()
) -> Any:
    """Return an instance of a class; lists among the keys become tuples, so that it is hashable.

    Args:
        found: the class.
        path: of the class, as module:Class, for errors.
        keys: its arguments.
        where: the key of the file that names it, for errors.
        hidden: arguments that are not for a file to give, left out of the error.

    Raises:
        ConfigError: the class does not take these keys, or refuses their values.
    """
    signature = inspect.signature(found)
    # YAML gives lists, and the instance must be hashable.
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        accepted = ", ".join(name for name in signature.parameters if name not in hidden) or "nothing"
        raise ConfigError(
            f"{where}: {path} cannot be made of what was given ({error}); it takes {accepted}"
        ) from error
    try:
        return found(**_convert_types(found, arguments, hidden))
    except EcholensError:
        raise
    except Exception as error:
        raise ConfigError(f"{where}: {path} refuses what was given ({_get_reason(error)})") from error


def _convert_types(found: type[Any], arguments: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    """Return arguments as the types that a class declares for them.

    Raises:
        ValueError: one is of another type.
    """
    try:
        hints = get_type_hints(found if is_dataclass(found) else found.__init__)
    except Exception:  # annotations may name what exists for a type checker alone
        hints = {}
    converted = dict(arguments)
    for key in arguments.keys() & hints.keys() - set(hidden):
        try:
            converted[key] = _make_adapter(hints[key]).validate_python(arguments[key])
        except ValidationError as error:
            first = error.errors()[0]
            at, found_value = ".".join(map(str, (key, *first["loc"]))), repr(first["input"])[:_SHOWN_CHARS]
            raise ValueError(f"{at}: {first['msg']}, and is {found_value}") from error
    return converted


def _make_adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a model has a configuration of its own
        return TypeAdapter(hint)


def _get_reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    message = " ".join(str(error).split())
    return message if isinstance(error, ValueError) else f"{type(error).__name__}: {message}"


def describe(error: Exception) -> str:
    """Return what went wrong in code of one's own, and where, as a part of a sentence."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}, in line {at.lineno} of {at.filename}"


def find_offers(package: str, attribute: str) -> dict[str, list[str]]:
    """Return what the files of a package offer, without importing them: name -> the modules that offer it.

    A file offers by a mapping at its top, as in `LOADERS = {"open_clip": OpenClip}`: what is new comes in by
    adding a file.

    Args:
        package: dotted name; folders below it are read, too.
        attribute: the name of the mapping.
    """
    found: dict[str, list[str]] = {}
    # A file that offers nothing may take long to parse.
    offers = re.compile(rf"^{attribute}\b", re.MULTILINE)
    for file in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        spec = importlib.util.find_spec(file.name)
        source = spec.loader.get_source(file.name) if spec and isinstance(spec.loader, SourceLoader) else None
        if source and offers.search(source):
            for name in _read_keys(ast.parse(source), attribute):
                found.setdefault(name, []).append(file.name)
    return found


def _read_keys(module: ast.Module, attribute: str) -> list[str]:
    """Return the keys of a mapping that is written out at the top of a module."""
    for node in module.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if any(isinstance(each, ast.Name) and each.id == attribute for each in targets):
            return [ast.literal_eval(key) for key in value.keys if key] if isinstance(value, ast.Dict) else []
    return []


def load_offer(module: str, attribute: str, name: str) -> Any:
    """Return what a module offers by a name."""
    return getattr(importlib.import_module(module), attribute)[name]


def iterate_offers(package: str, attribute: str) -> Iterator[tuple[str, str, Any]]:
    """Import all files of a package that offer something, and yield (name, module of the file, value).

    Args:
        package: dotted name; folders below it are read, too.
        attribute: the name of the mapping.
    """
    for name, modules in find_offers(package, attribute).items():
        for module in modules:
            yield name, module, load_offer(module, attribute, name)
