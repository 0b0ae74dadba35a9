"""Cards beside weights: JSON that says which net they are of, checked as it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError

Card = TypeVar("Card", bound=BaseModel)
_SHOWN = 200


def read_card(file: Path, kind: type[Card], what: str, preset: str) -> Card:
    """Return the card of a folder of weights.

    Args:
        file: in the folder.
        kind: of the card.
        what: it is the card of, as in "captioner".
        preset: that trains one.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    try:
        return kind.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{file.parent} holds no {file.name}, so it is no {what}; train one with `echolens train "
            f"--preset {preset}`"
        ) from error
    # JSON of a thousand brackets is a RecursionError.
    except (ValueError, RecursionError, OSError) as error:
        reason = " ".join(_describe(error).split())[:_SHOWN]
        raise ConfigError(f"{file} is no card of a {what} ({reason}); train it again") from error


def _describe(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return ".".join(map(str, [*first["loc"], ""])) + f" {first['msg']}"
