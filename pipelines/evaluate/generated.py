"""Evaluates generated samples of any medium: what each of several judges finds in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pipelines.encode.resolve import resolve_entry
from pipelines.errors import ConfigError
from pipelines.evaluate.judges.encoders import EncoderJudgeSpec
from pipelines.evaluate.judges.independence import is_independent
from pipelines.evaluate.judges.judge import JudgeSpec
from pipelines.evaluate.judges.registry import choose_judges
from pipelines.evaluate.judges.waves import RESAMPLER
from pipelines.evaluate.real import iterate_real
from pipelines.evaluate.tally import JudgedRow, JudgeTally, compare_tallies
from pipelines.generate.media import MEDIA
from pipelines.generate.output import read_rows, read_samples
from pipelines.generate.prompts import PromptTables
from pipelines.generate.step import get_folder
from pipelines.store.root import Root
from schemas.candidate import parse_key
from schemas.encoders import Encode
from schemas.families import Column, get_family, get_modality
from schemas.generated import (
    ClassifierScores,
    GeneratedCard,
    GeneratedScores,
    GenerationManifest,
    JudgeScores,
)
from schemas.media import Medium
from schemas.space import Space

# Samples at most, the first by key: VGGSound's test split has 15,446 clips.
MAX_SAMPLES = 20_000
# Files in memory at a time.
_FILES = 64


def evaluate_samples(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    encoders: Encode,
    pinned: Mapping[Column, Space],
    card: GeneratedCard,
    classes: Sequence[str],
    judges: Sequence[str] = (),
    trusted: Collection[str] = (),
) -> GeneratedScores:
    """Return the scores of the samples of a card, by the dataset's own encoder and by judges that are named.

    Args:
        root: of the dataset.
        shard_rows: of it.
        encoders: of it.
        pinned: column -> the space of the stored vectors.
        card: of the samples.
        classes: words.
        judges: names of others.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: nothing can judge the samples, or a judge is not there.
    """
    manifest = card.wanted
    medium = manifest.generator.medium
    specs = choose_specs(encoders, pinned, medium, judges, trusted)
    tallies = [JudgeTally(spec, spec.open(), tuple(classes)) for spec in specs]
    rows: list[JudgedRow] = []
    for chunk in _cut(islice(iterate_generated(root, manifest, shard_rows, classes), MAX_SAMPLES)):
        for tally in tallies:
            tally.look([data for _, data, _ in chunk])
        rows += [_make_row(row, expected) for row, _, expected in chunk]
    real, keys = [each.copy_empty() for each in tallies], [row.source_key for row in rows if row.source_key]
    real_keys: list[str] = []
    for found in _cut(iterate_real(root, shard_rows, medium, keys, manifest.generator.rate_hz)):
        for tally in real:
            tally.look([data for _, data in found])
        real_keys += [key for key, _ in found]
    used = [*card.spaces, *([card.judged_by] if card.judged_by else [])]
    own_specs = [resolve_entry(encoders, key, pinned) for key in encoders.entries] if used else []
    known = [spec for spec in own_specs if spec is not None]
    scores = []
    for made, other in zip(tallies, real, strict=True):
        own = _score_alone(made, rows, is_independent(made.spec, made.judge, used, known))
        scores.append(own.model_copy(update={"against_real": compare_tallies(made, other, rows, real_keys)}))
    return GeneratedScores(judges=tuple(scores))


def choose_specs(
    encoders: Encode,
    pinned: Mapping[Column, Space],
    medium: Medium,
    judges: Sequence[str],
    trusted: Collection[str],
) -> list[JudgeSpec]:
    """Return the dataset's own encoder of a medium and texts, if it has one, and the judges that are named.

    Raises:
        ConfigError: there is neither, or a judge is not there.
    """
    specs: list[JudgeSpec] = [*_find_own(encoders, pinned, medium)]
    if judges:
        specs += choose_judges(judges, medium, trusted)
    if not specs:
        raise ConfigError(
            f"the dataset's set has no encoder of {MEDIA[medium].modality} and text, so nothing can judge; "
            "name judges with --judges, or build a set with one"
        )
    return specs


def _find_own(encoders: Encode, pinned: Mapping[Column, Space], medium: Medium) -> list[EncoderJudgeSpec]:
    """Return the first family of a set that embeds a medium and texts as a judge."""
    modality = MEDIA[medium].modality
    families = dict.fromkeys(get_family(column) for column in pinned if get_modality(column) == modality)
    for family in families:
        if f"{family}_text" in pinned and encoders.find_key(f"{family}_{modality}") == family:
            spec = resolve_entry(encoders, family, pinned)
            return [EncoderJudgeSpec(f"zero-shot {spec.space}", medium, spec.loader)] if spec else []
    return []


def _make_row(row: Mapping[str, object], expected: str | None) -> JudgedRow:
    key = str(row["source_key"]) if row["prompt"] == "row" else ""
    return JudgedRow(key, str(row["caption"]), expected)


def _score_alone(made: JudgeTally, rows: Sequence[JudgedRow], independent: bool) -> JudgeScores:
    """Return what a judge finds in samples by themselves."""
    named = made.name_classes()
    classified = None
    if named is not None or not rows:
        known = [row for row in made.find_usable() if rows[row].expected is not None]
        classified = count_right(
            [str(rows[row].expected) for row in known],
            [named[row] for row in known] if named else [],
            made.classes,
        )
    return JudgeScores(
        judge=made.spec.name,
        fingerprint=made.spec.fingerprint(),
        independent=independent,
        sampling_rate_hz=made.judge.rate_hz,
        resampler=RESAMPLER if made.judge.medium == "sound" else None,
        classified=classified,
        text_score=made.score_texts([row.caption for row in rows]),
        undecodable=len(rows) - len(made.find_usable()),
    )


def _cut(items: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(items, _FILES)):
        yield chunk


def iterate_generated(
    root: Root, manifest: GenerationManifest, shard_rows: int, classes: Sequence[str]
) -> Iterator[tuple[Mapping[str, object], bytes, str | None]]:
    """Yield the row, the file and the class of each sample of a NAME; the class is None if it is unknown.

    Args:
        root: of the dataset.
        manifest: of the NAME.
        shard_rows: of the dataset.
        classes: words; a row's class is its label, or else the only class that its caption names.
    """
    labels: dict[int, list[str | None]] = {}
    name = manifest.name
    tables = PromptTables(root, get_folder(name), manifest.settings.shard_samples)
    for shard in tables.read_shards() or []:
        rows = {row["key"]: row for row in read_rows(root, name, [shard])}
        for key, data in read_samples(root, name, shard):
            row, label = rows[key], None
            if row["prompt"] == "row":
                number, position = parse_key(row["source_key"], shard_rows)
                if number not in labels:
                    table = root.read_table(f"candidates/{number:05d}.parquet", columns=["label"])
                    labels[number] = table["label"].to_pylist()
                label = labels[number][position]
            yield row, data, find_class(classes, label, row["caption"])


def find_class(classes: Sequence[str], label: str | None, caption: str) -> str | None:
    """Return the class of a label, or else the only class that a caption names; None if there is none."""
    if label in classes:
        return label
    words = f" {' '.join(''.join(c if c.isalnum() else ' ' for c in caption.lower()).split())} "
    named = [name for name in classes if f" {name.lower()} " in words]
    return named[0] if len(named) == 1 else None


def count_right(expected: Sequence[str], found: Sequence[str], classes: Sequence[str]) -> ClassifierScores:
    """Return the accuracy of a classifier.

    Args:
        expected: the class of each sample.
        found: the class that it gave each.
        classes: all of them.
    """
    right: Counter[str] = Counter()
    total = Counter(expected)
    for wanted, given in zip(expected, found, strict=True):
        right[wanted] += given == wanted
    return ClassifierScores(
        classes=tuple(classes),
        samples=len(expected),
        accuracy=right.total() / len(expected) if expected else None,
        of_class={name: (right[name], count) for name, count in sorted(total.items())},
    )
