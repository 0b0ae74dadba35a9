"""Batches in parts: samples of tensors, arrays and lists, and of tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pipelines.errors import ConfigError


def split_samples(batch: Any, count: int) -> list[Any]:
    """Return equal parts of samples: a tensor, an array or a list, or a tuple or dict of them."""
    if isinstance(batch, Mapping):
        parts = {key: split_samples(value, count) for key, value in batch.items()}
        return [{key: part[number] for key, part in parts.items()} for number in range(count)]
    if isinstance(batch, tuple):
        return list(zip(*(split_samples(value, count) for value in batch), strict=True))
    rows = len(batch)
    if rows % count:
        raise ConfigError(
            f"{rows} samples cannot be divided into {count} equal parts; take another accumulate"
        )
    bounds = [rows * number // count for number in range(count + 1)]
    return [batch[first:last] for first, last in pairwise(bounds)]
