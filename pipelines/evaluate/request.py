"""What a command asks to be evaluated, and of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.evaluate.evaluation_set import GALLERY_ROWS
from pipelines.store.root import Root
from schemas.encoders import Encode
from schemas.evaluation import Direction
from schemas.families import Column
from schemas.generators import AnyGenerator
from schemas.space import Space


@dataclass(frozen=True)
class EvaluationRequest:
    """An evaluation of one direction, as a command asks for it.

    Attributes:
        direction: of all ways.
        ways: by their names.
        judges: by their names.
        rows: to score; all that there are, if there are fewer.
        seed: of scenes, samples, weights and resamples.
        params: of the generators; those that are not given have their defaults.
        defaults: parameters in place of those of the generators that have them.
        only: kinds or labels of the rows; all if empty.
        gallery: training rows to look things up in, at most.
        all_rows: whether rows that were trained on are scored, too.
        reference: whether the rows have true media of the target.
        rate_hz: that every judge of sounds must hear at; any if None.
        labels: published ones by which clips find each other, too; None for none.
        protocol: that the request follows.
        name: of the folder; one that says what is asked for if None.
        trusted: classes that are none of ours and may be imported, as module:Class.
    """

    direction: Direction
    ways: tuple[str, ...]
    judges: tuple[str, ...]
    rows: int = 240
    seed: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    gallery: int = GALLERY_ROWS
    all_rows: bool = False
    reference: bool = True
    rate_hz: int | None = None
    labels: str | None = None
    protocol: str | None = None
    name: str | None = None
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationTarget:
    """What is evaluated: a dataset, or the miniature world.

    Attributes:
        name: in the report.
        encode: the encoders of its columns.
        spaces: of its columns.
        set_name: of the vectors.
        generator: its generator.
        root: with its translators; None of the miniature world.
        shard_rows: of the dataset.
        trusted: classes that its file names and may be imported, as module:Class.
        models: where generators that were trained lie if there is no root; None for nowhere.
    """

    name: str
    encode: Encode
    spaces: Mapping[Column, Space]
    set_name: str
    generator: AnyGenerator
    root: Root | None
    shard_rows: int = 1
    trusted: frozenset[str] = frozenset()
    models: Root | None = None
