"""Loaders by name: what `encode.clip` and `encode.clap` of a dataset's file say -> the loader itself."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pipelines.encode.encoder import EncoderLoader
from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.errors import ConfigError
from pipelines.store.trust import make_untrusted_error
from schemas.dataset import ClapEncoder, ClipEncoder
from schemas.space import Precision
from schemas.vectors import Family

# A loader is a class; its arguments are the keys of its model in schemas/dataset.py, and the precision.
LOADERS: Mapping[tuple[Family, str], str] = {
    ("clip", "open_clip"): "pipelines.encode.loaders.open_clip:OpenClip",
    ("clip", "transformers"): "pipelines.encode.loaders.transformers_clip:TransformersClip",
    ("clap", "transformers"): "pipelines.encode.loaders.transformers_clap:TransformersClap",
    ("clap", "laion_clap"): "pipelines.encode.loaders.laion_clap:LaionClap",
    ("clap", "audioldm"): "pipelines.encode.loaders.audioldm_clap:AudioLdmClap",
}


def make_loader(
    asked: ClipEncoder | ClapEncoder, family: Family, precision: Precision, trusted: Collection[str]
) -> EncoderLoader | None:
    """Return the loader that a family asks for, or None if it is null.

    Args:
        asked: what the dataset says of the family.
        family: of the encoder.
        precision: decided by the driver.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: there is no such class, nobody trusts it, or it does not take these keys.
    """
    if asked is None:
        return None
    if asked == "pocket":
        return make_pocket_clip(precision) if family == "clip" else make_pocket_clap(precision)
    where = f"encode.{family}"
    place = LOADERS.get((family, asked.loader))
    if place is None:
        place = asked.loader
        if place not in trusted:
            raise make_untrusted_error([place], where)
    return import_loader(place, asked.model_dump(exclude={"loader"}), precision, where)


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
