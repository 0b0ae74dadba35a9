"""Evaluates generated samples: classes; of sounds also the distance to real sounds, and a CLAP score.

Shapes: N samples, C classes, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.resolve import resolve_entry
from pipelines.errors import ConfigError
from pipelines.evaluate.generated import count_right, evaluate_media, iterate_generated
from pipelines.generate.judge import Judge, SampleScorer
from pipelines.generate.media import decode_sound, encode_sound
from pipelines.metrics.sounds import Embedder, score
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_media
from schemas.candidate import parse_key
from schemas.encoders import Encode
from schemas.families import Column
from schemas.generated import ClassifierScores, GeneratedScores, GenerationManifest, SoundScores
from schemas.space import Space

# The input rate of every CLAP; its loaders resample with soxr's default, HQ.
_CLAP_RATE_HZ = 48_000
_RESAMPLER = "soxr HQ"
# Factor from cosines to zero-shot logits, as in CLAP.
_SCALE = 100.0
# Sounds at most, the first by key: 640 MB at 5 s.
MAX_SOUNDS = 2_000
_BATCH_ROWS = 16
# Clips read from a tar at a time.
_MEDIA_ROWS = 64


class ZeroShotClassifier(Embedder):
    """A CLAP as a zero-shot classifier: the class whose text vector is nearest."""

    def __init__(self, spec: EncoderSpec, classes: Sequence[str]) -> None:
        """Open the towers and encode the words of the classes."""
        self.name = f"zero-shot {spec.space}"
        self.sampling_rate_hz, self.resampler = _CLAP_RATE_HZ, _RESAMPLER
        self._text, self._batch_rows = spec.open()["text"], spec.space.batch_rows
        self._audio = SampleScorer(Judge(spec, "audio"), fallback=0.0)
        self._classes_CD = self.encode_text(classes)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts, float32 [N, D]."""
        return encode(self._text, [self._text.prepare(text) for text in texts], self._batch_rows)[0]

    def listen(self, sounds: list[np.ndarray], sampling_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """Return unit vectors float32 [N, D] and logits float32 [N, C]; zeros of undecodable sounds."""
        units_ND = np.zeros((len(sounds), self._classes_CD.shape[1]), np.float32)
        for first in range(0, len(sounds), _BATCH_ROWS):
            part = slice(first, first + _BATCH_ROWS)
            units_ND[part] = self._audio.embed(
                [encode_sound(wave_T, sampling_rate_hz, "wav") for wave_T in sounds[part]]
            )
        return units_ND, _SCALE * units_ND @ self._classes_CD.T


@dataclass(frozen=True)
class DecodedSound:
    """One generated sound, decoded.

    Attributes:
        row: of the table.
        wave_T: mono float32.
        expected: its class; None if unknown.
    """

    row: Mapping[str, object]
    wave_T: np.ndarray
    expected: str | None


def read_generated(
    root: Root, manifest: GenerationManifest, shard_rows: int, classes: Sequence[str]
) -> list[DecodedSound]:
    """Return the sounds of a NAME, `MAX_SOUNDS` at most, with their classes where they are known.

    They are at the rate that the generator states; where it states none, at CLAP's.

    Args:
        root: of the dataset.
        manifest: of the NAME.
        shard_rows: of the dataset.
        classes: words; a row's class is its label, or else the only class that its caption names.
    """
    found = iterate_generated(root, manifest, shard_rows, classes)
    rate_hz = manifest.generator.rate_hz or _CLAP_RATE_HZ
    return [
        DecodedSound(row, _resample(*decode_sound(data), rate_hz), expected)
        for row, data, expected in islice(found, MAX_SOUNDS)
    ]


def classify(
    classifier: Embedder, sounds: Sequence[DecodedSound], rate_hz: int, classes: Sequence[str]
) -> ClassifierScores:
    """Return the accuracy of a classifier on the sounds whose class is known."""
    known = [sound for sound in sounds if sound.expected is not None]
    found: list[str] = []
    if known:
        _, logits_NC = classifier.listen([sound.wave_T for sound in known], rate_hz)
        found = [classes[best] for best in logits_NC.argmax(1).tolist()]
    scores = count_right(classifier.name, [str(sound.expected) for sound in known], found, classes)
    return scores.model_copy(
        update={"sampling_rate_hz": classifier.sampling_rate_hz, "resampler": classifier.resampler}
    )


def evaluate_samples(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    encoders: Encode,
    pinned: Mapping[Column, Space],
    manifest: GenerationManifest,
    classes: Sequence[str],
    second: str | None,
) -> GeneratedScores:
    """Return the scores of sounds with the CLAP of a dataset, of other media with a family that embeds them.

    Raises:
        ConfigError: the dataset has none.
    """
    medium = manifest.generator.medium
    if medium != "sound":
        if second:
            raise ConfigError(f"--second-clap is for sounds, and these are {medium}s; leave it out")
        return evaluate_media(root, shard_rows, encoders, pinned, manifest, classes)
    spec = resolve_entry(encoders, "clap", pinned)
    if spec is None:
        raise ConfigError("the dataset's set has no CLAP, so nothing can listen; build a set with one")
    return compute_scores(root, shard_rows, manifest, spec, classes, second)


def compute_scores(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    manifest: GenerationManifest,
    judge: EncoderSpec,
    classes: Sequence[str],
    second: str | None = None,
) -> GeneratedScores:
    """Return the scores of the sounds of a NAME; FD, KL and IS where their rows have real sounds.

    Args:
        root: of the dataset.
        shard_rows: of it.
        manifest: of the NAME.
        judge: the CLAP that classifies and embeds.
        classes: words.
        second: the folder of a CLAP that did not select candidates, for the CLAP score; None for none.
    """
    rate_hz = manifest.generator.rate_hz or _CLAP_RATE_HZ
    sounds = read_generated(root, manifest, shard_rows, classes)
    classifier = ZeroShotClassifier(judge, classes)
    other = _make_spec(second) if second else None
    return GeneratedScores(
        heard=classify(classifier, sounds, rate_hz, classes),
        against_real=_compare_with_real(root, shard_rows, sounds, rate_hz, classifier),
        clap_score=compute_clap_score(ZeroShotClassifier(other, classes), sounds, rate_hz) if other else None,
        clap_score_by=other.space if other else None,
    )


def compute_clap_score(
    clap: ZeroShotClassifier, sounds: Sequence[DecodedSound], rate_hz: int
) -> float | None:
    """Return the mean cosine of sounds and their captions; None if none has a caption."""
    captioned = [sound for sound in sounds if sound.row["caption"]]
    if not captioned:
        return None
    units_ND, _ = clap.listen([sound.wave_T for sound in captioned], rate_hz)
    texts_ND = clap.encode_text([str(sound.row["caption"]) for sound in captioned])
    return float((units_ND * texts_ND).sum(1).mean())


def _make_spec(folder: str) -> EncoderSpec:
    weights = str(Path(folder).resolve()) if Path(folder).is_dir() else folder
    loader = TransformersClap(weights, None, "fp32", 8)
    return EncoderSpec(loader.space(), loader)


def _compare_with_real(
    root: Root, shard_rows: int, sounds: Sequence[DecodedSound], rate_hz: int, embedder: Embedder
) -> SoundScores | None:
    keys = {str(sound.row["source_key"]) for sound in sounds if sound.row["prompt"] == "row"}
    real: dict[str, np.ndarray] = {}
    for number in sorted({parse_key(key, shard_rows)[0] for key in keys}):
        shard = Shard(number, "clip", "local", 0)
        kinds = set(root.read_table(f"candidates/{shard.name}.parquet", columns=["kind"])["kind"].to_pylist())
        if kinds != {"clip"}:
            continue
        for batch in read_media(root, shard, _MEDIA_ROWS):
            for key, data in zip(batch["key"], batch["flac"], strict=True):
                if key in keys:
                    real[key] = _resample(*decode_sound(data), rate_hz)
    generated = {str(sound.row["source_key"]): sound.wave_T for sound in sounds}
    if min(len(generated), len(real)) <= 1:
        return None
    return score(embedder, generated, real, rate_hz)


def _resample(wave_T: np.ndarray, source_hz: int, rate_hz: int) -> np.ndarray:
    import soxr

    return np.asarray(soxr.resample(wave_T, source_hz, rate_hz) if source_hz != rate_hz else wave_T)
