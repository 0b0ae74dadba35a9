"""Meta's PE-AV as a judge of sounds: its audio and text towers, by transformers.

pe-av:facebook/pe-av-large[@COMMIT]  pe-av:FOLDER
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.pretrained import PretrainedModel
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.evaluate.judges.judge import MediaJudge
from pipelines.evaluate.judges.spec import WeightsSpec, split_revision
from pipelines.evaluate.judges.waves import read_waves, run_pieces

_SCALE = 100.0
_CLASSES = {"pe_audio": "PeAudioModel", "pe_audio_video": "PeAudioVideoModel"}


class PeAudioJudge:
    """PE-AV's audio and text towers.

    Args:
        name: as a person wrote it.
        net: a PeAudioModel.
        processor: of it.
    """

    medium = "sound"

    def __init__(self, name: str, net: Any, processor: Any) -> None:
        self.name, self._net, self._processor = name, net, processor
        self.rate_hz: int = processor.feature_extractor.sampling_rate

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return vectors of sounds, [N, D]; NaN where one cannot be decoded."""
        return run_pieces(
            read_waves(files, self.rate_hz), self._forward, self._net.audio_head.proj.out_features
        )

    def _forward(self, wave_T: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        # Without a mask: a sound alone has no padding but that of its last hop, which is reflected.
        inputs = self._processor.feature_extractor(
            wave_T, sampling_rate=self.rate_hz, return_tensors="pt", padding=False
        )
        values = inputs["input_values"].to(choose_device())
        with torch.inference_mode():
            found: NDArray[np.float32] = self._net.get_audio_embeds(values).float().cpu().numpy()[0]
        return found

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of texts, [N, D]."""
        import torch

        vectors = []
        for text in texts:
            tokens = self._processor.tokenizer(text, return_tensors="pt", truncation=True)
            parts = {key: tokens[key].to(choose_device()) for key in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                # Not get_text_audio_embeds, which asks its text model for no hidden states.
                states = self._net.text_model(**parts, output_hidden_states=True).hidden_states[-1]
                vectors.append(self._net.text_audio_head(states[:, 0]).float().cpu().numpy()[0])
        return np.stack(vectors)

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the cosines to the words of classes, times 100; None without classes: it has none itself."""
        if not classes:
            return None
        sounds, words = (
            each / np.linalg.norm(each, axis=1, keepdims=True)
            for each in (self.embed(files), self.embed_texts(classes))
        )
        return np.asarray(_SCALE * sounds @ words.T, np.float32)

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]] | None:  # noqa: ARG002
        """Return None: it reads none."""
        return None


class PeAudioSpec(WeightsSpec):
    """PE-AV, from a folder or the hub."""

    @cached_property
    def _saved(self) -> PretrainedModel:
        return PretrainedModel.find(f"judge {self.name}", self.weights, self.revision)

    def _load(self) -> MediaJudge:
        import torch
        import transformers

        config = self._saved.read_config(*_CLASSES)
        net = self._saved.load_net(getattr(transformers, _CLASSES[config.model_type]), torch.float32)
        audio = getattr(net, "audio_model", net)
        return cast(MediaJudge, PeAudioJudge(self.name, audio, self._saved.read_processor()))

    def _hash(self) -> str:
        return compute_fingerprint(self._saved.weights)


def choose_pe_audio(name: str, place: str) -> PeAudioSpec:
    """Return PE-AV as a judge of sounds.

    Args:
        name: as a person wrote it.
        place: what follows `pe-av:`.
    """
    return PeAudioSpec(name, *split_revision(place))


JUDGES = {"pe-av": choose_pe_audio}
