"""The way `shuffled`: a generator that reads the source is given that of another row.

What it still gets right was not in the source: a leak, or what most rows have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column
from schemas.generated import ModelRef


@dataclass(frozen=True)
class ShuffledWay:
    """The vectors of the source, each of another group's row."""

    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="sources", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the vectors.

        Raises:
            ConfigError: the largest group has more than half of the rows.
        """
        others_N = shuffle_groups(rows.get_rows("scored").groups_N, bench.seed)
        return Crossing(sources_ND=rows.get_vectors("scored", bench.source)[others_N])


def shuffle_groups(groups_N: np.ndarray, seed: int) -> np.ndarray:
    """Return a permutation that gives every row one of another group, int64 [N].

    Args:
        groups_N: of the rows.
        seed: of the order of the groups.

    Raises:
        ConfigError: the largest group has more than half of the rows.
    """
    rng = np.random.default_rng(seed)
    names, numbers_N, sizes = np.unique(groups_N, return_inverse=True, return_counts=True)
    if 2 * sizes.max() > len(groups_N):
        raise ConfigError(
            f"way shuffled: {sizes.max()} of {len(groups_N)} rows are of one group, so they cannot all be "
            "given another's; score more rows, or leave it out"
        )
    order_N = np.argsort(rng.permutation(len(names))[numbers_N], kind="stable")
    others_N = np.empty(len(groups_N), np.int64)
    # In order of the groups a shift by the largest group leads out of every group.
    others_N[order_N] = np.roll(order_N, -int(sizes.max()))
    return others_N


def make_shuffled_way(argument: str, bench: Bench) -> ShuffledWay:  # noqa: ARG001 - takes none
    """Return the way."""
    return ShuffledWay((bench.source,))


WAYS = {"shuffled": make_shuffled_way}
