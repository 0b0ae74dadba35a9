"""Prompts with weights that lead one picture together: `--prompt TEXT:W` and `--sound-prompt FILE:W`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.shared.external_media import check_sounds, encode_media, read_sound_files
from pipelines.errors import ConfigError, SpaceError
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np

    from pipelines.generate.request import GenerationRequest

_GUIDED = "guided"
_PICTURE, _TEXT, _SOUND = "clip_image", "clip_text", "clap_audio"
_LIST = "instruments"


def add_prompts(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of prompts with weights to a job's options, and return the parser."""
    add = parser.add_argument
    add(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT:W",
        help="of generator guided: words that lead each picture, or repel it if W is negative; repeat",
    )
    add(
        "--sound-prompt",
        action="append",
        default=[],
        metavar="FILE:W",
        help="the same with a sound; the root's translator takes it to the pictures",
    )
    add(
        "--keywords",
        type=int,
        default=0,
        metavar="N",
        help="the N words of --words that are nearest to each --sound-prompt are prompts, too",
    )
    add("--words", default=_LIST, metavar="FILE", help=f"of --keywords: a word a line; {_LIST} if not given")
    return parser


def has_prompts(args: argparse.Namespace) -> bool:
    """Return whether prompts with weights were given.

    Raises:
        ConfigError: keywords were asked for, and no sound that they could be of.
    """
    if args.keywords and not args.sound_prompt:
        raise ConfigError("--keywords names what is in a --sound-prompt, and there is none; give one")
    return bool(args.prompt or args.sound_prompt)


def is_alone(args: argparse.Namespace) -> bool:
    """Return whether prompts lead alone, and no rows, texts, sounds or pictures beside them."""
    given = (args.keys, args.images, args.audio, args.text, args.column, args.via)
    return has_prompts(args) and not any(given)


def get_options(args: argparse.Namespace, dataset: Dataset) -> dict[str, str]:
    """Return the keys of the generator's entry that follow from the prompts.

    Raises:
        ConfigError: the generator takes no prompts.
    """
    name = str(args.generator or getattr(dataset.generator, "name", "")).partition(":")[0]
    if has_prompts(args) and name != _GUIDED:
        raise ConfigError(
            f"--prompt and --sound-prompt lead the generator {_GUIDED}, and this one is {name}; add "
            f"--generator {_GUIDED}, or give --text and --audio"
        )
    return {"column": "none"} if is_alone(args) else {}


def with_prompts(dataset: Dataset, request: GenerationRequest, args: argparse.Namespace) -> GenerationRequest:
    """Return a request whose pictures are led by prompts.

    Args:
        dataset: whose encoders and translator make vectors of them.
        request: to add them to.
        args: of the command line.

    Raises:
        ConfigError: the weights are all 0, a file is not there, or nothing makes vectors of them.
        SpaceError: the vectors are not of the guide's space.
    """
    from pipelines.generate.guided.params import GuidanceTarget, encode_vector, parse_weighted

    texts = [parse_weighted(text) for text in args.prompt]
    sounds = [parse_weighted(text) for text in args.sound_prompt]
    if not any(weight for _, weight in (*texts, *sounds)):
        raise ConfigError("all weights are 0, so nothing leads the picture; give one that is not")
    _check_guide(dataset)
    paths = [Path(path) for path, _ in sounds]
    files, _ = read_sound_files(paths)
    check_sounds(paths, files)
    if args.keywords:
        texts += [(word, 1.0) for word in _find_keywords(dataset, files, args.words, args.keywords)]
    targets: list[Any] = []
    if texts:
        vectors_ND = encode_media(dataset, _TEXT, [text for text, _ in texts])
        targets += [
            GuidanceTarget(kind="text", name=text, weight=weight, vector=encode_vector(vector_D))
            for (text, weight), vector_D in zip(texts, vectors_ND, strict=True)
        ]
    if sounds:
        vectors_ND = _translate_sounds(dataset, paths, files)
        targets += [
            GuidanceTarget(kind="sound", name=path.name, weight=weight, vector=encode_vector(vector_D))
            for path, (_, weight), vector_D in zip(paths, sounds, vectors_ND, strict=True)
        ]
    params = {**request.params, "prompts": tuple(targets)}
    limit = request.limit or (1 if is_alone(args) else None)
    return replace(request, params=params, limit=limit)


def _check_guide(dataset: Dataset) -> None:
    """Refuse a dataset whose CLIP is not the guide's.

    Raises:
        SpaceError: it is another one.
    """
    from jobs.shared.generation import resolve_generator

    spaces = read_spaces(Root.from_dataset(dataset), dataset.encode.set)
    ((_, own),) = resolve_generator(dataset).info.spaces
    found = next((spaces[column] for column in (_PICTURE, _TEXT) if column in spaces), None)
    if found is None or found.identity != own:
        raise SpaceError(
            f"the guide's space is {own}, and the set has {found.identity if found else 'no CLIP'}; "
            "give generator.guide the dataset's CLIP, or build a set with the guide's"
        )


def _translate_sounds(dataset: Dataset, paths: Sequence[Path], files: Sequence[bytes]) -> np.ndarray:
    """Return the vectors of sounds in the space of pictures, float32 `[N, D]`.

    Raises:
        ConfigError: there is no translator, or a sound cannot be read.
    """
    import numpy as np

    from pipelines.translate.defaults import find_default
    from pipelines.translate.shipped import list_shipped
    from pipelines.translate.translator import Translator

    root = Root.from_dataset(dataset)
    spaces = read_spaces(root, dataset.encode.set)
    shipped = [card for card in list_shipped(spaces) if (card.source, card.target) == (_SOUND, _PICTURE)]
    card = find_default(root, spaces, [_SOUND], [_PICTURE, _TEXT]) or next(iter(shipped), None)
    if card is None:
        raise ConfigError(
            f"{root.url} has no translator from {_SOUND} to {_PICTURE}, so sounds lead to no picture; train "
            "one with `echolens train`"
        )
    print(f"generate: sounds via {card.name}", file=sys.stderr)
    units_ND = encode_media(dataset, _SOUND, files)
    if unread := [
        path for path, unit_D in zip(paths, units_ND, strict=True) if not np.isfinite(unit_D).all()
    ]:
        raise ConfigError(f"--sound-prompt {unread[0]} cannot be read as a sound; give another file")
    return np.asarray(Translator.open(root, card.name).translate(units_ND, card.source_space), np.float32)


def _find_keywords(dataset: Dataset, files: Sequence[bytes], words: str, count: int) -> list[str]:
    """Return the words of a list that are nearest to sounds, each once."""
    from pipelines.lookup.keywords import find_keywords
    from pipelines.lookup.search import Lookup
    from pipelines.lookup.word_lists import read_words
    from pipelines.store import versions

    listed, root = read_words(words), Root.from_dataset(dataset)
    lookup = Lookup.open(root, dataset, versions.read_current(root, dataset.encode.set))
    found = [
        each.word for data in files for each in find_keywords(lookup.encoders, _SOUND, data, listed, count)
    ]
    return [*dict.fromkeys(found)]
