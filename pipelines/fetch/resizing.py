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

# Encoded picture -> JPEG, width, height, original width and height; or Nones and an error.
Resize = Callable[[IO[bytes]], tuple[bytes, int, int, int, int, str | None]]


def make_resizer(fetch: Fetch) -> Resize:
    """Return img2dataset's resizer with the options of `fetch`. Thread-safe."""
    resizer: Any = _load_module().Resizer(**{name: getattr(fetch, name) for name in STORED_BY})
    resize: Resize = resizer
    return resize


@cache
def _load_module() -> ModuleType:
    """Import `resizer.py` without its package, which imports pandas, wandb and more: 1.3 s, not 5.5."""
    # Else albumentations, which it imports, asks the network for its own latest release.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    package = importlib.util.find_spec("img2dataset")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location(__name__, Path(package.origin).with_name("resizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # It swaps the process's stdout and stderr around every picture; two threads doing so lose them for good.
    vars(module)["SuppressStdoutStderr"] = nullcontext
    # It makes a transform for every picture; validating its arguments takes a tenth of the whole time.
    vars(module)["A"] = SimpleNamespace(**{name: _cache_by_arguments(module.A, name) for name in _TRANSFORMS})
    return module


def _cache_by_arguments(library: ModuleType, name: str) -> Callable[..., Any]:
    """Return the constructor of a transform with a cache by arguments."""
    make = getattr(library, name)
    cached: dict[str, Any] = {}

    def transform(**arguments: Any) -> Any:
        key = repr(arguments)
        if key not in cached:
            cached[key] = make(**arguments)
        return cached[key]

    return transform
