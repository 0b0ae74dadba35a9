"""A base for a generator of one's own, and the module:Class that names it.

    @dataclass(frozen=True)
    class Painter(CustomGenerator):
        weights: str
        medium: ClassVar[Medium] = "picture"
        reads: ClassVar[tuple[str, ...]] = ("clip_image", "caption")
        params: ClassVar[type[BaseModel]] = PainterParams

        def open(self) -> Generator:
            return MyPainter(my_library.load(self.weights))

What `open()` returns has `medium`, `reads`, `generate()` and `encode_text()`; see `generator.Generator`. A
class that needs no weights may have them itself, and no `open()`.

generator: {name: "my_generator:Painter", weights: /models/painter}    # its folder on PYTHONPATH
echolens generate ROOT --generator my_generator:Painter --limit 100 --param palette=warm
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass

import numpy as np
from pydantic import BaseModel

from pipelines.encode.loaders.weights import compute_fingerprint, list_own_files
from pipelines.generate.generator import Generator
from schemas.generated import GeneratorInfo
from schemas.media import Medium
from schemas.space import Precision
from schemas.strict import StrictModel


class NoParams(StrictModel):
    """The parameters of a generator that has none."""


class CustomGenerator:
    """A generator of one's own: a frozen dataclass whose fields are the keys of the dataset's file.

    A field named `weights` is a file, or a folder of files, and is hashed; without one, the code of the
    class's module is. Anything else with `open()`, `fingerprint()`, `describe()` and `params` will do, too.

    Attributes:
        medium: of its samples.
        reads: columns, `caption`, or nothing.
        params: the model of its parameters.
        batch_rows: samples of every call of `generate()`.
        precision: of weights and activations.
        rate_hz: of its sounds; None for other media, or if it differs.
        spaces: columns that it reads, and the `Space.identity` that it was trained on; empty: not checked.
    """

    medium: Medium
    reads: tuple[str, ...]
    params: type[BaseModel] = NoParams
    batch_rows: int = 8
    precision: Precision = "fp32"
    rate_hz: int | None = None
    spaces: tuple[tuple[str, str], ...] = ()

    def open(self) -> Generator:
        """Load the weights; a class without any is the generator itself."""
        return self  # type: ignore[return-value]

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002 - of the protocol
        """Return None: it has no text tower of its own."""
        return None

    def fingerprint(self) -> str:
        """Return the sha256 of its weights, or code, and of its other fields.

        Raises:
            ConfigError: the weights are not there.
        """
        own = f"{type(self).__module__}:{type(self).__qualname__}"
        named: list[str] = [field.name for field in fields(self)] if is_dataclass(self) else []
        settings = {name: getattr(self, name) for name in named if name != "weights"}
        whole = f"{own}\n{sorted(settings.items())!r}\n{compute_fingerprint(list_own_files(self))}"
        return hashlib.sha256(whole.encode()).hexdigest()

    def describe(self) -> GeneratorInfo:
        """Return its name, that of its class, and what its attributes say."""
        return GeneratorInfo(
            name=f"{type(self).__module__}:{type(self).__qualname__}",
            weights_sha256=self.fingerprint(),
            medium=self.medium,
            reads=self.reads,
            precision=self.precision,
            batch_rows=self.batch_rows,
            rate_hz=self.rate_hz,
            spaces=self.spaces,
        )
