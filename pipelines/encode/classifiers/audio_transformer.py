"""The audio spectrogram transformer, a classifier of AudioSet's 527 labels, by transformers.

by: ast:FOLDER   by: {loader: ast, weights: MIT/ast-finetuned-audioset-10-10-0.4593, revision: COMMIT}

Shapes: P windows, T frames, M mels, B rows of a batch, C classes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.compute.device import choose_device
from pipelines.encode.encoder import Tower
from pipelines.encode.loaders.pretrained import PretrainedModel
from pipelines.encode.loaders.waveform import decode_mono, find_window_starts
from pipelines.encode.loaders.weights import as_config_errors
from pipelines.errors import ConfigError

_WHERE = "encode.segment.by"
# Samples from one frame of its spectrogram to the next: 10 ms at 16 kHz.
_HOP = 160


@dataclass(frozen=True)
class AstClassifier:
    """An ASTForAudioClassification, from a folder or the hub.

    Attributes:
        weights: a folder, or a repository of the hub.
        revision: a commit of the repository; its newest if None.
    """

    weights: str
    revision: str | None = None

    def list_classes(self) -> tuple[str, ...]:
        """Return its labels."""
        saved = self._find()
        try:
            labels = json.loads((saved.folder / "config.json").read_bytes())["id2label"]
            return tuple(str(labels[key]) for key in sorted(labels, key=int))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"{_WHERE}: {saved.folder} has no config.json that names its labels (id2label); name "
                "a folder with a classifier"
            ) from error

    def load(self) -> Tower:
        """Load the weights, onto the GPU if there is one."""
        import torch
        import transformers

        saved = self._find()
        saved.read_config("audio-spectrogram-transformer")
        with as_config_errors(_WHERE, f"the feature extractor in {saved.folder}"):
            extractor = transformers.AutoFeatureExtractor.from_pretrained(  # type: ignore[no-untyped-call]
                saved.folder, local_files_only=True, trust_remote_code=False
            )
        return _AstTower(saved.load_net(transformers.ASTForAudioClassification, torch.float32), extractor)

    def _find(self) -> PretrainedModel:
        return PretrainedModel.find(_WHERE, self.weights, self.revision)


@dataclass(frozen=True)
class _AstTower:
    """Bytes of a sound file -> its windows, spectrograms [T, M] -> the probability of every label."""

    net: Any
    extractor: Any

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, mix to mono, resample and cut into windows, [P, T, M]; a short one is padded."""
        rate_hz, window = self.extractor.sampling_rate, self.extractor.max_length * _HOP
        wave_T = decode_mono(item, rate_hz)
        parts = [wave_T[start : start + window] for start in find_window_starts(len(wave_T), window)]
        features = self.extractor(parts, sampling_rate=rate_hz, return_tensors="np")["input_values"]
        return np.asarray(features, np.float32)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Return probabilities, float32 [B, C]; several labels may be heard at once."""
        import torch

        with torch.inference_mode():
            logits_BC = self.net(torch.from_numpy(pieces_B).to(choose_device())).logits
            shares_BC: np.ndarray = logits_BC.float().sigmoid().cpu().numpy()
        return shares_BC


CLASSIFIERS = {"ast": AstClassifier}
