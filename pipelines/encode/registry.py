"""Loaders by name: what `encode.KEY` of a dataset's file says -> the loader itself.

`loader: NAME` is a class that a file in loaders/ offers, as in `LOADERS = {"open_clip": OpenClip}`; its
arguments are the other keys, and the precision. `loader: module:Class` is a class of somebody's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from pipelines.encode.encoder import EncoderLoader
from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.errors import ConfigError
from pipelines.store.classes import import_class, iterate_offers, make_instance
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
        raise make_untrusted_error({place: "encoder"}, where)
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
    for name, module, loader in iterate_offers(_LOADERS, "LOADERS"):
        # That of towers embeds what their folder says.
        modalities = loader.modalities if isinstance(loader.modalities, tuple) else ()
        places.setdefault(name, []).append((f"{module}:{loader.__qualname__}", modalities))
    return places


def import_loader(
    path: str, keys: Mapping[str, Any], precision: Precision, where: str = "encoder"
) -> EncoderLoader:
    """Return an instance of a loader class; `precision` is passed if the class takes it.

    Args:
        path: the class, as module:Class, or the name of a loader of ours that one class alone has.
        keys: its arguments.
        precision: decided by the driver.
        where: the key of the dataset's file that names it, for errors.

    Raises:
        ConfigError: there is no such class, or it does not take these keys.
    """
    if ":" not in path:
        path = _find_place(path, where)
    loader_class = import_class(path, where, "encoder", ("space", "load"))
    takes_precision = "precision" in inspect.signature(loader_class).parameters
    arguments = ({"precision": precision} if takes_precision else {}) | dict(keys)
    loader: EncoderLoader = make_instance(loader_class, path, arguments, where, ("precision",))
    return loader
