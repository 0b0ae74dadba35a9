"""Listens to generated sounds: which class they are heard as, how near they are to captions and real sounds.

Shapes: N sounds, C classes, D dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.resolve import resolve_family
from pipelines.errors import ConfigError, UndecodableMediaError
from pipelines.generate.output import decode_sound, read_rows, read_sounds
from pipelines.generate.prompts import PromptTables
from pipelines.generate.stages import encode_sound
from pipelines.generate.step import get_folder
from pipelines.metrics.sounds import Embedder, score
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_media
from schemas.candidate import parse_key
from schemas.dataset import Encode
from schemas.generated import ClassifierScores, GeneratedScores, GenerationManifest, SoundScores
from schemas.space import Space

# What every CLAP hears; `quantised` resamples with soxr's default, HQ.
_CLAP_RATE_HZ = 48_000
_RESAMPLER = "soxr HQ"
# Zero-shot logits are cosines times this, as CLAP's own.
_SCALE = 100.0
# Sounds that are listened to, in the order of their keys: 640 MB of 5 s.
MOST = 2_000
_BATCH_ROWS = 16
# Clips that are read from a tar at a time.
_MEDIA_ROWS = 64


class ZeroShotClassifier(Embedder):
    """A CLAP as a classifier: the class whose words are nearest to the sound."""

    def __init__(self, spec: EncoderSpec, classes: Sequence[str]) -> None:
        """Open the towers; the words of the classes are encoded once."""
        self.name = f"zero-shot {spec.space}"
        self.sampling_rate_hz, self.resampler = _CLAP_RATE_HZ, _RESAMPLER
        self._towers, self._batch_rows = spec.open(), spec.space.batch_rows
        self._classes_CD = self.encode_text(classes)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts, float32 [N, D]."""
        tower = self._towers["text"]
        return encode(tower, [tower.prepare(text) for text in texts], self._batch_rows)[0]

    def listen(self, sounds: list[np.ndarray], sampling_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """Return unit vectors float32 [N, D] and logits float32 [N, C]; zeros of what cannot be heard."""
        tower = self._towers["audio"]
        units_ND = np.zeros((len(sounds), self._classes_CD.shape[1]), np.float32)
        for first in range(0, len(sounds), _BATCH_ROWS):
            pieces = {}
            for number, wave_T in enumerate(sounds[first : first + _BATCH_ROWS], first):
                try:
                    pieces[number] = tower.prepare(encode_sound(wave_T, sampling_rate_hz, "wav"))
                except UndecodableMediaError:
                    continue
            if pieces:
                units_ND[[*pieces]] = encode(tower, [*pieces.values()], self._batch_rows)[0]
        return units_ND, _SCALE * units_ND @ self._classes_CD.T


@dataclass(frozen=True)
class DecodedSound:
    """One generated sound, decoded.

    Attributes:
        row: of the table.
        wave_T: mono float32.
        expected: its class, None where it is not known.
    """

    row: Mapping[str, object]
    wave_T: np.ndarray
    expected: str | None


def read_generated(
    root: Root, wanted: GenerationManifest, shard_rows: int, classes: Sequence[str]
) -> list[DecodedSound]:
    """Return the sounds of a NAME, `MOST` at most, with their classes where rows or captions say one.

    Args:
        root: of the dataset.
        wanted: the NAME.
        shard_rows: of the dataset.
        classes: words; a row is of the class that its list's label names, or else its caption alone.
    """
    shards = PromptTables(root, get_folder(wanted.name), wanted.making.shard_sounds).read_shards() or []
    return list(islice(_sounds(root, wanted, shards, shard_rows, classes), MOST))


def _sounds(
    root: Root, wanted: GenerationManifest, shards: Sequence[Shard], shard_rows: int, classes: Sequence[str]
) -> Iterator[DecodedSound]:
    labels: dict[int, list[str | None]] = {}
    for shard in shards:
        rows = {row["key"]: row for row in read_rows(root, wanted.name, [shard])}
        for key, data in read_sounds(root, wanted.name, shard):
            row, label = rows[key], None
            if row["prompt"] == "row":
                number, at = parse_key(row["source_key"], shard_rows)
                if number not in labels:
                    table = root.read_table(f"candidates/{number:05d}.parquet", columns=["label"])
                    labels[number] = table["label"].to_pylist()
                label = labels[number][at]
            yield DecodedSound(row, decode_sound(data)[0], find_class(classes, label, row["caption"]))


def find_class(classes: Sequence[str], label: str | None, caption: str) -> str | None:
    """Return the class that a label is, or the only one that a caption names; None if there is no such."""
    if label in classes:
        return label
    said = f" {' '.join(''.join(c if c.isalnum() else ' ' for c in caption.lower()).split())} "
    named = [name for name in classes if f" {name.lower()} " in said]
    return named[0] if len(named) == 1 else None


def classify(
    classifier: Embedder, sounds: Sequence[DecodedSound], rate_hz: int, classes: Sequence[str]
) -> ClassifierScores:
    """Return how often a classifier names the right class, of sounds whose class is known."""
    known = [sound for sound in sounds if sound.expected is not None]
    right: Counter[str] = Counter()
    total = Counter(str(sound.expected) for sound in known)
    if known:
        _, logits_NC = classifier.listen([sound.wave_T for sound in known], rate_hz)
        for sound, best in zip(known, logits_NC.argmax(1).tolist(), strict=True):
            right[str(sound.expected)] += classes[best] == sound.expected
    return ClassifierScores(
        classifier=classifier.name,
        sampling_rate_hz=classifier.sampling_rate_hz,
        resampler=classifier.resampler,
        classes=tuple(classes),
        sounds=len(known),
        accuracy=right.total() / len(known) if known else None,
        of_class={name: (right[name], count) for name, count in sorted(total.items())},
    )


def evaluate_sounds(  # noqa: PLR0913, PLR0917
    _: Path,
    __: object,
    root: Root,
    shard_rows: int,
    encoders: Encode,
    pinned: Mapping[str, Space],
    wanted: GenerationManifest,
    classes: Sequence[str],
    second: str | None,
) -> GeneratedScores:
    """Return what `write_scores` does, with the CLAP of a dataset; for `apart`.

    Raises:
        ConfigError: the dataset has none.
    """
    spec = resolve_family(encoders, "clap", pinned)
    if spec is None:
        raise ConfigError("the dataset's set has no CLAP, so nothing can listen; build a set with one")
    return write_scores(root, shard_rows, wanted, spec, classes, second)


def write_scores(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    wanted: GenerationManifest,
    judge: EncoderSpec,
    classes: Sequence[str],
    second: str | None = None,
) -> GeneratedScores:
    """Return what the sounds of a NAME are worth; FD, KL and IS where their rows have real sounds.

    Args:
        root: of the dataset.
        shard_rows: of it.
        wanted: the NAME.
        judge: the CLAP that classifies and embeds.
        classes: words.
        second: the folder of a CLAP that had no part in choosing, for the CLAP score; None for no such score.
    """
    rate_hz = wanted.generator.rate_hz
    sounds = read_generated(root, wanted, shard_rows, classes)
    classifier = ZeroShotClassifier(judge, classes)
    other = _spec(second) if second else None
    return GeneratedScores(
        heard=classify(classifier, sounds, rate_hz, classes),
        against_real=_against_real(root, shard_rows, sounds, rate_hz, classifier),
        clap_score=compute_clap_score(ZeroShotClassifier(other, classes), sounds, rate_hz) if other else None,
        clap_score_by=other.space if other else None,
    )


def compute_clap_score(
    clap: ZeroShotClassifier, sounds: Sequence[DecodedSound], rate_hz: int
) -> float | None:
    """Return the mean cosine of sounds and their captions; None if none has a caption."""
    said = [sound for sound in sounds if sound.row["caption"]]
    if not said:
        return None
    units_ND, _ = clap.listen([sound.wave_T for sound in said], rate_hz)
    texts_ND = clap.encode_text([str(sound.row["caption"]) for sound in said])
    return float((units_ND * texts_ND).sum(1).mean())


def _spec(folder: str) -> EncoderSpec:
    place = str(Path(folder).resolve()) if Path(folder).is_dir() else folder
    loader = TransformersClap(place, None, "fp32", 8)
    return EncoderSpec(loader.space(), loader)


def _against_real(
    root: Root, shard_rows: int, sounds: Sequence[DecodedSound], rate_hz: int, embedder: Embedder
) -> SoundScores | None:
    wanted = {str(sound.row["source_key"]) for sound in sounds if sound.row["prompt"] == "row"}
    real: dict[str, np.ndarray] = {}
    for number in sorted({parse_key(key, shard_rows)[0] for key in wanted}):
        shard = Shard(number, "clip", "local", 0)
        kinds = set(root.read_table(f"candidates/{shard.name}.parquet", columns=["kind"])["kind"].to_pylist())
        if kinds != {"clip"}:
            continue
        for batch in read_media(root, shard, _MEDIA_ROWS):
            for key, data in zip(batch["key"], batch["flac"], strict=True):
                if key in wanted:
                    real[key] = _at(*decode_sound(data), rate_hz)
    made = {str(sound.row["source_key"]): sound.wave_T for sound in sounds}
    if min(len(made), len(real)) <= 1:
        return None
    return score(embedder, made, real, rate_hz)


def _at(wave_T: np.ndarray, given_hz: int, rate_hz: int) -> np.ndarray:
    import soxr

    return np.asarray(soxr.resample(wave_T, given_hz, rate_hz) if given_hz != rate_hz else wave_T)
