"""The way `tower:NAME`: a tower that embeds the source in the space of the target; nothing translates.

NAME is a model of the root, `pocket` the tower that ships, or a column of the set that a tower made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode, get_tower
from pipelines.encode.places import locate_tower
from pipelines.encode.registry import make_loader
from pipelines.errors import ConfigError, SpaceError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.custom_loader import OtherEncoder
from schemas.encoders import TOWER
from schemas.evaluation import split_direction
from schemas.families import Column, Modality, get_family, get_modality, is_column
from schemas.generated import ModelRef
from schemas.media import Medium

# Media that are read and embedded together.
_ROWS = 64


@dataclass(frozen=True)
class TowerColumnWay:
    """The vectors of a column that joins the family of the target."""

    source: Column
    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="vectors", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the stored vectors."""
        return Crossing(rows.get_vectors("scored", self.source), bench.target)


@dataclass(frozen=True)
class TrainedTowerWay:
    """A trained tower, which is given the media of the rows; of a clip, its first frame.

    Attributes:
        spec: the tower.
        modality: that it embeds.
        medium: that is read.
    """

    spec: EncoderSpec
    modality: Modality
    medium: Medium
    columns: tuple[Column, ...]
    models: tuple[ModelRef, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="vectors", init=False)

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the vectors of all rows."""
        tower, count = get_tower(self.spec, self.modality), len(rows.get_rows("scored").ids)
        found = []
        for start in range(0, count, _ROWS):
            chunk = range(start, min(start + _ROWS, count))
            pieces = [tower.prepare(data) for data in rows.read_media("scored", self.medium, chunk)]
            found.append(encode(tower, pieces, self.spec.space.batch_rows)[0])
        return Crossing(np.concatenate(found), bench.target)


def make_tower_way(argument: str, bench: Bench) -> TowerColumnWay | TrainedTowerWay:
    """Return the way.

    Raises:
        ConfigError: there is no such tower, or it embeds another medium.
        SpaceError: it was trained into another space than that of the target.
    """
    if is_column(argument):
        return _make_column_way(argument, bench)
    way, modality = f"way tower:{argument}", get_modality(bench.source)
    entry = locate_tower(bench.encode, OtherEncoder(loader=TOWER, weights=argument))
    loader = make_loader(entry, f"{get_family(bench.target)}_{modality}", "fp32", ())
    assert loader is not None
    space = loader.space()
    if modality not in (embedded := getattr(loader, "modalities", ())):
        raise ConfigError(
            f"{way} embeds {' and '.join(embedded)}, and {bench.direction} begins at {modality}; name a "
            "tower of that, another --direction, or another way"
        )
    if not bench.is_in_target(space):
        raise SpaceError(
            f"{way} was trained into {space.joins or 'a space of its own'}, and {bench.direction} is scored "
            f"in {bench.target} of {bench.spaces[bench.target].identity}; name one that was trained into it"
        )
    for column, stored in bench.spaces.items():
        if stored == space and get_modality(column) == modality:
            return TowerColumnWay(column, (column, bench.target))
    return TrainedTowerWay(
        EncoderSpec(space, loader),
        modality,
        split_direction(bench.direction)[0],
        (bench.target,),
        (ModelRef(name=argument, weights_sha256=space.weights_sha256),),
    )


def _make_column_way(argument: str, bench: Bench) -> TowerColumnWay:
    way, modality = f"way tower:{argument}", get_modality(bench.source)
    wanted = f"{get_family(bench.target)}_{modality}"
    fitting = [
        column
        for column, space in bench.spaces.items()
        if column != bench.target and get_modality(column) == modality and bench.is_in_target(space)
    ]
    if argument not in fitting:
        raise ConfigError(
            f"{way}: the set has {', '.join(fitting) or 'no column'} of a tower from {modality} into the "
            f"space of {bench.target}, and {argument} is none; build a set with encode.{wanted}, or name "
            "another way"
        )
    return TowerColumnWay(argument, (argument, bench.target))


WAYS = {"tower": make_tower_way}
# Whether a way has to be told which; one that is not here takes no name.
NAMED = {"tower": True}
