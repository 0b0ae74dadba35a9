"""Loaders by name: what `encode.KEY` of a dataset's file says -> the loader itself.

`loader: NAME` is a class that a file in loaders/ offers, as in `LOADERS = {"open_clip": OpenClip}`; its
arguments are the other keys, and the precision. `loader: module:Class` is a class of somebody's own.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from pipelines.encode.encoder import EncoderLoader
from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.errors import ConfigError
from pipelines.store.trust import make_untrusted_error
from schemas.encoders import Encoder
from schemas.families import FAMILIES, Modality, is_column
from schemas.space import Precision

_LOADERS = "pipelines.encode.loaders"


def make_loader(
    asked: Encoder, key: str, precision: Precision, trusted: Collection[str]
) -> EncoderLoader | None:
    """Return the loader that an entry asks for, or None if it is null.

    Args:
        asked: what the dataset says of the key.
        key: of `encode`: a family, or a column that joins one.
        precision: decided by the driver.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: there is no such loader, nobody trusts it, or it does not take these keys.
    """
    if asked is None:
        return None
    if asked == "pocket":
        return make_pocket_clip(precision) if key == "clip" else make_pocket_clap(precision)
    where = f"encode.{key}"
    place = asked.loader
    if ":" not in place:
        place = _find_place(place, key)
        _check_keys(asked.model_dump(), where)
    elif place not in trusted:
        raise make_untrusted_error([place], where)
    return import_loader(place, asked.model_dump(exclude={"loader"}), precision, where)


def _check_keys(keys: Mapping[str, Any], where: str) -> None:
    """Refuse arguments of our loaders that are not for a file to give."""
    if "name" in keys:
        raise ConfigError(f"{where}.name: a space is named by its loader and weights; leave it out")
    if "precision" in keys:
        raise ConfigError(f"{where}.precision: there is one for all encoders of a set; give encode.precision")


def _find_place(name: str, key: str) -> str:
    """Return the module and class of one of our loaders: the one that loads what the key's family embeds."""
    wanted = FAMILIES.get(key) if not is_column(key) else None
    fitting = {
        loader: [place for place, modalities in places if wanted in (None, modalities)]
        for loader, places in _list_places().items()
    }
    # CLIP and CLAP have loaders of one name; for another family that name says too little.
    known = sorted(loader for loader, places in fitting.items() if len(places) == 1)
    if name not in known:
        raise ConfigError(
            f"encode.{key}: {name[:80]!r} is no loader that it can have; it must be one of "
            f"{', '.join(known)}, or module:Class of your own"
        )
    return fitting[name][0]


@cache
def _list_places() -> dict[str, list[tuple[str, tuple[Modality, ...]]]]:
    """Return name -> (module:Class, its modalities) of the loaders that files of the folder offer."""
    places: dict[str, list[tuple[str, tuple[Modality, ...]]]] = {}
    for file in pkgutil.iter_modules(importlib.import_module(_LOADERS).__path__):
        path = f"{_LOADERS}.{file.name}"
        for name, loader in getattr(importlib.import_module(path), "LOADERS", {}).items():
            places.setdefault(name, []).append((f"{path}:{loader.__qualname__}", loader.modalities))
    return places


def import_loader(
    path: str, keys: Mapping[str, Any], precision: Precision, where: str = "encoder"
) -> EncoderLoader:
    """Return an instance of a loader class; `precision` is passed if the class takes it.

    Args:
        path: the class, as module:Class.
        keys: its arguments.
        precision: decided by the driver.
        where: the key of the dataset's file that names it, for errors.

    Raises:
        ConfigError: there is no such class, or it does not take these keys.
    """
    loader_class = _import_class(path, where)
    signature = inspect.signature(loader_class)
    # YAML gives lists, and a loader must be hashable.
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    if "precision" in signature.parameters:
        arguments = {"precision": precision} | arguments
    try:
        signature.bind(**arguments)
    except TypeError as error:
        accepted = ", ".join(name for name in signature.parameters if name != "precision") or "nothing"
        raise ConfigError(
            f"{where}: {path} cannot be made of what was given ({error}); it takes {accepted}"
        ) from error
    loader: EncoderLoader = loader_class(**arguments)
    return loader


def _import_class(path: str, where: str) -> Callable[..., EncoderLoader]:
    module, colon, name = path.partition(":")
    if not colon:
        raise ConfigError(f"{where}: {path!r} names no class; write module:Class")
    try:
        loader_class = getattr(importlib.import_module(module), name)
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
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{where}: {module} cannot be imported ({type(error).__name__}: {error}, in line {at.lineno} of "
            f"{at.filename}); mend it"
        ) from error
    if not isinstance(loader_class, type):
        raise ConfigError(f"{where}: {path} is a {type(loader_class).__name__}; name a class")
    if lacking := [name for name in ("space", "load") if not callable(getattr(loader_class, name, None))]:
        raise ConfigError(f"{where}: {path} is no encoder, it has no {lacking[0]}(); name one that does")
    return loader_class
