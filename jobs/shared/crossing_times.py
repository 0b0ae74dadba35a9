"""Milliseconds from the file of a picture to its vector in a space of sounds, by translators and towers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.compute.child_process import run_in_subprocess
from pipelines.store.root import Root
from schemas.custom_loader import OtherEncoder
from schemas.dataset import Dataset
from schemas.encoders import TOWER
from schemas.model_card import ModelCard
from schemas.translator_card import TranslatorCard

# Pictures of a turn; the fastest of three turns counts.
_PICTURES, _TURNS = 32, 3


def time_crossings(
    dataset: Dataset, cards: Sequence[TranslatorCard], models: Sequence[ModelCard]
) -> dict[str, float]:
    """Return name -> milliseconds a picture, in batches, of all that begins at a picture.

    Args:
        dataset: with the pictures.
        cards: of translators.
        models: of which the towers count.
    """
    return run_in_subprocess(_time_all, dataset, [*cards], [*models])


def _time_all(
    dataset: Dataset, cards: Sequence[TranslatorCard], models: Sequence[ModelCard]
) -> dict[str, float]:
    from pipelines.encode.encoder import EncoderSpec, encode, find_spec, get_tower
    from pipelines.encode.places import locate_tower
    from pipelines.encode.registry import make_loader
    from pipelines.encode.resolve import resolve
    from pipelines.translate.translator import Translator

    pictures = _read_pictures(dataset)
    if not pictures:
        return {}
    root, found = Root.from_dataset(dataset), dict[str, float]()

    def embed(spec: EncoderSpec) -> np.ndarray:
        tower = get_tower(spec, "image")
        pieces = [tower.prepare(data) for data in pictures]
        return encode(tower, pieces, spec.space.batch_rows)[0]

    for model in models:
        if model.retrieval is None:
            continue
        entry: Any = locate_tower(dataset.encode, OtherEncoder(loader=TOWER, weights=model.name))
        loader = make_loader(entry, "clap_image", "fp32", ())
        assert loader is not None
        spec = EncoderSpec(loader.space(), loader)
        found[model.name] = _time(partial(embed, spec), len(pictures))
    encoders = resolve(dataset.encode)
    seen = {card.source for card in cards if card.source.endswith("_image")}
    for column in seen:
        spec = find_spec(encoders, column)
        units_ND, base = embed(spec), _time(partial(embed, spec), len(pictures))
        for card in cards:
            if card.source == column:
                translator = Translator.open(root, card.name)
                found[card.name] = base + _time(
                    partial(translator.translate, units_ND, card.source_space), len(pictures)
                )
    return found


def _time(work: Callable[[], Any], pictures: int) -> float:
    """Return the milliseconds a picture of the fastest turn; the first one only warms up."""
    seconds = []
    for _ in range(_TURNS + 1):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1000 * min(seconds[1:]) / pictures


def _read_pictures(dataset: Dataset) -> list[bytes]:
    """Return the first pictures of the version, as many as a turn takes or fewer."""
    from pipelines.lookup.media import MediaReader
    from pipelines.lookup.rows import VersionRows
    from pipelines.store import versions
    from schemas.candidate import format_key, parse_key

    root = Root.from_dataset(dataset)
    version = versions.read_current(root, dataset.encode.set)
    keys = versions.open_vectors(root, version).read_keys("clip_image")[1][:_PICTURES].tolist()
    reader = MediaReader(VersionRows(root, version, dataset.shard_rows))
    named = [format_key(*parse_key(key, dataset.shard_rows), dataset.shard_rows) for key in keys]
    return [reader.read(key, "picture")[0] for key in named]
