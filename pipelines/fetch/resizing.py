"""img2dataset's own `Resizer`, so that pictures are pixel for pixel those of published datasets."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, Any

from schemas.dataset import STORED_BY, Fetch

_TRANSFORMS = ("SmallestMaxSize", "LongestMaxSize", "CenterCrop", "PadIfNeeded")

# From an encoded picture to its JPEG, width, height, original width and height; or Nones and an error.
Resize = Callable[[IO[bytes]], tuple[bytes, int, int, int, int, str | None]]


def make_resizer(fetch: Fetch) -> Resize:
    """Return what resizes pictures as img2dataset does with the same options. Thread-safe."""
    made: Any = _module().Resizer(**{name: getattr(fetch, name) for name in STORED_BY})
    resize: Resize = made
    return resize


@cache
def _module() -> ModuleType:
    """The file `resizer.py` without its package, which imports pandas, wandb and more: 1.3 s, not 5.5."""
    # albumentations, which it imports, else asks the network for its own latest release.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    package = importlib.util.find_spec("img2dataset")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location(__name__, Path(package.origin).with_name("resizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # It swaps the process's stdout and stderr around every picture: two threads at it lose them for good.
    vars(module)["SuppressStdoutStderr"] = nullcontext
    # It makes a transform for every picture, and validating its arguments takes a tenth of the whole time.
    vars(module)["A"] = SimpleNamespace(**{name: _made_once(module.A, name) for name in _TRANSFORMS})
    return module


def _made_once(library: ModuleType, name: str) -> Callable[..., Any]:
    """Return what makes a transform, or gives the one that was made with the same arguments."""
    make = getattr(library, name)
    made: dict[str, Any] = {}

    def transform(**arguments: Any) -> Any:
        key = repr(arguments)
        if key not in made:
            made[key] = make(**arguments)
        return made[key]

    return transform
