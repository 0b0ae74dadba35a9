"""Trust in code that a dataset names: a class is imported only if the user of a command has named it.

A user names a class in their own file, in an override, or by `--trust`. A root names the classes of its
encoders, too, but it may come from anybody: opening it must not run them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from schemas.encoders import CLASS_PATTERN, Encode


def find_classes(encode: Mapping[str, Any]) -> list[str]:
    """Return the classes (module:Class) that are named as encoders.

    Args:
        encode: the `encode` part of a dataset, as nested mappings.
    """
    loaders = [str(entry.get("loader")) for entry in encode.values() if isinstance(entry, Mapping)]
    return sorted({loader for loader in loaders if ":" in loader})


def check_classes(encode: Encode, where: str) -> None:
    """Refuse encoders whose class the user has not named.

    Args:
        encode: of a dataset.
        where: source of `encode`, for the error.

    Raises:
        ConfigError: there is one.
    """
    untrusted = [name for name in find_classes(encode.model_dump()) if name not in encode.trusted]
    if untrusted:
        raise make_untrusted_error(untrusted, where)


def make_untrusted_error(classes: Iterable[str], where: str) -> ConfigError:
    """Return the error for classes that the user has not named.

    Args:
        classes: as module:Class.
        where: source of their names.
    """
    names = list(classes)
    options = " ".join(f"--trust {name}" for name in names)
    return ConfigError(
        f"{where} names {' and '.join(names)} as encoder, and only code that you name yourself is run; "
        f"if you know it, add {options}, or give a dataset file of your own"
    )


def check_trust(classes: Iterable[str]) -> None:
    """Refuse trusted names that are not written as classes.

    Args:
        classes: that the user has named.

    Raises:
        ConfigError: one is not written as module:Class.
    """
    for name in classes:
        if not re.fullmatch(CLASS_PATTERN, name):
            raise ConfigError(f"--trust {name!r} names no class; write module:Class, as the root does")


def find_enclosing_root(file: Path) -> Path | None:
    """Return the root that a file lies in, by its path or behind links; None if it lies in none."""
    folders = [*file.absolute().parents, *file.resolve().parents]
    return next((folder for folder in folders if _is_root(folder)), None)


def _is_root(folder: Path) -> bool:
    try:
        content = json.loads((folder / "dataset.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "dataset" in content
