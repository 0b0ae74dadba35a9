"""The rows of a generator's forwards: their vectors, their batches and the count of their steps.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pipelines.errors import ConfigError
from pipelines.generate.generator import StepProgress
from schemas.media import Medium


def normalize_vectors(vectors_ND: np.ndarray, count: int, dims: int, medium: Medium) -> np.ndarray:
    """Return unit vectors, float32.

    Args:
        vectors_ND: of the rows, of any length but none.
        count: rows that there must be, one a seed.
        dims: numbers that a vector must have.
        medium: what is made of them.

    Raises:
        ConfigError: the vectors are others, or one has no direction.
    """
    if vectors_ND.shape != (count, dims):
        raise ConfigError(
            f"the generator was given vectors {list(vectors_ND.shape)} and {count} seeds; it takes a vector "
            f"of {dims} numbers for every seed"
        )
    norms_N1 = np.linalg.norm(vectors_ND.astype(np.float32), axis=1, keepdims=True)
    if not (np.isfinite(norms_N1) & (norms_N1 > 0)).all():
        raise ConfigError(f"a vector without a direction makes no {medium}; leave out rows without vectors")
    return np.asarray(vectors_ND / norms_N1, np.float32)


def split_batches(count: int, batch_rows: int) -> Iterator[list[int]]:
    """Yield the rows of each batch; the last one is padded with its first row.

    With batches of one size the last digits of a row do not depend on how many rows there are.

    Args:
        count: rows in all.
        batch_rows: of every batch.
    """
    for first in range(0, count, batch_rows):
        rows = list(range(first, min(first + batch_rows, count)))
        yield rows + rows[:1] * (batch_rows - len(rows))


def make_step_count(total: int, progress: StepProgress | None) -> Callable[[], None]:
    """Return a function to call after each step, which tells `progress` how many of all are done.

    Args:
        total: steps of all batches; a batch that is made in halves takes more, which are not told.
        progress: called with the number of steps and the total.
    """
    done = 0

    def after_step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(min(done, total), total)

    return after_step
