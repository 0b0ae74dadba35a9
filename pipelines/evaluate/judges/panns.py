"""PANNs' Cnn14 as a judge of sounds, from a checkpoint of its authors; the net is that of laion_clap.

    panns:Cnn14_mAP=0.431.pth  panns:Cnn14_16k_mAP=0.438.pth

It is the embedder of FD and the classifier of KL and IS in audioldm_eval.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.laion_clap import import_nets
from pipelines.encode.loaders.weights import as_config_errors, compute_fingerprint, load_tensors
from pipelines.errors import ConfigError
from pipelines.evaluate.judges.judge import MediaJudge
from pipelines.evaluate.judges.spec import WeightsSpec
from pipelines.evaluate.judges.waves import read_waves, run_pieces

_DIMS = 2048
_WINDOW_KEY = "spectrogram_extractor.stft.conv_real.weight"
_CLASSES_KEY = "fc_audioset.weight"
# Window of the spectrogram -> rate, hop and highest frequency that the checkpoint was trained with.
_RATES = {1024: (32_000, 320, 14_000), 512: (16_000, 160, 8_000), 256: (8_000, 80, 4_000)}
# Six halvings of the frames: below that nothing would be left of a sound.
_SHORTEST_FRAMES = 64


class PannsJudge:
    """A Cnn14 with its 527 classes of AudioSet, whose names its checkpoint does not have.

    Args:
        name: as a person wrote it.
        net: the Cnn14.
        rate_hz: that it hears.
        hop: of its spectrograms, in samples.
    """

    medium = "sound"

    def __init__(self, name: str, net: Any, rate_hz: int, hop: int) -> None:
        self.name, self._net, self.rate_hz = name, net, rate_hz
        self._shortest = _SHORTEST_FRAMES * hop

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the embeddings of sounds, [N, 2048]; NaN where one cannot be decoded."""
        return self._run(files)[:, :_DIMS]

    def embed_texts(self, texts: Sequence[str]) -> None:  # noqa: ARG002
        """Return None: it has no text tower."""
        return

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the logits of all its classes; None if classes are named, since it knows no names."""
        return None if classes else self._run(files)[:, _DIMS:]

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]] | None:  # noqa: ARG002
        """Return None: it reads none."""
        return None

    def _run(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        width = _DIMS + len(self._net.fc_audioset.weight)
        return run_pieces(read_waves(files, self.rate_hz), self._forward, width)

    def _forward(self, wave_T: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        padded_T = np.pad(wave_T, (0, max(0, self._shortest - len(wave_T))))
        with torch.inference_mode():
            wave = torch.from_numpy(padded_T)[None]
            embedding = self._net({"waveform": wave}, device=choose_device())["embedding"]
            # Its own output is past the sigmoid, of which nothing certain can be undone.
            both = torch.cat([embedding, self._net.fc_audioset(embedding)], 1)[0].float().cpu()
            return np.asarray(both.numpy(), np.float32)


class PannsSpec(WeightsSpec):
    """A checkpoint of Cnn14."""

    def _load(self) -> MediaJudge:
        content = load_tensors(f"judge {self.name}", self._find())
        state = content.get("model", content) if isinstance(content, dict) else {}
        if not {_WINDOW_KEY, _CLASSES_KEY} <= state.keys():
            raise ConfigError(f"{self.weights} holds no Cnn14; name a checkpoint of PANNs' Cnn14")
        window = state[_WINDOW_KEY].shape[-1]
        if window not in _RATES:
            raise ConfigError(
                f"{self.weights} was trained with windows of {window} samples, so its rate is not known; "
                f"name a checkpoint with {', '.join(map(str, sorted(_RATES)))}"
            )
        rate_hz, hop, highest_hz = _RATES[window]
        import_nets()
        with as_config_errors(f"judge {self.name}", self.weights):
            net = importlib.import_module("clap_module.pann_model").Cnn14(
                rate_hz, window, hop, 64, 50, highest_hz, len(state[_CLASSES_KEY])
            )
            net.load_state_dict(state)
        net.eval().to(choose_device())
        return cast(MediaJudge, PannsJudge(self.name, net, rate_hz, hop))

    def _hash(self) -> str:
        return compute_fingerprint([self._find()])

    def _find(self) -> Path:
        file = Path(self.weights)
        if not file.is_file():
            raise ConfigError(f"there is no file {file}; name a checkpoint of PANNs' Cnn14")
        return file.resolve()


def choose_panns(name: str, place: str) -> PannsSpec:
    """Return a Cnn14 as a judge of sounds.

    Args:
        name: as a person wrote it.
        place: what follows `panns:`, a file.
    """
    return PannsSpec(name, place)


JUDGES = {"panns": choose_panns}
