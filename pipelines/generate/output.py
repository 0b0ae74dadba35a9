"""The files of a NAME: its manifest (wanted.json) before, its card (card.json) after; and its samples."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.errors import ConfigError, DamagedArchiveError, StorageError
from pipelines.generate.media import MEDIUM_OF
from pipelines.generate.step import GenerateStep, get_folder
from pipelines.store.json_file import read_json
from pipelines.store.parquet_file import make_table_error
from pipelines.store.root import Root
from pipelines.store.shards import MAX_MEMBER_BYTES, Shard
from pipelines.store.untrusted_tar import iterate_infos, read_member
from schemas.generated import GeneratedCard, GenerationManifest
from schemas.generated_1 import convert_row
from schemas.outcome import format_outcome


def write_manifest(root: Root, manifest: GenerationManifest) -> None:
    """Write the manifest of a NAME."""
    root.write(_get_manifest_file(manifest.name), (manifest.model_dump_json(indent=2) + "\n").encode())


def read_manifest(root: Root, requested: GenerationManifest) -> GenerationManifest | None:
    """Return the stored manifest of a NAME; None if there is none yet.

    Args:
        root: of the dataset.
        requested: the manifest of the request, which must agree with the stored one but for its version.

    Raises:
        ConfigError: the NAME stands for something else.
        StorageError: the manifest is damaged.
    """
    file = _get_manifest_file(requested.name)
    if not root.exists(file):
        return None
    advice = f"remove {get_folder(requested.name)} and generate again"
    stored = read_json(root, file, GenerationManifest, advice)
    before, now = _flatten(stored.model_dump(mode="json")), _flatten(requested.model_dump(mode="json"))
    noun = stored.generator.medium
    for key in sorted(before.keys() | now.keys()):
        if key not in _MAY_DIFFER and before.get(key) != now.get(key):
            raise ConfigError(
                f"the {noun}s of --name {requested.name} are made with {key} {before.get(key)!r}, and "
                f"{now.get(key)!r} was asked for; give them another --name, or ask for the same"
            )
    return stored


def _get_manifest_file(name: str) -> str:
    return f"{get_folder(name)}/wanted.json"


# A NAME keeps the version that it was first requested for; a generator is known by its weights.
_MAY_DIFFER = frozenset({"version", "generator.licence", "generator.name"})


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flatten(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
    return flat


def find_card(root: Root, name: str) -> GeneratedCard | None:
    """Return the card of a NAME; None if its samples are incomplete."""
    file = f"{get_folder(name)}/card.json"
    if not root.exists(file):
        return None
    try:
        return read_json(root, file, GeneratedCard, "generate it again")
    except StorageError:
        return None  # written again


def write_card(step: GenerateStep, shards: Sequence[Shard], gate_cosine: float | None) -> GeneratedCard:
    """Summarise all shards of a step in its card; write and return it.

    Args:
        step: whose shards are all committed.
        shards: of its prompts.
        gate_cosine: of the space check; None if there was none.
    """
    outcomes: Counter[str] = Counter()
    scores: list[float] = []
    samples, length_s, digest = 0, 0.0, hashlib.sha256()
    for row in read_rows(step.root, step.manifest.name, shards):
        outcomes[format_outcome(row["outcome"], row["reason"])] += 1
        if row["sha256"] is not None:
            samples, length_s = samples + 1, length_s + (row["length_s"] or 0)
            digest.update(bytes.fromhex(row["sha256"]))
            scores += [] if row["score"] is None else [row["score"]]
    card = GeneratedCard(
        wanted=step.manifest,
        spaces=tuple(each.space for each in step.conditions),
        gate_cosine=gate_cosine,
        judged_by=step.judge.spec.space if step.judge else None,
        shards=len(shards),
        samples=samples,
        length_s=round(length_s, 3) if step.manifest.generator.medium == "sound" else None,
        outcomes=dict(sorted(outcomes.items())),
        mean_score=sum(scores) / len(scores) if scores else None,
        samples_sha256=digest.hexdigest(),
    )
    step.root.write(f"{step.folder}/card.json", (card.model_dump_json(indent=2) + "\n").encode())
    return card


def read_rows(root: Root, name: str, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
    """Yield the rows of shards of a NAME, in the order of their keys.

    Raises:
        StorageError: a table is missing or damaged.
    """
    for shard in shards:
        path = f"{get_folder(name)}/{shard.name}.parquet"
        try:
            yield from map(convert_row, root.read_table(path).to_pylist())
        except (KeyError, TypeError, ValueError) as error:
            raise make_table_error(f"{root.url}/{path}", "it is not a table of generated samples") from error
        except FileNotFoundError as error:
            raise StorageError(
                f"{root.url} has no {path}, which its card counts; remove {get_folder(name)} and "
                "generate again"
            ) from error


def read_samples(root: Root, name: str, shard: Shard) -> Iterator[tuple[str, bytes]]:
    """Yield the key and the file of every sample of a shard.

    Raises:
        StorageError: their tar is damaged.
    """
    path = f"{get_folder(name)}/{shard.name}.tar"
    try:
        with root.open(path) as file:
            for info in iterate_infos(file):
                key, _, suffix = info.name.partition(".")
                if suffix in MEDIUM_OF:
                    yield key, read_member(file, info, MAX_MEMBER_BYTES)
    except DamagedArchiveError as error:
        raise StorageError(
            f"{root.url}/{path} is damaged: {error}; remove {get_folder(name)} and generate again"
        ) from error
