"""The paths that lead from pictures and words on the page to a generator."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.decode.audible import check_audible
from pipelines.encode.encoder import EncoderSpec, encode, get_tower
from pipelines.encode.resolve import resolve_entry
from pipelines.errors import ConfigError, EcholensError, SpaceError, UndecodableMediaError
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.request import ConditioningPath, GenerationRequest, find_path
from pipelines.generate.space_check import check_media_tower, check_own_space
from pipelines.serve.generation_messages import Capabilities, PageRequest
from pipelines.store import versions
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.translate import translator
from pipelines.translate.defaults import find_default, rank_cards
from schemas.dataset import Dataset
from schemas.families import DEFAULTS, Column, get_family, get_modality
from schemas.space import Space
from schemas.translator_card import TranslatorCard

# The column of the vectors that a picture of the page gets.
_PICTURES: Column = DEFAULTS["image"]


class PicturePaths:
    """The paths to a generator that can be used, by the translators that exist now.

    Args:
        dataset: whose translators lead to the generator.
        generator: which.
    """

    def __init__(self, dataset: Dataset, generator: ChosenGenerator) -> None:
        self._dataset, self._root, self._generator = dataset, Root.from_dataset(dataset), generator
        self._usable: dict[tuple[str, str], bool] = {}
        self._space_errors: dict[Space, EcholensError | None] = {}
        self._media_errors: dict[Column, EcholensError | None] = {}

    def describe(self) -> Capabilities:
        """Return what a picture can take."""
        info = self._generator.info
        if len(info.columns) != 1:
            return Capabilities(info, ())
        if info.medium == "picture" and get_modality(info.columns[0]) == "audio":
            return Capabilities(info, (), self._explain_sounds())
        if self._is_direct():
            return Capabilities(info, (), is_direct=True)
        # The first is the page's default; controls are used only by name.
        names = tuple(card.name for card in self._list_ranked() if self._is_usable(card))
        return Capabilities(info, names, "" if names else self._explain_missing())

    def choose(self, via: str | None) -> ConditioningPath:
        """Return the path of a picture by a translator, or by itself.

        Raises:
            ConfigError: there is no such path.
        """
        capabilities, medium = self.describe(), self._generator.info.medium
        if capabilities.is_direct and not via:
            return self._find_path(None)
        if via not in capabilities.translators and not self._is_named(via):
            known = ", ".join(capabilities.translators)
            raise ConfigError(
                capabilities.why_not
                or f"no such translator leads to {medium}s; take one of: {known or 'none'}"
            )
        return self._find_path(via)

    def find_text_path(self) -> ConditioningPath:
        """Return the path of words.

        Raises:
            ConfigError: the generator does not read them.
        """
        return self._verify(self._find(GenerationRequest(texts=("words",))))

    def find_sound_path(self) -> ConditioningPath:
        """Return the path of sounds.

        Raises:
            ConfigError: the dataset has no encoder of sounds.
            SpaceError: its sounds are in another space than the generator's.
        """
        return self._verify(self._find(GenerationRequest(sounds=(Path("sound"),))))

    def encode_sound(self, data: bytes, column: Column) -> np.ndarray:
        """Return the vector of a sound by the dataset's encoder of a column, float32 [1, D].

        Raises:
            ConfigError: it cannot be decoded, is too short, or is silent.
        """
        assert self._family is not None
        assert get_family(column) == get_family(self._generator.info.columns[0])
        tower, space = get_tower(self._family, "audio"), self._family.space
        try:
            check_audible(data, "the sound")
            return np.asarray(encode(tower, [tower.prepare(data)], space.batch_rows)[0])
        except UndecodableMediaError as error:
            raise ConfigError(
                f"the sound cannot be read ({error.reason}); give a WAV, FLAC, MP3 or Ogg"
            ) from error

    def encode_text(self, text: str, column: Column) -> np.ndarray:
        """Return the vector of a text by the dataset's encoder of a column, float16 [D]."""
        assert self._family is not None
        tower, space = get_tower(self._family, "text"), self._family.space
        assert get_family(column) == get_family(self._generator.info.columns[0])
        return np.asarray(encode(tower, [tower.prepare(text)], space.batch_rows)[0][0].astype(np.float16))

    def _list_ranked(self) -> list[TranslatorCard]:
        """Return the default translator, then the others by their validation."""
        spaces = read_spaces(self._root, self._dataset.encode.set)
        ranked = rank_cards(translator.read_cards(self._root))
        first = find_default(self._root, spaces, [_PICTURES], [self._generator.info.columns[0], *spaces])
        return sorted(ranked, key=lambda card: first is None or card.name != first.name)

    def _is_named(self, via: str | None) -> bool:
        """Return whether a translator that is not offered can be used."""
        cards = [card for card in translator.read_cards(self._root) if card.name == via]
        return bool(cards) and self._is_usable(cards[0])

    def _is_direct(self) -> bool:
        try:
            return self._find_path(None).translator is None
        except (ConfigError, SpaceError):
            return False

    def _is_usable(self, card: TranslatorCard) -> bool:
        key = card.name, card.weights_sha256
        if key not in self._usable:
            try:
                self._find_path(card.name)
            except (ConfigError, SpaceError):
                self._usable[key] = False
            else:
                self._usable[key] = True
        return self._usable[key]

    def _find_path(self, via: str | None) -> ConditioningPath:
        """Return the conditioning path of a picture by a translator, or by itself.

        Raises:
            SpaceError: it does not lead to the generator's own space.
        """
        # Without a translator, a column of pictures that a tower made in the generator's space comes first.
        column = _PICTURES if via else None
        return self._verify(self._find(GenerationRequest(via=via, column=column, pictures=("picture",))))

    def _find(self, request: GenerationRequest) -> ConditioningPath:
        version = versions.read_current(self._root, self._dataset.encode.set)
        return find_path(self._root, version, request, self._generator.info)

    def _verify(self, path: ConditioningPath) -> ConditioningPath:
        if path.space is not None and (error := self._check_space(path.space)):
            raise error
        for each in path.conditions:
            if get_family(each.target) == get_family(self._generator.info.columns[0]):
                self._check_media(each.target)
        return path

    def _explain_sounds(self) -> str:
        try:
            self.find_sound_path()
        except (ConfigError, SpaceError) as error:
            return str(error)
        return ""

    def _check_media(self, target: Column) -> None:
        """Refuse vectors of media whose tower is not that of the texts; each column is compared once."""
        if target not in self._media_errors:
            assert self._family is not None
            version = versions.read_current(self._root, self._dataset.encode.set)
            stored = versions.open_vectors(self._root, version)
            self._media_errors[target] = None
            try:
                check_media_tower(self._generator, target, self._family, stored, "the way from pictures")
            except SpaceError as error:
                self._media_errors[target] = error
        if (found := self._media_errors[target]) is not None:
            raise found

    def _check_space(self, space: Space) -> EcholensError | None:
        if space not in self._space_errors:
            try:
                column = self._generator.info.columns[0]
                check_own_space(self._generator, column, self._family, space, "the way from pictures")
            except SpaceError as error:
                self._space_errors[space] = error
            else:
                self._space_errors[space] = None
        return self._space_errors[space]

    def _explain_missing(self) -> str:
        info = self._generator.info
        reads = info.columns[0]
        family = get_family(reads)
        if self._family is None:
            advice = info.advice or f"build a set with an encoder of {family}"
            return (
                f"this dataset has no {family.upper()}, so nothing leads from pictures to generator "
                f"{info.name}; {advice} and train a translator from its {_PICTURES} to its {reads}"
            )
        if error := self._check_space(self._family.space):
            return str(error)
        others = f" or {family}_text" if reads != f"{family}_text" else ""
        return (
            f"no translator leads from pictures to the {family.upper()} of generator {info.name}; train one "
            f"from {_PICTURES} to {reads}{others} with `echolens train`"
        )

    @cached_property
    def _family(self) -> EncoderSpec | None:
        """The dataset's encoder of the family that the generator reads."""
        encode = self._dataset.encode
        family = get_family(self._generator.info.columns[0])
        return resolve_entry(encode, family, read_spaces(self._root, encode.set))


