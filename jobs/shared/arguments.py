"""Types of command-line arguments that argparse checks."""

from __future__ import annotations

import argparse

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
