"""Published protocols by name: a file of `protocols/` each."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipelines.errors import ConfigError
from pipelines.store.validation import check_content
from schemas.evaluation import EvaluationProtocol

_FOLDER = Path(__file__).parent / "protocols"


def list_protocols() -> list[str]:
    """Return the names of all protocols."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def read_protocol(name: str) -> EvaluationProtocol:
    """Return a protocol.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in (names := list_protocols()):
        raise ConfigError(f"--protocol {name[:80]!r} is unknown; it must be one of {', '.join(names)}")
    content = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text())
    return check_content(EvaluationProtocol, content, f"protocol {name}")
