"""A request for sounds, and the path from its prompts to the vectors that condition the generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import ConfigError, SpaceError
from pipelines.generate.prompts import read_space
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.translate.translator import find_card
from schemas.families import Column, get_modality
from schemas.generated import GenerationParams, ModelRef
from schemas.space import Space
from schemas.version import Version

CAPTIONS = "captions"


@dataclass(frozen=True)
class GenerationRequest:
    """A request for sounds, from `echolens generate` or the page.

    Attributes:
        name: of the sounds.
        via: a translator's name, `CAPTIONS`, or None.
        column: of the rows; the translator's own if None.
        keys: of rows; all if empty.
        limit: of rows; None for all.
        texts: in place of rows.
        sounds: files, in place of rows.
        pictures: files, folders and URLs, in place of rows.
        params: of the generation.
    """

    name: str = "sounds"
    via: str | None = None
    column: Column | None = None
    keys: tuple[str, ...] = ()
    limit: int | None = None
    texts: tuple[str, ...] = ()
    sounds: tuple[Path, ...] = ()
    pictures: tuple[str, ...] = ()
    params: GenerationParams = field(default_factory=GenerationParams)


@dataclass(frozen=True)
class ConditioningPath:
    """The path from prompts to the vectors that condition the generator.

    Attributes:
        rows: the column that the kind of the rows must have; None without rows.
        source: the column of the prompts; None where captions condition the generator.
        target: the column that conditions the generator.
        space: of the target.
        translator: from source to target; None if they are the same.
        what: a description, for error messages.
    """

    rows: Column | None
    source: Column | None
    target: Column | None
    space: Space | None
    translator: ModelRef | None
    what: str


def find_path(root: Root, version: Version, request: GenerationRequest) -> ConditioningPath:
    """Return the path of a request.

    Raises:
        ConfigError: it names no path, or one that does not begin at its prompts.
        SpaceError: the translator was trained for another space.
    """
    spaces = read_spaces(root, version.set)
    if request.texts or request.via == CAPTIONS:
        rows = None if request.texts else request.column or "clip_image"
        return ConditioningPath(rows, None, None, None, None, "a caption")
    if request.sounds:
        request = GenerationRequest(column="clap_audio")
    if request.via is None:
        column = request.column
        space = spaces.get(column) if column else None
        clap = spaces.get("clap_audio")
        if column is None or space is None or clap is None or not space.is_comparable(clap):
            raise ConfigError(
                f"{column or 'pictures'} cannot become sounds by themselves; name the way with --via "
                f"TRANSLATOR or --via {CAPTIONS}, or a --column of CLAP vectors"
            )
        if request.pictures and get_modality(column) != "image":
            raise ConfigError(
                f"{column} is no vector of a picture; name a column of pictures, or --via TRANSLATOR"
            )
        return ConditioningPath(column, column, column, space, None, f"{column} of {root.url}")
    card = find_card(root, request.via)
    source = request.column or card.source
    space = read_space(root, version, source)
    if not space.is_comparable(card.source_space):
        raise SpaceError(
            f"translator {card.name!r} takes vectors of {card.source_space} and {source} is in {space} "
            f"({space.describe_differences(card.source_space)}); train one for their space"
        )
    if request.pictures and get_modality(source) != "image":
        clip = spaces.get("clip_image")
        has_same_space = clip is not None and clip.is_comparable(card.source_space)
        instead = (
            "add --column clip_image" if has_same_space else f"name one from clip_image, or --via {CAPTIONS}"
        )
        raise ConfigError(
            f"translator {card.name!r} takes {source}, which a picture from outside does not have; {instead}"
        )
    translator = ModelRef(name=card.name, weights_sha256=card.weights_sha256)
    return ConditioningPath(
        source, source, card.target, card.target_space, translator, f"translator {card.name!r}"
    )
