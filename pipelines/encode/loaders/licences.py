"""What the weights of a hub may be used for, said when they are fetched."""

from __future__ import annotations

import logging
from pathlib import Path

_log = logging.getLogger(__name__)


def read_licence(folder: Path) -> str | None:
    """Return the licence that a model's card (README.md) states, as in `cc-by-nc-sa-4.0`."""
    import yaml

    card = folder / "README.md"
    parts = card.read_text(errors="replace").split("---\n", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        stated = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    licence = stated.get("license") if isinstance(stated, dict) else None
    return licence if isinstance(licence, str) else None


def report_licence(repository: str, folder: Path) -> str:
    """Log the licence of fetched weights, and return the sentence."""
    licence = read_licence(folder)
    if licence is None:
        sentence = f"{repository} states no licence; ask its owners what its sounds may be used for"
    elif "-nc" in licence.lower():
        sentence = f"{repository} is under {licence}: no commercial use of the weights, nor of their sounds"
    else:
        sentence = f"{repository} is under {licence}"
    _log.warning(sentence)
    return sentence
