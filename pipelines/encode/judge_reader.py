"""A pocket judge at work: files of pictures or sounds -> embeddings, and the attributes that they show.

Shapes: N files, P pieces (windows of a long sound), E dimensions of the embedding, V values of an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.image import decode_image
from pipelines.encode.loaders.waveform import decode_mono, find_window_starts
from pipelines.encode.loaders.weights import as_config_errors
from pipelines.errors import ConfigError, UndecodableMediaError
from schemas.media import Medium

if TYPE_CHECKING:
    from torch import Tensor

PICTURE_PX = 96
RATE_HZ = 16_000
WINDOW = 81_920  # samples: 5.12 s
_BATCH_ROWS = 32


def prepare_picture(item: bytes) -> NDArray[np.generic]:
    """Return a picture file as RGB of 96 x 96 px, squashed, uint8 [1, 96, 96, 3].

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    from PIL import Image

    picture = decode_image(item).convert("RGB")
    size = (PICTURE_PX, PICTURE_PX)
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.uint8)[None]


def prepare_sound(item: bytes) -> NDArray[np.generic]:
    """Return a sound file as windows of 5.12 s at 16 kHz, float32 [P, T]; a short one ends in silence.

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    wave_T = decode_mono(item, RATE_HZ)
    windows = [wave_T[start : start + WINDOW] for start in find_window_starts(len(wave_T), WINDOW)]
    return np.stack([np.pad(each, (0, WINDOW - len(each))) for each in windows])


PREPARE: Mapping[Medium, Callable[[bytes], NDArray[np.generic]]] = {
    "picture": prepare_picture,
    "sound": prepare_sound,
}


@dataclass(frozen=True)
class JudgeReadings:
    """What a judge finds in files; rows of files that cannot be decoded are NaN.

    Attributes:
        embedded_NE: float32, of any length.
        logits: attribute -> float32 [N, V].
    """

    embedded_NE: NDArray[np.float32]
    logits: Mapping[str, NDArray[np.float32]]


class JudgeReader:
    """A pocket judge with its weights.

    Attributes:
        medium: of its files.
        values: attribute -> the values of its logits.
    """

    def __init__(self, folder: Path) -> None:
        """Load the weights of a folder, onto the GPU if there is one.

        Raises:
            ConfigError: there are none, or they do not fit the net.
        """
        from pipelines.models import judge_nets

        if not (folder / judge_nets.CONFIG).is_file():
            raise ConfigError(
                f"there is no {judge_nets.CONFIG} in {folder}; train the pocket judges with `echolens pocket "
                "judges`"
            )
        with as_config_errors("pocket judge", str(folder)):
            net, self.values = judge_nets.load_judge_net(folder)
        self.medium: Medium = "picture" if "colour" in self.values else "sound"
        self.dims = judge_nets.EMBEDDING_DIMS
        self._net = net.to(choose_device())
        self._front = judge_nets.LogMel().to(choose_device())

    def read(self, files: Sequence[bytes]) -> JudgeReadings:
        """Return embeddings and logits of files; those of a long sound are means over its windows."""
        embedded_NE = np.full((len(files), self.dims), np.nan, np.float32)
        logits = {
            name: np.full((len(files), len(values)), np.nan, np.float32)
            for name, values in self.values.items()
        }
        pieces: dict[int, NDArray[np.generic]] = {}
        for row, file in enumerate(files):
            try:
                pieces[row] = PREPARE[self.medium](file)
            except UndecodableMediaError:
                continue
        if pieces:
            starts = np.cumsum([0, *(len(each) for each in pieces.values())])[:-1]
            counts = np.array([len(each) for each in pieces.values()])[:, None]
            embedded_PE, found = self._forward(np.concatenate([*pieces.values()]))
            rows = [*pieces]
            embedded_NE[rows] = np.add.reduceat(embedded_PE, starts) / counts
            for name, logits_PV in found.items():
                logits[name][rows] = np.add.reduceat(logits_PV, starts) / counts
        return JudgeReadings(embedded_NE, logits)

    def _forward(
        self, pieces: NDArray[np.generic]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        import torch

        embedded: list[Tensor] = []
        read: list[dict[str, Tensor]] = []
        with torch.inference_mode():
            for part in torch.split(torch.from_numpy(pieces), _BATCH_ROWS):
                embedded.append(self._net.embed(self._standardize(part.to(choose_device()))).cpu())
                read.append(self._net.read(embedded[-1].to(choose_device())))
        logits = {name: torch.cat([each[name].cpu() for each in read]).numpy() for name in self.values}
        return torch.cat(embedded).numpy(), logits

    def _standardize(self, pieces: Tensor) -> Tensor:
        if self.medium == "picture":
            return pieces.permute(0, 3, 1, 2).float() / 255
        spectrograms: Tensor = self._front(pieces)
        return spectrograms
