"""The order of training pairs: batches of row numbers, from a seed and the number of the epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Rows of a block: 1 MB of float16 vectors, read at once and shuffled together with 63 other blocks.
_BLOCK = 1024
_BLOCKS_MIXED = 64


def iterate_batches(
    rows: np.ndarray, batch: int, seed: int, epoch: int, *, mapped: bool
) -> Iterator[np.ndarray]:
    """Yield the rows of every full batch of an epoch, in an order that depends on seed and epoch alone.

    Args:
        rows: row numbers, ascending.
        batch: pairs a step. The incomplete last batch is left out; each epoch leaves out other rows.
        seed: of the order.
        epoch: from 0.
        mapped: whether the vectors are mapped from a file: then blocks of 1,024 neighbouring rows are
            shuffled 64 at a time, so that the file is read in long pieces.
    """
    rng = np.random.default_rng((seed, epoch))
    if not mapped:
        order = rows[rng.permutation(len(rows))]
        yield from (order[start : start + batch] for start in range(0, len(rows) - batch + 1, batch))
        return
    blocks = rng.permutation(-(-len(rows) // _BLOCK))
    rest = np.empty(0, dtype=rows.dtype)
    for start in range(0, len(blocks), _BLOCKS_MIXED):
        mixed = [rows[n * _BLOCK : (n + 1) * _BLOCK] for n in blocks[start : start + _BLOCKS_MIXED]]
        drawn = np.concatenate([rest, rng.permutation(np.concatenate(mixed))])
        whole = len(drawn) // batch * batch
        yield from (drawn[first : first + batch] for first in range(0, whole, batch))
        rest = drawn[whole:]
