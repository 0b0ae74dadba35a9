"""Command-line arguments that several jobs take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.store.user_yaml import parse_user_yaml
from schemas.families import Column, check_column


def parse_column(name: str) -> Column:
    """Return the name of a column.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return check_column(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_pairs(pairs: Sequence[str], what: str) -> dict[str, Any]:
    """Return key=value arguments as a mapping; values are YAML.

    Args:
        pairs: as they were given.
        what: each is, for the error, as in "a key of an encoder".

    Raises:
        ConfigError: one has no `=`, or a value that is not YAML.
    """
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise ConfigError(f"{wrong[0]!r} is not {what}; write key=value")
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            parsed[key] = parse_user_yaml(value)
        except ValueError as error:
            raise ConfigError(f"{pair[:80]!r} {error}") from error
    return parsed


def add_working_folder() -> None:
    """Let a class that is named on the command line be in the current folder."""
    sys.path.insert(0, str(Path.cwd()))
