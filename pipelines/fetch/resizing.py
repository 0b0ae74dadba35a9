"""img2dataset's own `Resizer`, so that pictures are pixel for pixel those of published datasets."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from schemas.dataset import Fetch

JPEG_QUALITY = 95  # img2dataset's default

# From an encoded picture to its JPEG, width, height, original width and height; or Nones and an error.
Resize = Callable[[IO[bytes]], tuple[bytes, int, int, int, int, str | None]]


def resizer(fetch: Fetch) -> Resize:
    """Return what resizes pictures as img2dataset does with the same `image_size` and `resize_mode`."""
    made: Any = _module().Resizer(
        image_size=fetch.image_size,
        resize_mode=fetch.resize_mode,
        resize_only_if_bigger=False,
        encode_quality=JPEG_QUALITY,
    )
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
    return module
