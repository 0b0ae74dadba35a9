"""Rows, dimensions and memory -> which kind of FAISS index to build."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.errors import ConfigError

# Exact search of so many vectors of 512 dimensions takes 3 ms on one core: an approximation gains nothing.
FLAT_ROWS = 20_000

# Training vectors per centroid of k-means: FAISS warns below 39 and uses at most 256.
_POINTS_A_LIST = 64
_PQ_TRAINING_ROWS = 256 * 256

_UNITS = {
    "B": 1,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip


@dataclass(frozen=True)
class FactoryChoice:
    """A kind of index.

    Attributes:
        factory: FAISS's factory string.
        training_rows: vectors that it is trained with; 0 if it needs none.
        lists: inverted lists; 0 if it has none.
        bytes: memory that it takes, estimated.
    """

    factory: str
    training_rows: int
    lists: int
    bytes: int


def parse_memory(size: str) -> int:
    """Return the bytes of a size such as `4GiB` or `500 MB`."""
    number = size.rstrip("KMGTiB ")
    return int(float(number) * _UNITS[size[len(number) :].strip()])


def choose_factory(rows: int, dims: int, memory: str) -> FactoryChoice:
    """Return the most exact kind of index that is fast enough and fits into memory.

    Flat is exact. SQfp16 loses no precision either, as vectors are stored in float16, but searches only some
    lists. PQ compresses a vector to a few bytes.

    Args:
        rows: vectors to hold.
        dims: of a vector.
        memory: the most that the index may take, as in `4GiB`.

    Raises:
        ConfigError: not even the smallest kind fits.
    """
    budget = parse_memory(memory)
    flat = FactoryChoice("Flat", 0, 0, rows * (4 * dims + 8))
    if rows <= FLAT_ROWS and flat.bytes <= budget:
        return flat
    # About 4 * sqrt(rows) lists, a power of two, each with enough training vectors for its centroid.
    lists = 2 ** round(math.log2(4 * math.sqrt(rows)))
    while lists > 1 and lists * _POINTS_A_LIST > rows * 2:
        lists //= 2
    training = min(rows, lists * _POINTS_A_LIST)
    centroid_bytes = lists * dims * 4
    choices = [FactoryChoice(f"IVF{lists},SQfp16", training, lists, rows * (2 * dims + 8) + centroid_bytes)]
    for bytes_a_vector in (dims // part for part in (4, 8, 16, 32) if dims % part == 0):
        rotation_bytes = dims * dims * 4
        choices.append(
            FactoryChoice(
                # np: no polysemous codes, which nothing here uses and which take five times the training.
                f"OPQ{bytes_a_vector},IVF{lists},PQ{bytes_a_vector}np",
                min(rows, max(training, _PQ_TRAINING_ROWS)),
                lists,
                rows * (bytes_a_vector + 8) + centroid_bytes + rotation_bytes + 256 * dims * 4,
            )
        )
    for choice in choices:
        if choice.bytes <= budget:
            return choice
    raise ConfigError(
        f"index.memory is {memory}, but {rows} vectors of {dims} dimensions take at least "
        f"{math.ceil(choices[-1].bytes / 2**20)}MiB; give it that much"
    )
