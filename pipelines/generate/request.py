"""What a person asks a generator for, and the way from there to a vector of the generator's space."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import ConfigError, SpaceError
from pipelines.generate.prompts import read_space
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.translate.translator import find_card
from schemas.generated import GenerationParams, ModelRef
from schemas.space import Space
from schemas.vectors import Column, family_of
from schemas.version import Version

CAPTIONS = "captions"


@dataclass(frozen=True)
class GenerationRequest:
    """What a person asks for.

    Attributes:
        name: of the sounds.
        via: a translator's name, `CAPTIONS`, or None.
        column: of the rows; the translator's own if None.
        keys: of rows; all if empty.
        limit: the first so many rows.
        texts: in place of rows.
        sounds: files, in place of rows.
        pictures: files, folders and URLs, in place of rows.
        making: how sounds are made.
    """

    name: str = "sounds"
    via: str | None = None
    column: Column | None = None
    keys: tuple[str, ...] = ()
    limit: int | None = None
    texts: tuple[str, ...] = ()
    sounds: tuple[Path, ...] = ()
    pictures: tuple[str, ...] = ()
    making: GenerationParams = field(default_factory=GenerationParams)


@dataclass(frozen=True)
class ConditioningPath:
    """From what is given to a vector of the generator's space.

    Attributes:
        rows: the column that rows must be able to have; None where none are asked for.
        source: the column of the prompts; None where captions are spoken.
        target: the column that becomes sounds.
        space: of the target.
        translator: that leads from one to the other.
        what: in words, for sentences.
    """

    rows: Column | None
    source: Column | None
    target: Column | None
    space: Space | None
    translator: ModelRef | None
    what: str


def find_path(root: Root, version: Version, order: GenerationRequest) -> ConditioningPath:
    """Return the way that an order asks for.

    Raises:
        ConfigError: it names none, or one that does not begin where the order does.
        SpaceError: the translator was trained for another space.
    """
    set_name = version.set
    if order.texts or order.via == CAPTIONS:
        rows = None if order.texts else order.column or "clip_image"
        return ConditioningPath(rows, None, None, None, None, "a caption")
    if order.sounds:
        order = GenerationRequest(column="clap_audio")
    if order.via is None:
        column = order.column
        space = read_spaces(root, set_name).get("clap")
        if column is None or family_of(column) != "clap" or space is None:
            raise ConfigError(
                f"{column or 'pictures'} cannot become sounds by themselves; name the way with --via "
                f"TRANSLATOR or --via {CAPTIONS}, or a --column of CLAP vectors"
            )
        return ConditioningPath(column, column, column, space, None, f"{column} of {root.url}")
    card = find_card(root, order.via)
    source = order.column or card.source
    found = read_space(root, version, source)
    if found != card.source_space:
        raise SpaceError(
            f"translator {card.name!r} takes vectors of {card.source_space} and {source} is in {found} "
            f"({found.differences(card.source_space)}); train one for their space"
        )
    if order.pictures and source != "clip_image":
        alike = read_spaces(root, set_name).get("clip") == card.source_space
        instead = "add --column clip_image" if alike else f"name one from clip_image, or --via {CAPTIONS}"
        raise ConfigError(
            f"translator {card.name!r} takes {source}, which a picture from outside does not have; {instead}"
        )
    by = ModelRef(name=card.name, weights_sha256=card.weights_sha256)
    return ConditioningPath(source, source, card.target, card.target_space, by, f"translator {card.name!r}")
