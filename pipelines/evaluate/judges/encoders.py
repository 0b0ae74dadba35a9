"""CLIPs and CLAPs as judges: they embed media and texts, and classify by the nearest text.

    clip:pocket  clip:FOLDER  clip:OWNER/NAME[@COMMIT]  clip:MODEL:TAG  clip:hf-hub:OWNER/NAME
    clap:pocket  clap:FOLDER  clap:OWNER/NAME[@COMMIT]  clap:FILE.pt

Shapes: N files, C classes, D dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.encoder import EncoderLoader, EncoderSpec, encode, get_tower
from pipelines.encode.loaders.laion_clap import LaionClap
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.loaders.transformers_clip import TransformersClip
from pipelines.errors import ConfigError
from pipelines.evaluate.judges.spec import as_judge_errors, split_revision
from pipelines.generate.judge import Judge, SampleScorer
from pipelines.generate.media import MEDIA
from schemas.media import Medium

# Factor from cosines to zero-shot logits, as in CLIP and CLAP.
_SCALE = 100.0
_BATCH_ROWS = 8
# LAION's checkpoints hold no tokenizer.
_TOKENIZER = "roberta-base"


class EncoderJudge:
    """An encoder that embeds a medium and texts.

    Args:
        name: as a person wrote it.
        medium: of the files.
        spec: of the encoder.
    """

    def __init__(self, name: str, medium: Medium, spec: EncoderSpec) -> None:
        self.name, self.medium = name, medium
        rate = re.search(r"mono (\d+) Hz", spec.space.preprocessing) if medium == "sound" else None
        self.rate_hz = int(rate[1]) if rate else None
        self._scorer = SampleScorer(Judge(spec, MEDIA[medium].modality))
        self._text, self._batch_rows = get_tower(spec, "text"), spec.space.batch_rows

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return unit vectors of files, [N, D]; NaN where one cannot be decoded."""
        return self._scorer.embed(files)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of texts, [N, D]."""
        return encode(self._text, [self._text.prepare(text) for text in texts], self._batch_rows)[0]

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the cosines to the words of classes, times 100; None without classes: it has none itself."""
        if not classes:
            return None
        return np.asarray(_SCALE * self.embed(files) @ self.embed_texts(classes).T, np.float32)

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]] | None:  # noqa: ARG002
        """Return None: it reads none."""
        return None


@dataclass(frozen=True)
class EncoderJudgeSpec:
    """An encoder as a judge.

    Attributes:
        name: as a person wrote it.
        medium: of the files.
        loader: of the encoder.
    """

    name: str
    medium: Medium
    loader: EncoderLoader

    def open(self) -> EncoderJudge:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are missing, or do not fit the net.
        """
        with as_judge_errors(self.name):
            return EncoderJudge(self.name, self.medium, EncoderSpec(self.loader.space(), self.loader))

    def fingerprint(self) -> str:
        """Return the sha256 of the weights.

        Raises:
            ConfigError: they are missing.
        """
        with as_judge_errors(self.name):
            return self.loader.space().weights_sha256

    def spaces(self) -> tuple[str, ...]:
        """Return the identity of its space."""
        with as_judge_errors(self.name):
            return (self.loader.space().identity,)


def choose_clap(name: str, place: str) -> EncoderJudgeSpec:
    """Return a CLAP as a judge of sounds.

    Args:
        name: as a person wrote it.
        place: what follows `clap:`.
    """
    weights, revision = split_revision(place)
    loader: EncoderLoader
    if place == "pocket":
        loader = make_pocket_clap("fp32")
    elif weights.endswith((".pt", ".ckpt")):
        loader = LaionClap(weights, revision, _TOKENIZER, "fp32", _BATCH_ROWS)
    else:
        loader = TransformersClap(_resolve(weights), revision, "fp32", _BATCH_ROWS)
    return EncoderJudgeSpec(name, "sound", loader)


def choose_clip(name: str, place: str) -> EncoderJudgeSpec:
    """Return a CLIP as a judge of pictures.

    Args:
        name: as a person wrote it.
        place: what follows `clip:`.

    Raises:
        ConfigError: it names neither a folder, a repository nor a model of open_clip with its weights.
    """
    weights, revision = split_revision(place)
    loader: EncoderLoader
    model, colon, tag = place.partition(":")
    if place == "pocket":
        loader = make_pocket_clip("fp32")
    elif (Path(weights) / "open_clip_config.json").is_file():
        loader = OpenClip(f"local-dir:{_resolve(weights)}", "", "fp32", _BATCH_ROWS)
    elif place.startswith("hf-hub:"):
        loader = OpenClip(place, "", "fp32", _BATCH_ROWS)
    elif colon:
        loader = OpenClip(model, tag, "fp32", _BATCH_ROWS)
    elif "/" in weights or Path(weights).is_dir():
        loader = TransformersClip(_resolve(weights), revision, "fp32", _BATCH_ROWS)
    else:
        raise ConfigError(
            f"judge {name}: {place!r} is neither a folder nor OWNER/NAME of the hub; give one, or MODEL:TAG "
            "as open_clip has them, as in clip:ViT-B-32-quickgelu:openai"
        )
    return EncoderJudgeSpec(name, "picture", loader)


def _resolve(weights: str) -> str:
    return str(Path(weights).resolve()) if Path(weights).is_dir() else weights


JUDGES = {"clap": choose_clap, "clip": choose_clip}
