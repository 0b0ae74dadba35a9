"""A variational autoencoder of sounds and small pictures with one latent for both.

A sound is its vector of a CLAP. Each medium alone has an encoder, too, which is taught what both together say
(Suzuki et al. 2016, JMVAE, arXiv 1611.01891): so a sound leads to latents of its pictures, and back.

Shapes: N pairs, V numbers of a sound's vector, H x W pixels, D dimensions of the latent.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.models.cards import read_card
from pipelines.models.spectrogram_vae import Posterior
from pipelines.models.towers import check_weights
from schemas.joint_vae import JOINT_FILE, JointVaeCard, JointVaeNet

WEIGHTS_FILE = "joint_vae.safetensors"
_GROUPS = 8
# ln s^2 stays within these, as in a VAE of spectrograms.
_LOG_VARIANCE = (-10.0, 6.0)


class JointVae(nn.Module):
    """The net.

    Args:
        net: its layers.
        sound_dims: V.
    """

    def __init__(self, net: JointVaeNet, sound_dims: int) -> None:
        super().__init__()
        self.latent, self.sound_dims, self._scale = net.latent, sound_dims, sound_dims**0.5
        widths, side = net.widths, net.side_px // 2 ** len(net.widths)
        self._code = (widths[-1], side, side)
        size = widths[-1] * side * side
        down = [_make_block(before, after, "down") for before, after in itertools.pairwise((3, *widths))]
        self.picture = nn.Sequential(*down, nn.Flatten())
        self.sound = nn.Sequential(nn.Linear(sound_dims, net.hidden), nn.SiLU(), nn.LayerNorm(net.hidden))
        self.from_both = nn.Linear(size + net.hidden, 2 * net.latent)
        self.from_picture = nn.Linear(size, 2 * net.latent)
        self.from_sound = nn.Sequential(
            nn.Linear(net.hidden, net.hidden), nn.SiLU(), nn.Linear(net.hidden, 2 * net.latent)
        )
        self.code = nn.Linear(net.latent, size)
        back = (*widths[::-1], widths[0])
        self.up = nn.Sequential(*(_make_block(one, other, "up") for one, other in itertools.pairwise(back)))
        self.to_picture = nn.Conv2d(widths[0], 3, 3, padding=1)
        self.to_sound = nn.Sequential(
            nn.Linear(net.latent, net.hidden), nn.SiLU(), nn.Linear(net.hidden, sound_dims)
        )
        # ln s^2 of both decoders: of pixels in -1..1, and of vectors with numbers of a deviation of about 1.
        self.picture_log_variance = nn.Parameter(torch.zeros(()))
        self.sound_log_variance = nn.Parameter(torch.zeros(()))

    def encode(self, units_NV: Tensor, pixels: Tensor) -> tuple[Posterior, Posterior, Posterior]:
        """Return the laws of the latents of pairs, of their sounds alone, and of their pictures alone.

        Args:
            units_NV: unit vectors.
            pixels: in -1..1, `[N, 3, H, W]`.
        """
        picture, sound = self.picture(pixels), self._embed_sound(units_NV)
        both = self.from_both(torch.cat([picture, sound], 1))
        return _make_law(both), _make_law(self.from_sound(sound)), _make_law(self.from_picture(picture))

    def encode_sound(self, units_NV: Tensor) -> Posterior:
        """Return the law of the latents of sounds alone."""
        return _make_law(self.from_sound(self._embed_sound(units_NV)))

    def encode_picture(self, pixels: Tensor) -> Posterior:
        """Return the law of the latents of pictures alone."""
        return _make_law(self.from_picture(self.picture(pixels)))

    def decode_picture(self, latents_ND: Tensor) -> Tensor:
        """Return pictures in -1..1, `[N, 3, H, W]`."""
        decoded: Tensor = self.to_picture(self.up(self.code(latents_ND).unflatten(1, self._code)))
        return decoded

    def decode_sound(self, latents_ND: Tensor) -> Tensor:
        """Return vectors whose directions are those of sounds, `[N, V]`, of numbers of about 1."""
        decoded: Tensor = self.to_sound(latents_ND)
        return decoded

    def scale_sound(self, units_NV: Tensor) -> Tensor:
        """Return unit vectors as `decode_sound` has them."""
        scaled: Tensor = units_NV * self._scale
        return scaled

    def _embed_sound(self, units_NV: Tensor) -> Tensor:
        embedded: Tensor = self.sound(self.scale_sound(units_NV))
        return embedded


def _make_block(inputs: int, outputs: int, change: str) -> nn.Module:
    if change == "down":
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 4, 2, padding=1), nn.GroupNorm(_GROUPS, outputs), nn.SiLU()
        )
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(_GROUPS, outputs),
        nn.SiLU(),
    )


def _make_law(numbers: Tensor) -> Posterior:
    mean, log_variance = numbers.float().chunk(2, 1)
    return Posterior(mean, log_variance.clamp(*_LOG_VARIANCE))


def save_joint_vae(net: JointVae, card: JointVaeCard, folder: Path, *, half: bool = False) -> None:
    """Write a net and its card.

    Args:
        net: on any device.
        card: of it.
        folder: that exists.
        half: whether the weights are stored as fp16.
    """
    from safetensors.torch import save_file

    state = {
        name: (each.half() if half else each).detach().cpu().contiguous()
        for name, each in net.state_dict().items()
    }
    save_file(state, str(folder / WEIGHTS_FILE))
    (folder / JOINT_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_joint_card(folder: Path) -> JointVaeCard:
    """Return the card of a folder.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    return read_card(folder / JOINT_FILE, JointVaeCard, "joint VAE", "animal-pictures")


def load_joint_vae(folder: Path) -> tuple[JointVae, JointVaeCard]:
    """Return a net ready for inference, in fp32 on the CPU, and its card.

    Args:
        folder: of `save_joint_vae`.

    Raises:
        ConfigError: the card is damaged, or the weights are of another net.
    """
    from safetensors.torch import load_file

    card = read_joint_card(folder)
    # Without memory first: a card may ask for any net, and the file says what there is.
    with torch.device("meta"):
        expected = JointVae(card.net, card.sound_dims)
    check_weights(folder / WEIGHTS_FILE, expected.state_dict(), "joint VAE")
    net = JointVae(card.net, card.sound_dims)
    net.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return net.float().eval().requires_grad_(False), card
