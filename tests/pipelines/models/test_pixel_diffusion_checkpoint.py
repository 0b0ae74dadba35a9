"""A checkpoint of guided-diffusion through diffusers gives the same numbers: structure whole, values small.

The reference forward is written from the published description of the structure, over the checkpoint's names.
"""

import math

import pytest
import torch
from diffusers import UNet2DModel
from torch.nn.functional import avg_pool2d, conv2d, group_norm, interpolate, linear, silu

from pipelines.errors import ConfigError
from pipelines.models.pixel_diffusion_checkpoint import convert_pixel_unet
from tests.pipelines.models.pixel_checkpoint import PUBLISHED, SMALL, make_state


class Reference:
    """The forward of a checkpoint by its own names."""

    def __init__(self, state, width, head_dims):
        self.state, self.width, self.head_dims = state, width, head_dims

    def get(self, name):
        return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

    def norm(self, name, x):
        return group_norm(x, 32, *self.get(name))

    def residual(self, name, x, resize=lambda x: x):
        hidden = resize(silu(self.norm(f"{name}.in_layers.0", x)))
        hidden, x = conv2d(hidden, *self.get(f"{name}.in_layers.2"), padding=1), resize(x)
        scale, shift = linear(silu(self.embedding), *self.get(f"{name}.emb_layers.1"))[..., None, None].chunk(
            2, 1
        )
        hidden = silu(self.norm(f"{name}.out_layers.0", hidden) * (1 + scale) + shift)
        hidden = conv2d(hidden, *self.get(f"{name}.out_layers.3"), padding=1)
        if f"{name}.skip_connection.weight" in self.state:
            x = conv2d(x, *self.get(f"{name}.skip_connection"))
        return x + hidden

    def attend(self, name, x):
        """Heads are split first, and then each into queries, keys and values."""
        batch, channels, height, width = x.shape
        flat = self.norm(f"{name}.norm", x).reshape(batch, channels, -1)
        weight, bias = self.get(f"{name}.qkv")
        qkv = torch.einsum("oc,bct->bot", weight[..., 0], flat) + bias[:, None]
        q, k, v = qkv.reshape(-1, 3 * self.head_dims, height * width).split(self.head_dims, 1)
        weights = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(self.head_dims), -1)
        mixed = torch.einsum("bts,bcs->bct", weights, v).reshape(batch, channels, -1)
        weight, bias = self.get(f"{name}.proj_out")
        out = torch.einsum("oc,bct->bot", weight[..., 0], mixed) + bias[:, None]
        return x + out.reshape(x.shape)

    def member(self, name, x, resize):
        if f"{name}.qkv.weight" in self.state:
            return self.attend(name, x)
        return self.residual(name, x, resize) if f"{name}.in_layers.0.weight" in self.state else x

    def __call__(self, x, times):
        half = self.width // 2
        angles = times[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / half)
        waves = torch.cat([angles.cos(), angles.sin()], 1)
        hidden = silu(linear(waves, *self.get("time_embed.0")))
        self.embedding = linear(hidden, *self.get("time_embed.2"))
        x = conv2d(x, *self.get("input_blocks.0.0"), padding=1)
        skips, number = [x], 1
        while f"input_blocks.{number}.0.in_layers.0.weight" in self.state:
            halve = (lambda x: avg_pool2d(x, 2)) if number % 3 == 0 else (lambda x: x)
            x = self.residual(f"input_blocks.{number}.0", x, halve)
            x = self.member(f"input_blocks.{number}.1", x, None)
            skips.append(x)
            number += 1
        for part in range(3):
            x = self.member(f"middle_block.{part}", x, lambda x: x)
        for number in range(len(skips)):
            x = self.residual(f"output_blocks.{number}.0", torch.cat([x, skips.pop()], 1))
            for part in (1, 2):
                x = self.member(f"output_blocks.{number}.{part}", x, lambda x: interpolate(x, scale_factor=2))
        return conv2d(silu(self.norm("out.0", x)), *self.get("out.2"), padding=1)


def test_the_published_checkpoint_has_the_tensors_of_diffusers():
    """On the meta device: 552,814,086 parameters in 630 tensors, name by name and shape by shape."""
    state = make_state(**PUBLISHED, device="meta")
    converted = convert_pixel_unet(state, "256x256_diffusion_uncond.pt", 256)
    with torch.device("meta"):
        expected = UNet2DModel(**converted.config).state_dict()

    assert converted.config["block_out_channels"] == (256, 256, 512, 512, 1024, 1024)
    assert {name: each.shape for name, each in converted.weights.items()} == {
        name: each.shape for name, each in expected.items()
    }
    assert (len(state), len(expected)) == (566, 630)
    assert sum(each.numel() for each in state.values()) == 552_814_086
    assert sum(each.numel() for each in expected.values()) == 552_814_086


def test_a_small_one_gives_the_same_numbers():
    """At the first, the last and two other times, with heads of 16 numbers."""
    torch.manual_seed(0)
    state = make_state(**SMALL)
    converted = convert_pixel_unet(state, "small.pt", 16, head_dims=16)
    net = UNet2DModel(**converted.config).eval()
    net.load_state_dict(converted.weights)
    reference, x = Reference(state, 32, 16), torch.randn(4, 3, 16, 16)
    times = torch.tensor([0, 17, 500, 999])
    with torch.inference_mode():
        found, expected = net(x, times).sample, reference(x, times)

    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def test_the_order_of_heads_matters():
    """Split as queries, keys and values first, the same tensors are another net."""
    torch.manual_seed(0)
    state = make_state(**SMALL)
    times, x = torch.tensor([17]), torch.randn(1, 3, 16, 16)
    found = []
    for head_dims in (16, 32):
        converted = convert_pixel_unet(state, "small.pt", 16, head_dims)
        net = UNet2DModel(**converted.config).eval()
        net.load_state_dict(converted.weights)
        with torch.inference_mode():
            found.append(net(x, times).sample)

    assert (found[0] - found[1]).abs().max() > 1e-2


def test_other_checkpoints_are_refused():
    state = make_state(**SMALL)
    without = {name: each for name, each in state.items() if name != "middle_block.1.norm.bias"}
    for broken, expected in (
        (without, "lacks the tensor middle_block.1.norm.bias"),
        (
            state | {"encoder.weight": torch.ones(1)},
            "1 tensors that are not of guided-diffusion .first encoder",
        ),
        (state | {"label_emb.weight": torch.ones(1)}, "it is conditioned on classes"),
        ({"conv_in.weight": torch.ones(1)}, "its blocks are others"),
    ):
        with pytest.raises(ConfigError, match=expected):
            convert_pixel_unet(broken, "mine.pt", 16, 16)
    with pytest.raises(ConfigError, match="which are no heads of 60 numbers"):
        convert_pixel_unet(state, "mine.pt", 16, 60)
