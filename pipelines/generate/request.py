"""A request for samples, and the path from its prompts to what conditions the generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError, SpaceError
from pipelines.generate.generator import CAPTION
from pipelines.generate.prompts import read_space
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.translate.defaults import find_default as find_default_translator
from pipelines.translate.defaults import resolve_alias
from pipelines.translate.translator import find_card
from schemas.families import Column, find_default, get_family, get_modality, make_column
from schemas.generated import GenerationSettings, GeneratorInfo, ModelRef
from schemas.space import Space
from schemas.version import Version

CAPTIONS = "captions"


@dataclass(frozen=True)
class GenerationRequest:
    """A request for samples, from `echolens generate` or the page.

    Attributes:
        name: of the samples; that of their medium if None, as in sounds.
        via: a translator's name, `CAPTIONS`, or None.
        column: of the rows; the translator's own if None.
        keys: of rows; all if empty.
        limit: of rows; None for all. Of a prior: the number of samples.
        held_out: whether only rows are taken that the translator was tested on, or would be.
        texts: in place of rows; with sounds, each text beside each sound.
        sounds: files, in place of rows.
        pictures: files, folders and URLs, in place of rows.
        settings: of the generation.
        params: of the generator; those that are not given have its defaults.
    """

    name: str | None = None
    via: str | None = None
    column: Column | None = None
    keys: tuple[str, ...] = ()
    limit: int | None = None
    held_out: bool = False
    texts: tuple[str, ...] = ()
    sounds: tuple[Path, ...] = ()
    pictures: tuple[str, ...] = ()
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """The way of one column of vectors to the generator.

    Attributes:
        reads: the column as the generator names it.
        source: the column of the prompts.
        target: the column that is given to it: the translator's target, or `source` itself.
        space: of the target.
    """

    reads: Column
    source: Column
    target: Column
    space: Space


@dataclass(frozen=True)
class ConditioningPath:
    """The path from prompts to what conditions the generator.

    Attributes:
        rows: the column that the kind of the rows must have; None without rows.
        conditions: of the columns that it reads; none where captions or nothing condition it.
        translator: of the only condition; None if its source is its target.
        what: a description, for error messages.
    """

    rows: Column | None
    conditions: tuple[Condition, ...]
    translator: ModelRef | None
    what: str

    @property
    def source(self) -> Column | None:
        """The column of the first condition's prompts."""
        return self.conditions[0].source if self.conditions else None

    @property
    def space(self) -> Space | None:
        """The space of the first condition."""
        return self.conditions[0].space if self.conditions else None


