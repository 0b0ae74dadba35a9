"""The nets of the pocket judges: a CNN and a transformer for pictures and for sounds, a head an attribute.

None of them shares an architecture or weights with a CLIP, a CLAP or a generator.

Shapes: N items, H x W pixels, F frames of M mel bands, E dimensions of the embedding.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

EMBEDDING_DIMS = 64
WEIGHTS, CONFIG = "model.safetensors", "config.json"

_HEADS = 4  # of the transformers


class ConvBlock(nn.Sequential):
    """A 3x3 convolution with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int | tuple[int, int] = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class ConvTrunk(nn.Sequential):
    """Convolutions down to an eighth or less, then the mean over all places beside the maximum."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        layers: list[nn.Module] = [ConvBlock(inputs, widths[0], 2)]
        for before, after in itertools.pairwise(widths):
            layers += [ConvBlock(before, after, 2), ConvBlock(after, after)]
        super().__init__(*layers)
        self.width = 2 * widths[-1]

    def forward(self, media: Tensor) -> Tensor:
        """Return pooled features, `[N, width]`."""
        features: Tensor = super().forward(media)  # type: ignore[no-untyped-call]
        places = features.flatten(2)
        return torch.cat([places.mean(2), places.amax(2)], 1)


class TransformerTrunk(nn.Module):
    """Convolutions, then a transformer over the patches that they leave, with mean and maximum of its tokens.

    The convolutions come first because a transformer of this size learns edges slowly from few pictures
    (Xiao et al. 2021, arXiv 2106.14881).

    Args:
        inputs: channels.
        tokens: that the patches make.
        patch: height and width of a patch of the convolutions' output.
        layers: of the transformer.
        stem: channels and stride of each convolution.
        width: of the tokens.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        inputs: int,
        tokens: int,
        patch: tuple[int, int],
        layers: int,
        stem: tuple[tuple[int, int], ...] = ((16, 2), (32, 2)),
        width: int = 64,
    ) -> None:
        super().__init__()
        channels = (inputs, *(each for each, _ in stem))
        self.stem = nn.Sequential(
            *(ConvBlock(channels[number], each, stride) for number, (each, stride) in enumerate(stem))
        )
        self.patch = nn.Conv2d(channels[-1], width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, _HEADS, 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.width = 2 * width

    def forward(self, media: Tensor) -> Tensor:
        """Return pooled features, `[N, width]`."""
        tokens = self.patch(self.stem(media)).flatten(2).transpose(1, 2)
        read: Tensor = self.layers(tokens + self.position)
        return torch.cat([read.mean(1), read.amax(1)], 1)


class JudgeNet(nn.Module):
    """A trunk, an embedding and a linear head for every attribute.

    Args:
        trunk: with a `width`.
        heads: attribute -> number of its values.
    """

    def __init__(self, trunk: ConvTrunk | TransformerTrunk, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = trunk
        self.embedding = nn.Linear(trunk.width, EMBEDDING_DIMS)
        self.drop = nn.Dropout(0.1)
        self.heads = nn.ModuleDict({name: nn.Linear(EMBEDDING_DIMS, count) for name, count in heads.items()})

    def embed(self, media: Tensor) -> Tensor:
        """Return the embeddings of media, `[N, E]`.

        Args:
            media: pictures in 0..1, `[N, 3, H, W]`, or log-mel spectrograms, `[N, F, M]`.
        """
        embedded: Tensor = self.embedding(self.trunk(_normalize(media)))
        return embedded

    def forward(self, media: Tensor) -> dict[str, Tensor]:
        """Return attribute -> logits of its values, `[N, values]`.

        Args:
            media: as of `embed`.
        """
        return self.read(self.embed(media))

    def read(self, embedded_NE: Tensor) -> dict[str, Tensor]:
        """Return attribute -> logits of embeddings, `[N, values]`."""
        features = self.drop(gelu(embedded_NE))
        return {name: head(features) for name, head in self.heads.items()}


def _normalize(media: Tensor) -> Tensor:
    """Return pictures around 0, and spectrograms as one channel of mean 0 and deviation 1 each."""
    if media.ndim == 4:
        return (media - 0.5) / 0.25
    spread = media.std((1, 2), keepdim=True).clamp(min=1e-3)
    return ((media - media.mean((1, 2), keepdim=True)) / spread)[:, None]


def build_judge_net(net: str, heads: Mapping[str, int]) -> JudgeNet:
    """Return a judge's net with random weights.

    Args:
        net: its name in `NETS`.
        heads: attribute -> number of its values.

    Raises:
        KeyError: there is no such net.
    """
    return JudgeNet(NETS[net](), heads)


_PICTURE_STEM = ((24, 2), (48, 2), (48, 1), (80, 2), (80, 1))
# Pictures are of 96 x 96 px; sounds of 256 frames and 32 bands, of which a token of the transformer sees 160
# ms and all bands.
NETS: Mapping[str, Callable[[], ConvTrunk | TransformerTrunk]] = {
    "picture_cnn": lambda: ConvTrunk(3, (24, 48, 80, 112)),
    "picture_vit": lambda: TransformerTrunk(3, 36, (2, 2), 2, _PICTURE_STEM, 80),
    "sound_cnn": lambda: ConvTrunk(1, (16, 32, 64, 96)),
    "sound_transformer": lambda: TransformerTrunk(1, 32, (2, 8), 2),
}


def load_judge_net(folder: Path) -> tuple[JudgeNet, dict[str, list[str]]]:
    """Return a judge's net with its weights as fp32, and attribute -> the values of its logits.

    Args:
        folder: of `save_judge_net`.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / CONFIG).read_text())
    values: dict[str, list[str]] = config["values"]
    net = build_judge_net(config["net"], {name: len(each) for name, each in values.items()})
    net.load_state_dict(load_file(folder / WEIGHTS))
    return net.float().eval(), values


def save_judge_net(net: JudgeNet, name: str, values: Mapping[str, list[str]], folder: Path) -> None:
    """Write a net's weights as fp16, and what is needed to build it again.

    Args:
        net: trained, on any device.
        name: of its kind in `NETS`.
        values: attribute -> the values of its logits.
        folder: that exists.
    """
    from safetensors.torch import save_file

    state = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for key, tensor in net.state_dict().items()
    }
    save_file(state, str(folder / WEIGHTS))
    config = {"net": name, "embedding_dims": EMBEDDING_DIMS, "values": dict(values)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


class LogMel(nn.Module):
    """Waves at 16 kHz -> log-mel spectrograms of 50 frames a second and 32 bands.

    Its filters are HTK's, without area normalisation: not the front end of any pocket generator or CLAP.
    """

    rate_hz = 16_000
    hop = 320
    frames = 256
    bands = 32
    samples = frames * hop  # of a window: 5.12 s, a whole group of events
    _fft = 1024
    _window = 800

    def __init__(self) -> None:
        from transformers.audio_utils import mel_filter_bank

        super().__init__()
        filters = mel_filter_bank(
            self._fft // 2 + 1, self.bands, 30.0, self.rate_hz / 2, self.rate_hz, mel_scale="htk"
        )
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(self._window), persistent=False)

    def forward(self, waves_NT: Tensor) -> Tensor:
        """Return spectrograms `[N, F, M]` of waves of `samples` samples, `[N, T]`."""
        filters, window = self.get_buffer("filters"), self.get_buffer("window")
        side = (self._fft - self.hop) // 2
        padded = pad(waves_NT[:, None], (side, side), mode="reflect")[:, 0]
        spectra = torch.stft(
            padded, self._fft, self.hop, self._window, window, center=False, return_complex=True
        )
        return (spectra.abs().transpose(1, 2) @ filters).clamp(min=1e-4).log()
