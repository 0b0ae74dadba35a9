"""Evaluates generated samples of any medium: how often their class is recognised.

Shapes: N samples, C classes, D dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from pipelines.encode.encoder import EncoderSpec, encode, get_tower
from pipelines.encode.resolve import resolve_entry
from pipelines.errors import ConfigError
from pipelines.generate.judge import Judge, SampleScorer
from pipelines.generate.media import MEDIA
from pipelines.generate.output import read_rows, read_samples
from pipelines.generate.prompts import PromptTables
from pipelines.generate.step import get_folder
from pipelines.store.root import Root
from schemas.candidate import parse_key
from schemas.encoders import Encode
from schemas.families import Column, Modality, get_family, get_modality
from schemas.generated import ClassifierScores, GeneratedScores, GenerationManifest
from schemas.space import Space

# Samples at most, the first by key.
MAX_SAMPLES = 2_000


def evaluate_media(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    encoders: Encode,
    pinned: Mapping[Column, Space],
    manifest: GenerationManifest,
    classes: Sequence[str],
) -> GeneratedScores:
    """Return how often a family that embeds the medium and texts finds the class of a sample.

    Args:
        root: of the dataset.
        shard_rows: of it.
        encoders: of it.
        pinned: column -> the space of the stored vectors.
        manifest: of the NAME.
        classes: words.

    Raises:
        ConfigError: the dataset has no such family.
    """
    modality = MEDIA[manifest.generator.medium].modality
    spec = _find_classifier(encoders, pinned, modality)
    if spec is None:
        raise ConfigError(
            f"the dataset's set has no encoder of {modality} and text, so nothing can classify; build a set "
            "with one"
        )
    found = islice(iterate_generated(root, manifest, shard_rows, classes), MAX_SAMPLES)
    known = [(data, expected) for _, data, expected in found if expected is not None]
    best: list[str] = []
    if known:
        units_ND = SampleScorer(Judge(spec, modality), fallback=0.0).embed([data for data, _ in known])
        tower = get_tower(spec, "text")
        words_CD = encode(tower, [tower.prepare(name) for name in classes], spec.space.batch_rows)[0]
        best = [classes[number] for number in (units_ND @ words_CD.T).argmax(1).tolist()]
    heard = count_right(f"zero-shot {spec.space}", [name for _, name in known], best, classes)
    return GeneratedScores(heard=heard, against_real=None, clap_score=None, clap_score_by=None)


def _find_classifier(
    encoders: Encode, pinned: Mapping[Column, Space], modality: Modality
) -> EncoderSpec | None:
    """Return the first family of a set that embeds a modality and texts."""
    families = dict.fromkeys(get_family(column) for column in pinned if get_modality(column) == modality)
    for family in families:
        if f"{family}_text" in pinned and encoders.find_key(f"{family}_{modality}") == family:
            return resolve_entry(encoders, family, pinned)
    return None


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


def count_right(
    classifier: str, expected: Sequence[str], found: Sequence[str], classes: Sequence[str]
) -> ClassifierScores:
    """Return the accuracy of a classifier.

    Args:
        classifier: its name.
        expected: the class of each sample.
        found: the class that it gave each.
        classes: all of them.
    """
    right: Counter[str] = Counter()
    total = Counter(expected)
    for wanted, given in zip(expected, found, strict=True):
        right[wanted] += given == wanted
    return ClassifierScores(
        classifier=classifier,
        classes=tuple(classes),
        samples=len(expected),
        accuracy=right.total() / len(expected) if expected else None,
        of_class={name: (right[name], count) for name, count in sorted(total.items())},
    )
