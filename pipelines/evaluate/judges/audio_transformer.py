"""The audio spectrogram transformer as a judge of sounds: a classifier of AudioSet, by transformers.

ast:MIT/ast-finetuned-audioset-10-10-0.4593[@COMMIT]  ast:FOLDER
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.pretrained import PretrainedModel
from pipelines.encode.loaders.weights import as_config_errors, compute_fingerprint
from pipelines.evaluate.judges.judge import MediaJudge
from pipelines.evaluate.judges.spec import WeightsSpec, split_revision
from pipelines.evaluate.judges.waves import read_waves, run_pieces

_HOP = 160


class AstJudge:
    """An ASTForAudioClassification.

    Args:
        name: as a person wrote it.
        net: the classifier.
        extractor: its ASTFeatureExtractor.
    """

    medium = "sound"

    def __init__(self, name: str, net: Any, extractor: Any) -> None:
        self.name, self._net, self._extractor = name, net, extractor
        self.rate_hz: int = extractor.sampling_rate
        self._labels = [str(label).lower() for _, label in sorted(net.config.id2label.items())]
        self._dims: int = net.config.hidden_size

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the pooled states of sounds, [N, D]; NaN where one cannot be decoded."""
        return self._run(files)[:, : self._dims]

    def embed_texts(self, texts: Sequence[str]) -> None:  # noqa: ARG002
        """Return None: it has no text tower."""
        return

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the logits of its labels that are named as the classes, of all without classes."""
        names = [name.lower() for name in classes] or self._labels
        if set(names) - set(self._labels):
            return None
        return self._run(files)[:, self._dims :][:, [self._labels.index(name) for name in names]]

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]] | None:  # noqa: ARG002
        """Return None: it reads none."""
        return None

    def _run(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return pooled states and logits beside each other; the mean over the windows of long sounds."""
        waves = read_waves(files, self.rate_hz, self._extractor.max_length * _HOP)
        return run_pieces(waves, self._forward, self._dims + len(self._labels))

    def _forward(self, wave_T: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        features = self._extractor(wave_T, sampling_rate=self.rate_hz, return_tensors="pt")["input_values"]
        with torch.inference_mode():
            pooled = self._net.audio_spectrogram_transformer(features.to(choose_device())).pooler_output
            both = torch.cat([pooled, self._net.classifier(pooled)], 1)[0].float().cpu()
            return np.asarray(both.numpy(), np.float32)


class AstSpec(WeightsSpec):
    """An audio spectrogram transformer, from a folder or the hub."""

    @cached_property
    def _saved(self) -> PretrainedModel:
        return PretrainedModel.find(f"judge {self.name}", self.weights, self.revision)

    def _load(self) -> MediaJudge:
        import torch
        import transformers

        self._saved.read_config("audio-spectrogram-transformer")
        folder = self._saved.folder
        with as_config_errors(f"judge {self.name}", f"the feature extractor in {folder}"):
            extractor = transformers.AutoFeatureExtractor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, trust_remote_code=False
            )
        net = self._saved.load_net(transformers.ASTForAudioClassification, torch.float32)
        return cast(MediaJudge, AstJudge(self.name, net, extractor))

    def _hash(self) -> str:
        return compute_fingerprint(self._saved.weights)


def choose_ast(name: str, place: str) -> AstSpec:
    """Return an audio spectrogram transformer as a judge of sounds.

    Args:
        name: as a person wrote it.
        place: what follows `ast:`.
    """
    return AstSpec(name, *split_revision(place))


JUDGES = {"ast": choose_ast}
