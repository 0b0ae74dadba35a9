"""The files of a VAE of spectrograms: vae.json, its card, and vae.safetensors, weights and fitted laws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.models.cards import read_card
from pipelines.models.spectrogram_vae import ModernVae, Posterior, SeedVae
from pipelines.models.towers import check_weights
from schemas.spectrogram_vae import VAE_FILE, VaeCard

WEIGHTS_FILE = "vae.safetensors"
_NET, _FITTED = "net.", "fitted."


@dataclass(frozen=True, eq=False)
class FittedPrior:
    """The latents of training sounds as normal laws with full covariances: one a class, the last of all.

    A diagonal prior has holes that no training sound is near, and samples from there are like none (Ghosh et
    al. 2020, From Variational to Deterministic Autoencoders, arXiv 1903.12436).

    Attributes:
        means_CD: of classes and, last, of all sounds.
        factors_CDD: lower triangles L of the covariances L L^T.
    """

    means_CD: Tensor
    factors_CDD: Tensor

    def sample(self, classes_N: Tensor, noise_ND: Tensor) -> Tensor:
        """Return latents, `[N, D]`, of classes; their number stands for none."""
        spread_ND = (self.factors_CDD[classes_N] @ noise_ND[..., None])[..., 0]
        return self.means_CD[classes_N] + spread_ND


@dataclass(frozen=True, eq=False)
class SpectrogramVae:
    """A VAE with all that it needs to generate.

    Attributes:
        net: in fp32.
        card: of it.
        fitted: laws of its latents.
    """

    net: SeedVae | ModernVae
    card: VaeCard
    fitted: FittedPrior

    def encode(self, spectrograms: Tensor, classes_N: Tensor | None = None) -> Posterior:
        """Return the law of the latents of standardised spectrograms, `[N, 1, H, W]`."""
        return encode_with(self.net, spectrograms, classes_N)

    def decode(self, latents_ND: Tensor, classes_N: Tensor | None = None) -> Tensor:
        """Return standardised spectrograms, `[N, 1, H, W]`."""
        return decode_with(self.net, latents_ND, classes_N)


def encode_with(net: nn.Module, spectrograms: Tensor, classes_N: Tensor | None) -> Posterior:
    """Return the law of the latents; the seed's net is told no class."""
    if isinstance(net, ModernVae):
        return net.encode(spectrograms, classes_N)
    assert isinstance(net, SeedVae)
    return net.encode(spectrograms)


def decode_with(net: nn.Module, latents_ND: Tensor, classes_N: Tensor | None) -> Tensor:
    """Return spectrograms; the seed's net is told no class."""
    if isinstance(net, ModernVae):
        return net.decode(latents_ND, classes_N)
    assert isinstance(net, SeedVae)
    return net.decode(latents_ND)


def build_vae(card: VaeCard) -> SeedVae | ModernVae:
    """Return a net with random weights."""
    net = card.net
    if net.kind == "seed":
        return SeedVae()
    return ModernVae(card.front.bands, net.frames, len(card.classes), net.latent, net.widths, net.condition)


def make_standard_prior(card: VaeCard) -> FittedPrior:
    """Return the laws of a VAE whose latents nobody has looked at yet: standard normal."""
    laws, dims = len(card.classes) + 1, card.net.latent
    return FittedPrior(torch.zeros(laws, dims), torch.eye(dims).repeat(laws, 1, 1))


def save_vae(vae: SpectrogramVae, folder: Path, *, half: bool = False) -> None:
    """Write a VAE.

    Args:
        vae: on any device.
        folder: that exists.
        half: whether the weights are stored as fp16.
    """
    from safetensors.torch import save_file

    state = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in _collect(vae).items()
    }
    save_file(state, str(folder / WEIGHTS_FILE))
    (folder / VAE_FILE).write_text(vae.card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_vae_card(folder: Path) -> VaeCard:
    """Return the card of a folder.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    return read_card(folder / VAE_FILE, VaeCard, "VAE of spectrograms", "animal-vae")


def load_vae(folder: Path) -> SpectrogramVae:
    """Return a VAE ready for inference, in fp32 on the CPU.

    Args:
        folder: of `save_vae`.

    Raises:
        ConfigError: the card is damaged, or the weights are of another net.
    """
    from safetensors.torch import load_file

    card = read_vae_card(folder)
    # Without memory first: a card may ask for any net, and the file says what there is.
    with torch.device("meta"):
        expected = SpectrogramVae(build_vae(card), card, make_standard_prior(card))
    check_weights(folder / WEIGHTS_FILE, _collect(expected), "VAE")
    found = {name: each.float() if each.is_floating_point() else each
             for name, each in load_file(folder / WEIGHTS_FILE).items()}  # fmt: skip
    net = build_vae(card)
    net.load_state_dict(
        {name.removeprefix(_NET): each for name, each in found.items() if name.startswith(_NET)}
    )
    fitted = FittedPrior(found[f"{_FITTED}means"], found[f"{_FITTED}factors"])
    return SpectrogramVae(net.eval().requires_grad_(False), card, fitted)


def _collect(vae: SpectrogramVae) -> dict[str, Tensor]:
    return {f"{_NET}{name}": each for name, each in vae.net.state_dict().items()} | {
        f"{_FITTED}means": vae.fitted.means_CD,
        f"{_FITTED}factors": vae.fitted.factors_CDD,
    }
