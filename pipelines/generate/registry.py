"""Generators by name: what `generator` of a dataset's file or --generator says -> a spec, described.

`NAME` is what a file below pipelines/generate/ offers, as in `GENERATORS = {"audioldm": choose_audioldm}`;
its arguments are the other keys of the entry. `NAME:TRAINED` has its weights in ROOT/models/TRAINED/.
`module:Class` is a class of somebody's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from pipelines.errors import ConfigError
from pipelines.generate.generator import CAPTION, ChosenGenerator, as_class_errors
from pipelines.generate.media import MEDIA
from pipelines.store.classes import import_class, iterate_offers, make_instance
from pipelines.store.models import find_model_folder
from pipelines.store.root import Root
from pipelines.store.trust import make_untrusted_error
from schemas.families import is_column
from schemas.generated import GeneratorInfo
from schemas.generators import AnyGenerator, is_generator_class
from schemas.media import Medium

_WHERE = "generator"


def choose_generator(
    entry: AnyGenerator,
    root: Root | None = None,
    trusted: Collection[str] = (),
    compiled: bool = True,
    medium: Medium | None = None,
) -> ChosenGenerator:
    """Return the generator of an entry, with its weights hashed; those of a hub are downloaded.

    Args:
        entry: of a dataset's file.
        root: of the dataset, where trained ones lie.
        trusted: classes that are none of ours and may be imported, as module:Class.
        compiled: whether it may be compiled for a GPU, passed to those that can be.
        medium: that is wanted, passed to those that make several; None for the entry's own.

    Raises:
        ConfigError: there is no such generator, nobody trusts it, or it does not take these keys.
    """
    name, keys = entry.name, entry.model_dump(exclude={"name"})
    if is_generator_class(name):
        if name not in trusted:
            raise make_untrusted_error({name: "generator"}, _WHERE)
        found: Any = import_class(name, _WHERE, "generator", ("open", "fingerprint", "describe"))
    else:
        kind, colon, trained = name.partition(":")
        found = _find_offer(kind)
        if colon and root is None:
            raise ConfigError(
                f"generator {name}: what was trained lies in a root, and there is none; name one"
            )
        if colon and root is not None:
            keys |= {"weights": str(find_model_folder(root, trained))}
    given = {"compiled": compiled, "trusted": tuple(trusted)}
    keys |= {key: value for key, value in given.items() if key in inspect.signature(found).parameters}
    if medium is not None and "medium" in inspect.signature(found).parameters:
        keys = {"medium": medium} | keys
    with as_class_errors(name):
        spec = make_instance(found, name, keys, _WHERE, tuple(given))
        _check_spec(spec, name)
        info = _check_info(spec.describe(), name)
    return ChosenGenerator(spec, info.model_copy(update={"name": name}) if ":" in name else info)


def parse_generator(text: str) -> dict[str, Any]:
    """Return what `--generator` says as keys of an entry: NAME, NAME:TRAINED, module:Class, or weights.

    Without a name it is the weights of `GeneratorEntry`'s: pocket, a folder, OWNER/NAME.
    """
    kind, colon, trained = text.partition(":")
    if is_generator_class(text) or (kind in list_names() and (trained or not colon)):
        return {"name": text}
    return {"weights": text}


def list_names() -> list[str]:
    """Return the names of the generators that ship."""
    return sorted(_list_offers())


@cache
def _list_offers() -> Mapping[str, Any]:
    return {name: found for name, _, found in iterate_offers("pipelines.generate", "GENERATORS")}


def _find_offer(name: str) -> Any:
    if name not in (offers := _list_offers()):
        raise ConfigError(
            f"{_WHERE}: {name[:80]!r} is no generator; it must be one of {', '.join(sorted(offers))}, or "
            "module:Class of your own"
        )
    return offers[name]


def _check_spec(spec: Any, name: str) -> None:
    """Refuse a spec that has no model of parameters, or that cannot be told from others.

    Raises:
        ConfigError: it is one.
    """
    params = getattr(spec, "params", None)
    if not isinstance(params, type) or not issubclass(params, BaseModel):
        raise ConfigError(
            f"{_WHERE}: {name} has the params {params!r}; give it the pydantic model of its parameters"
        )
    try:
        hash(spec)
    except TypeError as error:
        raise ConfigError(
            f"{_WHERE}: {name} cannot be hashed ({error}); make its class a frozen dataclass"
        ) from error


def _check_info(info: Any, name: str) -> GeneratorInfo:
    """Return a description that can be used.

    Raises:
        ConfigError: it is none, or it reads what no prompt has.
    """
    if not isinstance(info, GeneratorInfo):
        raise ConfigError(
            f"{_WHERE}: {name} describes itself with a {type(info).__name__}; return a GeneratorInfo"
        )
    if info.medium not in MEDIA:
        raise ConfigError(f"{_WHERE}: {name} makes {info.medium!r}; it must be one of {', '.join(MEDIA)}")
    if other := [each for each in info.reads if each != CAPTION and not is_column(each)]:
        raise ConfigError(
            f"{_WHERE}: {name} reads {other[0]!r}; it must be {CAPTION} or a column, as clap_audio"
        )
    return info
