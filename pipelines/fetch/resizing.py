"""img2dataset's own `Resizer`, so that pictures are pixel for pixel those of published datasets."""

from __future__ import annotations

import importlib.util
import io
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from pipelines.errors import UndecodableMediaError
from schemas.dataset import RESIZED_BY, Fetch

_TRANSFORMS = ("SmallestMaxSize", "LongestMaxSize", "CenterCrop", "PadIfNeeded")

# JPEG sides have no more; a larger picture cannot be encoded, but it can be made.
_JPEG_PX = 65_500
# Of pictures with transparency, which become float64 for a moment: 50 MB at once.
_ROWS_PIXELS = 2**20

# File and pixels -> JPEG, width, height, original width and height; or Nones and an error.
Resize = Callable[[bytes, np.ndarray], tuple[bytes, int, int, int, int, str | None]]

_thread = threading.local()


def make_resizer(fetch: Fetch) -> Resize:
    """Return img2dataset's resizer with the options of `fetch`. Thread-safe."""
    resizer: Any = _load_module().Resizer(**{name: getattr(fetch, name) for name in RESIZED_BY})

    def resize(data: bytes, image: np.ndarray) -> Any:
        # The resizer decodes by itself, but without a limit: its decoder returns what is decoded already.
        _thread.image = flatten_alpha(image)
        try:
            return resizer(io.BytesIO(data))
        finally:
            _thread.image = None

    return resize


def flatten_alpha(image: np.ndarray) -> np.ndarray:
    """Return a picture on white where it has transparency, as img2dataset computes it, some rows at a time.

    Of a whole picture it takes 60 bytes a pixel, so 7 GB of one that has the most pixels.
    """
    if image.ndim != 3 or image.shape[2] != 4:
        return image
    height, width = image.shape[:2]
    flat = np.empty((height, width, 3), np.uint8)
    rows = max(1, _ROWS_PIXELS // width)
    for start in range(0, height, rows):
        part = image[start : start + rows]
        alpha = part[:, :, 3, np.newaxis]
        on_white = alpha / 255 * part[..., :3] + 255 - alpha
        flat[start : start + rows] = np.rint(on_white.clip(min=0, max=255)).astype(np.uint8)
    return flat


def check_resized(fetch: Fetch, width: int, height: int) -> None:
    """Refuse a picture that would be scaled to far more pixels than it has, because it is very narrow.

    Args:
        fetch: the options.
        width: of the original.
        height: of the original.

    Raises:
        UndecodableMediaError: it would be.
    """
    shorter = min(width, height)
    if fetch.resize_mode not in ("keep_ratio", "center_crop"):
        return
    if fetch.resize_only_if_bigger and shorter <= fetch.image_size:
        return
    scale = fetch.image_size / shorter
    if scale * scale * width * height > max(fetch.max_pixels, _JPEG_PX * fetch.image_size):
        raise UndecodableMediaError("too_many_pixels")


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
    vars(module)["cv2"] = SimpleNamespace(**vars(module.cv2) | {"imdecode": lambda *_: _thread.image})
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