def format_command(
    request: PageRequest,
    path: ConditioningPath | None,
    generator: ChosenGenerator,
    params: Mapping[str, Any],
) -> str:
    """Return the command that generates the same bytes.

    Args:
        request: of the page.
        path: of its prompt; None for a prior.
        generator: that generated.
        params: of it that were used.
    """
    source = ["--limit", "1"] if path is None else ["--images", "FILE"]
    if request.sound is not None:
        words = ["--text", shlex.quote(request.text)] if request.text else []
        source = ["--audio", "FILE", *words]
    elif request.text:
        source = ["--text", shlex.quote(request.text)]
    elif path is not None:
        via = ["--via", path.translator.name] if path.translator else []
        source = [*via, "--column", path.source or _PICTURES, *source]
    flags = [f"--seed {request.seed}"]
    for key, value in params.items():
        if key in ("length_s", "steps"):
            flags.append(f"--{key.replace('_', '-')} {value:g}")
        elif value != generator.spec.params.model_fields[key].default:
            flags.append(f"--param {shlex.quote(f'{key}={value}')}")
    flags.append(f"--generator {shlex.quote(generator.info.name)}")
    if "batch_rows" in getattr(generator.spec, "__dataclass_fields__", {}):
        flags.append(f"--batch-rows {generator.info.batch_rows}")
    return f"echolens generate ROOT {' '.join(source)} {' '.join(flags)}"
