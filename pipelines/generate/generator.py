"""The protocol of a generator: a sample is a function of its prompt, a seed and the parameters alone.

A generator comes in by adding a file below pipelines/generate/ that offers it, as in
`GENERATORS = {"audioldm": choose_audioldm}`, or as a class of somebody's own, named as module:Class.

Shapes: N samples, D dimensions, T samples of a sound, H x W pixels of a picture.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel

from pipelines.errors import ConfigError, EcholensError, StorageError
from schemas.generated import GeneratorInfo
from schemas.generators import is_generator_class
from schemas.media import Medium

# Called after each step of each batch with completed and total steps. An exception in it ends the work.
StepProgress = Callable[[int, int], None]
# What the generator reads -> a value a sample: unit vectors float32 [N, D] of a column, N texts of `caption`.
Conditions = Mapping[str, Any]

CAPTION = "caption"


@dataclass(frozen=True)
class Samples:
    """What a generator made.

    Attributes:
        medium: of all of them.
        data: of sounds float32 `[N, T]` in [-1, 1], mono; of pictures uint8 `[N, H, W, 3]`, RGB; of texts N
            strings.
        rate_hz: of sounds; None for other media.
        size: width and height of pictures; None for other media.
    """

    medium: Medium
    data: np.ndarray | Sequence[str]
    rate_hz: int | None = None
    size: tuple[int, int] | None = None


class Generator(Protocol):
    """Makes samples. A sample does not depend on its batch, its position there or the worker."""

    medium: Medium
    reads: tuple[str, ...]

    def generate(
        self,
        prompts: Conditions,
        seeds: Sequence[int],
        params: Any,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return a sample for every seed.

        Args:
            prompts: what it reads -> a value for every seed; empty for a prior. The norms of vectors do not
                matter.
            seeds: one a sample.
            params: of all samples, an instance of the spec's `params`.
            progress: called after each step; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: nothing can be made of these prompts and params.
        """
        ...

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return unit vectors of texts by its own text tower, float32 `[N, D]`; None if it has none.

        They are of the space of the one column that it reads.
        """
        ...


class GeneratorSpec(Protocol):
    """Finds and loads a generator. Frozen, hashable and picklable, like a stage."""

    @property
    def params(self) -> type[BaseModel]:
        """The model of its parameters, with their limits and defaults."""
        ...

    def open(self) -> Generator:
        """Load the weights, onto the GPU if there is one."""
        ...

    def fingerprint(self) -> str:
        """Return the sha256 of the weights on this machine, and of all else that decides a sample."""
        ...

    def describe(self) -> GeneratorInfo:
        """Return what is known of it before it is loaded."""
        ...


@dataclass(frozen=True)
class ChosenGenerator:
    """A generator with what the driver knows of it.

    Attributes:
        spec: opened by the workers.
        info: as the driver's machine describes it.
    """

    spec: GeneratorSpec
    info: GeneratorInfo

    def open(self) -> Generator:
        """Return the loaded generator, shared by all stages of a process.

        Raises:
            StorageError: the weights on this machine are not those of the driver.
            ConfigError: it is no generator, or another one than it was described as.
        """
        with _lock:
            if self not in _generators:
                with as_class_errors(self.info.name):
                    here = self.spec.fingerprint()
                if here != self.info.weights_sha256:
                    raise StorageError(
                        f"this machine has other weights of {self.info.name} ({here[:12]}, not "
                        f"{self.info.weights_sha256[:12]}); give every machine the same"
                    )
                with as_class_errors(self.info.name):
                    opened = self.spec.open()
                _generators[self] = self._check(opened)
            return _generators[self]

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts by the generator's own text tower, float32 `[N, D]`.

        Raises:
            ConfigError: it is described with one, and has none.
        """
        generator = self.open()
        with as_class_errors(self.info.name):
            vectors_ND = generator.encode_text(texts)
        if not isinstance(vectors_ND, np.ndarray) or vectors_ND.ndim != 2 or len(vectors_ND) != len(texts):
            raise ConfigError(
                f"generator {self.info.name} is described with a text tower and encode_text() returned no "
                "vector for each text; mend its class"
            )
        return vectors_ND

    def _check(self, generator: Generator) -> Generator:
        name = self.info.name
        lacking = [
            each for each in ("generate", "encode_text") if not callable(getattr(generator, each, None))
        ]
        if lacking:
            raise ConfigError(f"generator {name} opens into what has no {lacking[0]}(); give it one")
        for key in ("medium", "reads"):
            found, described = getattr(generator, key, None), getattr(self.info, key)
            if found != described:
                raise ConfigError(
                    f"generator {name} has the {key} {found!r} and is described with {described!r}; mend its "
                    "class"
                )
        return generator


_lock = threading.Lock()
_generators: dict[ChosenGenerator, Generator] = {}


@contextmanager
def as_class_errors(name: str) -> Iterator[None]:
    """Raise what a class of somebody's own raises as one sentence; other errors as they are.

    Args:
        name: of the generator.
    """
    try:
        yield
    except EcholensError:
        raise
    except Exception as error:
        if not is_generator_class(name):
            raise
        at = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        raise ConfigError(
            f"generator {name} fails ({type(error).__name__}: {text}, in line {at.lineno} of {at.filename}); "
            "mend its class"
        ) from error