def find_path(
    root: Root, version: Version, request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath:
    """Return the path of a request.

    Raises:
        ConfigError: it names no path, or one that does not begin at its prompts or end at the generator.
        SpaceError: the translator was trained for another space.
    """
    spaces = read_spaces(root, version.set)
    if not generator.reads:
        return _find_prior_path(request, generator)
    if request.texts and request.sounds:
        return _find_crossed_path(root, version, request, generator)
    if request.texts or request.via == CAPTIONS or not generator.columns:
        return _find_caption_path(spaces, request, generator)
    if len(generator.columns) > 1:
        return _find_plain_path(root, spaces, request, generator)
    if request.via is None:
        return _find_direct_path(root, version, request, generator) or _find_default_path(
            root, version, request, generator
        )
    return _find_translated_path(root, version, request, generator)


def _find_prior_path(request: GenerationRequest, generator: GeneratorInfo) -> ConditioningPath:
    given = {
        "--via": request.via, "--column": request.column, "--keys": request.keys, "--text": request.texts,
        "--audio": request.sounds, "--images": request.pictures,
    }  # fmt: skip
    if unused := [flag for flag, value in given.items() if value]:
        raise ConfigError(
            f"generator {generator.name} reads nothing; leave {unused[0]} out and give --samples N"
        )
    if request.limit is None:
        raise ConfigError(f"generator {generator.name} reads nothing; say with --samples N how many it makes")
    return ConditioningPath(None, (), None, "nothing")


def _find_caption_path(
    spaces: Mapping[Column, Space], request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath:
    """Return the path of captions: given as they are, by the generator's text tower, or the dataset's."""
    rows = None if request.texts else request.column or find_default("image", spaces)
    if not generator.columns:
        if request.via not in (None, CAPTIONS):
            raise ConfigError(
                f"generator {generator.name} reads captions alone; leave --via {request.via} out"
            )
        if request.sounds:
            raise ConfigError(
                f"generator {generator.name} reads captions, which a sound from outside does not have; give "
                "--text"
            )
        return ConditioningPath(rows, (), None, "a caption")
    if generator.text_sha256 is not None:
        return ConditioningPath(rows, (), None, "a caption")
    reads = generator.columns[0]
    column = make_column(get_family(reads), "text")
    space = spaces.get(column)
    own = spaces.get(reads) if request.texts and len(generator.columns) == 1 else None
    if space is not None and own is not None and space.is_comparable(own):
        return ConditioningPath(None, (Condition(reads, column, column, space),), None, "a text")
    raise ConfigError(
        f"generator {generator.name} has no text tower and reads {', '.join(generator.columns)}; take rows "
        "that have vectors of it, or a set with texts in its space"
    )


def _find_crossed_path(
    root: Root, version: Version, request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath:
    """Return the path of sounds that each text stands beside, to a generator that reads both."""
    if CAPTION not in generator.reads or len(generator.columns) != 1:
        raise ConfigError(
            f"generator {generator.name} reads {' and '.join(generator.reads)}, not a sound and a text; give "
            "--audio or --text alone"
        )
    sounds = replace(request, texts=())
    if request.via is not None:
        return _find_translated_path(root, version, sounds, generator)
    return _find_direct_path(root, version, sounds, generator) or _find_default_path(
        root, version, sounds, generator
    )


def _find_plain_path(
    root: Root, spaces: Mapping[Column, Space], request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath:
    """Return the path of rows whose own columns are all that the generator reads."""
    columns = generator.columns
    if request.via or request.column or request.sounds or request.pictures:
        raise ConfigError(
            f"generator {generator.name} reads {' and '.join(columns)}; take rows that have them, without "
            "--via and --column"
        )
    if lacking := [column for column in columns if column not in spaces]:
        raise ConfigError(f"generator {generator.name} reads {lacking[0]}, which {root.url} does not have; "
                          "build a set with it")  # fmt: skip
    conditions = tuple(Condition(column, column, column, spaces[column]) for column in columns)
    return ConditioningPath(columns[0], conditions, None, f"{columns[0]} of {root.url}")


def _find_direct_path(
    root: Root, version: Version, request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath | None:
    """Return the path of vectors that are of the generator's space as they are stored; None if none are."""
    spaces, reads = read_spaces(root, version.set), generator.columns[0]
    column = _choose_column(spaces, request, generator)
    space, own = spaces.get(column) if column else None, spaces.get(reads)
    if column is None or space is None or own is None or not space.is_comparable(own):
        return None
    if request.pictures and get_modality(column) != "image":
        raise ConfigError(
            f"{column} is no vector of a picture; name a column of pictures, or --via TRANSLATOR"
        )
    condition = Condition(reads, column, column, space)
    return ConditioningPath(column, (condition,), None, f"{column} of {root.url}")


def _choose_column(
    spaces: Mapping[Column, Space], request: GenerationRequest, generator: GeneratorInfo
) -> Column | None:
    """Return the column that a request without a translator begins at; None for pictures, as yet unnamed.

    A dataset that has pictures in the generator's space, by a tower that was trained into it, begins there.
    """
    reads = generator.columns[0]
    if request.sounds:
        return reads if get_modality(reads) == "audio" else find_default("audio", spaces)
    # Sounds are made of sounds only if somebody asks for it: who names no column means pictures.
    if request.column is None and (generator.medium, get_modality(reads)) != ("sound", "audio"):
        return reads
    return request.column or _find_joined(spaces, reads)


def _find_joined(spaces: Mapping[Column, Space], reads: Column) -> Column | None:
    """Return the column of pictures that lies in the space of another column; None if none does."""
    own = spaces.get(reads)
    return next(
        (
            column
            for column, space in spaces.items()
            if get_modality(column) == "image" != get_modality(reads) and own and space.is_comparable(own)
        ),
        None,
    )


def _find_default_path(
    root: Root, version: Version, request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath:
    """Return the path through the default translator.

    Raises:
        ConfigError: there is none.
    """
    spaces, reads = read_spaces(root, version.set), generator.columns[0]
    column = _choose_column(spaces, request, generator)
    sources = [column or find_default("image", spaces)]
    card = find_default_translator(root, spaces, sources, _list_ends(spaces, reads))
    if card is None:
        raise ConfigError(
            f"{column or 'pictures'} cannot become {generator.medium}s by themselves; name the way with "
            f"--via TRANSLATOR or --via {CAPTIONS}, or a --column of {get_family(reads).upper()} vectors"
        )
    return _find_translated_path(root, version, replace(request, via=card.name), generator)


def _list_ends(spaces: Mapping[Column, Space], reads: Column) -> list[Column]:
    """Return the columns whose vectors a generator may be given, the one that it reads first."""
    family = [column for column in spaces if get_family(column) == get_family(reads)]
    return [reads, *(column for column in family if column != reads)]


def _find_translated_path(
    root: Root, version: Version, request: GenerationRequest, generator: GeneratorInfo
) -> ConditioningPath:
    """Return the path through a translator."""
    spaces = read_spaces(root, version.set)
    begins = [request.column] if request.column else list(spaces)
    ends = _list_ends(spaces, generator.columns[0])
    card = find_card(root, resolve_alias(root, spaces, str(request.via), (begins, ends)))
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
    if request.sounds and get_modality(source) != "audio":
        raise ConfigError(
            f"translator {card.name!r} takes {source}, which a sound from outside does not have; leave --via "
            "out, or name one from clap_audio"
        )
    translator = ModelRef(name=card.name, weights_sha256=card.weights_sha256)
    condition = Condition(generator.columns[0], source, card.target, card.target_space)
    return ConditioningPath(source, (condition,), translator, f"translator {card.name!r}")
