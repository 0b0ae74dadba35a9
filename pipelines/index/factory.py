"""Rows, dimensions and memory -> which kind of FAISS index to build."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.errors import ConfigError

# Exact search over so many vectors of 512 dimensions takes 3 ms on one core: nothing to gain by an
# approximation.
FLAT_ROWS = 20_000

# Points that k-means should have for each centroid: FAISS warns below 39 and uses at most 256.
_POINTS_A_LIST = 64
_PQ_TRAINING_ROWS = 256 * 256

_UNITS = {
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip


@dataclass(frozen=True)
class FactoryChoice:
    """A kind of index.

    Attributes:
        factory: FAISS's word for it.
        training_rows: vectors that it is trained with; 0 if it needs none.
        lists: inverted lists that it has; 0 if it has none.
        bytes: what it takes in memory, about.
    """

    factory: str
    training_rows: int
    lists: int
    bytes: int


def parse_memory(written: str) -> int:
    """Return the bytes of a size such as `4GiB` or `500 MB`."""
    number = written.rstrip("KMGTiB ")
    return int(float(number) * _UNITS[written[len(number) :].strip()])


def choose_factory(rows: int, dims: int, memory: str) -> FactoryChoice:
    """Return the most exact kind of index that is quick enough and fits into memory.

    Flat is exact. SQfp16 loses nothing either, as vectors are stored in float16, but searches only some
    lists. PQ keeps a few bytes of a vector.

    Args:
        rows: vectors to hold.
        dims: of a vector.
        memory: that the index may take, as in `4GiB`.

    Raises:
        ConfigError: not even the smallest kind fits.
    """
    budget = parse_memory(memory)
    flat = FactoryChoice("Flat", 0, 0, rows * (4 * dims + 8))
    if rows <= FLAT_ROWS and flat.bytes <= budget:
        return flat
    # About 4 * sqrt(rows) lists, a power of two, each with enough points to find its middle.
    lists = 2 ** round(math.log2(4 * math.sqrt(rows)))
    while lists > 1 and lists * _POINTS_A_LIST > rows * 2:
        lists //= 2
    training = min(rows, lists * _POINTS_A_LIST)
    middles = lists * dims * 4
    settings = [FactoryChoice(f"IVF{lists},SQfp16", training, lists, rows * (2 * dims + 8) + middles)]
    for bytes_a_vector in (dims // part for part in (4, 8, 16, 32) if dims % part == 0):
        rotation = dims * dims * 4
        settings.append(
            FactoryChoice(
                # np: without polysemous codes, which nothing here uses; they take five times the training.
                f"OPQ{bytes_a_vector},IVF{lists},PQ{bytes_a_vector}np",
                min(rows, max(training, _PQ_TRAINING_ROWS)),
                lists,
                rows * (bytes_a_vector + 8) + middles + rotation + 256 * dims * 4,
            )
        )
    for setting in settings:
        if setting.bytes <= budget:
            return setting
    raise ConfigError(
        f"index.memory is {memory}, but {rows} vectors of {dims} dimensions take at least "
        f"{math.ceil(settings[-1].bytes / 2**20)}MiB; give it that much"
    )
