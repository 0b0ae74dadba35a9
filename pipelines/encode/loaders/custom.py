"""A base for an encoder of one's own, and the module:Class that names it in a dataset's file.

    @dataclass(frozen=True)
    class Mine(CustomEncoder):
        weights: str
        dims: ClassVar[int] = 512
        preprocessing: ClassVar[str] = "image: RGB, 224x224; text: 32 tokens"

        def load(self) -> Towers:
            net, transform, tokenize = my_library.load(self.weights)
            return {"image": CustomTower(transform, net.image), "text": CustomTower(tokenize, net.text)}

`transform` and `tokenize` take one item: the bytes of a picture file (`loaders.image.decode_image` decodes
them) or of a sound file, or a text. They return its pieces, `[P, ...]`, mostly one, and raise
`UndecodableMediaError` where it cannot be decoded. `net.image` and `net.text` take a batch of pieces and
return float32 `[B, D]`. A tower of sounds may have a method `locate_windows`, which takes a sound file, too,
and returns where its pieces start, in seconds: sets with `encode.windows` keep it.

encode: {clip: {loader: "my_encoder:Mine", weights: /models/mine.pt}}    # its folder on PYTHONPATH
encode: {mine: {loader: "my_encoder:Mine", weights: /models/mine.pt}}    # a family beside CLIP and CLAP
echolens doctor --encoder my_encoder:Mine
echolens lookup ROOT --trust my_encoder:Mine ...    # what ROOT names is not imported by itself
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.weights import compute_fingerprint, list_own_files
from pipelines.errors import ConfigError
from schemas.space import Precision, Space

# Fields that are part of the space under their own names, or are files that are hashed.
_OWN_PLACE = frozenset({"weights", "dims", "preprocessing", "batch_rows", "precision", "joins"})


@dataclass(frozen=True)
class CustomTower:
    """A tower of two functions: see `Tower`."""

    prepare: Callable[[Any], np.ndarray]
    forward: Callable[[np.ndarray], np.ndarray]


class CustomEncoder(ABC):
    """An encoder of one's own: a frozen dataclass whose fields are the keys of the dataset's file.

    A field named `weights` is a file, or a folder of files, and is hashed into the space; without one, the
    code of the class's module is. Anything else with `space()` and `load()` will do as well.

    A class that is neither a CLIP nor a CLAP says in `modalities` what it embeds, as in ("image", "audio");
    it needs no text tower. One whose net was trained into the space of another says so in `joins`: the
    `Space.identity` of that space, SHA256/512d of what dataset.json has of it. Other fields of the dataclass
    are kept in the space as its settings, which belong to the identity: SHA256/24d/seed=5.

    Attributes:
        dims: of its vectors.
        preprocessing: what happens to media before the net, in one line.
        batch_rows: of every forward.
        precision: of weights and activations. As a field of the dataclass it is set by the driver.
        joins: the `Space.identity` that its net was trained into; None for a space of its own.
    """

    dims: int
    preprocessing: str
    batch_rows: int = 8
    precision: Precision = "fp32"
    # Without a default here, which a field of the same name would take over.
    joins: str | None

    def space(self) -> Space:
        """Return the space of its vectors.

        Raises:
            ConfigError: the weights are not there.
        """
        own = type(self)
        package = own.__module__.partition(".")[0]
        try:
            library = f"{package} {version(package)}"
        except PackageNotFoundError:
            library = package
        return Space(
            encoder=f"{own.__module__}:{own.__qualname__}",
            weights_sha256=compute_fingerprint(list_own_files(self)),
            library=library,
            preprocessing=self.preprocessing,
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=self.dims,
            joins=self._get_joins(),
            settings=self._describe_settings(),
        )

    def _get_joins(self) -> str | None:
        joins = getattr(self, "joins", None)
        if joins is not None and not isinstance(joins, str):
            raise ConfigError(
                f"{type(self).__name__}: joins is {joins!r}; give the identity of a space, as in "
                "WEIGHTS_SHA256/512d"
            )
        return joins

    def _describe_settings(self) -> str | None:
        """Return the fields that decide vectors and have no place of their own in the space, as in `seed=5`.

        Of a path its last part alone: the same file is the same setting wherever it lies.
        """
        if not is_dataclass(self):
            return None
        settings = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in _OWN_PLACE
        }
        shown = [
            f"{name}={Path(value).name if isinstance(value, str) and '/' in value else value}"
            for name, value in settings.items()
        ]
        return ", ".join(shown) or None

    @abstractmethod
    def load(self) -> Towers:
        """Load the weights."""
