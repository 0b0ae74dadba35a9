"""What a NAME stands for, and what was made of it: wanted.json before, card.json after."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipelines.errors import ConfigError, StorageError
from pipelines.generate.step import GenerateStep, get_folder
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.generated import GeneratedCard, GenerationManifest
from schemas.outcome import format_outcome
from schemas.space import Space


def write_manifest(root: Root, wanted: GenerationManifest) -> None:
    """Write down what a NAME stands for."""
    root.write(_wanted(wanted.name), (wanted.model_dump_json(indent=2) + "\n").encode())


def read_manifest(root: Root, wanted: GenerationManifest) -> GenerationManifest | None:
    """Return what was written down of a NAME, which names the version it is of; None if nothing was.

    Raises:
        ConfigError: the NAME stands for something else.
        StorageError: what was written is damaged.
    """
    name = _wanted(wanted.name)
    if not root.exists(name):
        return None
    try:
        there = GenerationManifest.model_validate_json(root.read(name))
    except ValidationError as error:
        raise StorageError(
            f"{root.url}/{name} is damaged; remove {get_folder(wanted.name)} and generate again"
        ) from error
    was, now = _flat(there.model_dump(mode="json")), _flat(wanted.model_dump(mode="json"))
    for key in sorted(was.keys() | now.keys()):
        if key not in _MAY_DIFFER and was.get(key) != now.get(key):
            raise ConfigError(
                f"the sounds of --name {wanted.name} are made with {key} {was.get(key)!r}, and "
                f"{now.get(key)!r} was asked for; give them another --name, or ask for the same"
            )
    return there


def _wanted(name: str) -> str:
    return f"{get_folder(name)}/wanted.json"


# Sounds of a version are those of that version, whatever came after.
_MAY_DIFFER = frozenset({"version", "generator.licence"})


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{before}{key}.") if isinstance(inner, dict) else {f"{before}{key}": inner}
    return found


def find_card(root: Root, name: str) -> GeneratedCard | None:
    """Return the card of a NAME, None if its sounds are not all there."""
    place = f"{get_folder(name)}/card.json"
    if not root.exists(place):
        return None
    try:
        return GeneratedCard.model_validate_json(root.read(place))
    except ValidationError:
        return None  # written again


def finish(
    step: GenerateStep, shards: Sequence[Shard], space: Space | None, gate_cosine: float | None
) -> GeneratedCard:
    """Count what all shards hold, write the card, and return it."""
    outcomes: Counter[str] = Counter()
    scores: list[float] = []
    sounds, sounds_s, digest = 0, 0.0, hashlib.sha256()
    for row in read_rows(step.root, step.wanted.name, shards):
        outcomes[format_outcome(row["outcome"], row["reason"])] += 1
        if row["sha256"] is not None:
            sounds, sounds_s = sounds + 1, sounds_s + row["length_s"]
            digest.update(bytes.fromhex(row["sha256"]))
            scores += [] if row["score"] is None else [row["score"]]
    card = GeneratedCard(
        wanted=step.wanted,
        space=space,
        gate_cosine=gate_cosine,
        judged_by=step.judge.space if step.judge else None,
        shards=len(shards),
        sounds=sounds,
        sounds_s=round(sounds_s, 3),
        outcomes=dict(sorted(outcomes.items())),
        mean_score=sum(scores) / len(scores) if scores else None,
        sounds_sha256=digest.hexdigest(),
    )
    step.root.write(f"{step.folder}/card.json", (card.model_dump_json(indent=2) + "\n").encode())
    return card


def read_rows(root: Root, name: str, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all shards of a NAME, in the order of their keys."""
    for shard in shards:
        yield from root.read_table(f"{get_folder(name)}/{shard.name}.parquet").to_pylist()


def read_sounds(root: Root, name: str, shard: Shard) -> Iterator[tuple[str, bytes]]:
    """Yield the key and the file of every sound of a shard."""
    data = root.read(f"{get_folder(name)}/{shard.name}.tar")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            key, _, kind = member.name.partition(".")
            file = tar.extractfile(member)
            if kind != "json" and file is not None:
                yield key, file.read()


def decode_sound(data: bytes) -> tuple[np.ndarray, int]:
    """Return a sound file as mono float32 [T], and its rate."""
    import soundfile

    wave_TC, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return wave_TC.mean(axis=1), int(rate_hz)
