"""A checkpoint of OpenAI's guided-diffusion as the `UNet2DModel` of diffusers: the same function.

Its structure is read from its tensors. Of the two, only the attention differs in more than names: its
queries, keys and values are one convolution of width 1, whose rows are ordered by head, then by which of the
three.

    input_blocks.0.0                    the first convolution
    input_blocks.N.0 .1                 two residual blocks a level, with attention after them at some
                                        levels, and a residual block that halves the side
    middle_block.0 .1 .2                residual block, attention, residual block
    output_blocks.N.0 .1 .2             three residual blocks a level, the last with one that doubles the side
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

# Numbers of a head, and groups of a normalisation, of all published checkpoints.
HEAD_DIMS, _GROUPS = 64, 32
_RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_KINDS = ("weight", "bias")


@dataclass(frozen=True, eq=False)
class ConvertedUnet:
    """A UNet of pixels.

    Attributes:
        config: arguments of `UNet2DModel`.
        weights: by its names.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def convert_pixel_unet(
    state: Mapping[str, Tensor], where: str, size_px: int, head_dims: int = HEAD_DIMS
) -> ConvertedUnet:
    """Return a checkpoint, unconditional and with residual blocks that change the side, for diffusers.

    Args:
        state: of the checkpoint.
        where: it lies, for errors.
        size_px: of its pictures, which no tensor says.
        head_dims: numbers of a head of its attention, which no tensor says.

    Raises:
        ConfigError: it is of another structure, or a tensor is missing or unexpected.
    """
    structure = _read_structure(state, where)
    reader = _Reader(state, where, head_dims)
    for own, name in _ENDS.items():
        reader.move(own, name)
    for number, (level, place, has_attention, halves) in enumerate(structure.list_inputs(), 1):
        target = f"down_blocks.{level}"
        if halves:
            reader.move_residual(f"input_blocks.{number}.0", f"{target}.downsamplers.0")
            continue
        reader.move_residual(f"input_blocks.{number}.0", f"{target}.resnets.{place}")
        if has_attention:
            reader.move_attention(f"input_blocks.{number}.1", f"{target}.attentions.{place}")
    reader.move_residual("middle_block.0", "mid_block.resnets.0")
    reader.move_attention("middle_block.1", "mid_block.attentions.0")
    reader.move_residual("middle_block.2", "mid_block.resnets.1")
    for number, (level, place, has_attention, doubles) in enumerate(structure.list_outputs()):
        target = f"up_blocks.{level}"
        reader.move_residual(f"output_blocks.{number}.0", f"{target}.resnets.{place}")
        if has_attention:
            reader.move_attention(f"output_blocks.{number}.1", f"{target}.attentions.{place}")
        if doubles:
            last = 2 if has_attention else 1
            reader.move_residual(f"output_blocks.{number}.{last}", f"{target}.upsamplers.0")
    reader.check_rest()
    return ConvertedUnet(structure.make_config(state, size_px, head_dims), reader.weights)


@dataclass(frozen=True)
class _Structure:
    """The levels of a checkpoint, from the largest side: their channels, and whether they have attention."""

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    blocks: int

    def list_inputs(self) -> list[tuple[int, int, bool, bool]]:
        """Return level, place, attention and whether it halves the side, of each block but the first."""
        found = []
        for level, has_attention in enumerate(self.attention):
            found += [(level, place, has_attention, False) for place in range(self.blocks)]
            if level + 1 < len(self.channels):
                found.append((level, 0, False, True))
        return found

    def list_outputs(self) -> list[tuple[int, int, bool, bool]]:
        """Return the level of diffusers, place, attention and whether it doubles the side, of each block."""
        levels = len(self.channels)
        return [
            (level, place, self.attention[-1 - level], place == self.blocks and level + 1 < levels)
            for level in range(levels)
            for place in range(self.blocks + 1)
        ]

    def make_config(self, state: Mapping[str, Tensor], size_px: int, head_dims: int) -> dict[str, Any]:
        down = ["AttnDownBlock2D" if each else "ResnetDownsampleBlock2D" for each in self.attention]
        up = ["AttnUpBlock2D" if each else "ResnetUpsampleBlock2D" for each in reversed(self.attention)]
        return {
            "sample_size": size_px,
            "in_channels": state["input_blocks.0.0.weight"].shape[1],
            "out_channels": state["out.2.weight"].shape[0],
            "block_out_channels": self.channels,
            "layers_per_block": self.blocks,
            "down_block_types": tuple(down),
            "up_block_types": tuple(up),
            "downsample_type": "resnet",
            "upsample_type": "resnet",
            "resnet_time_scale_shift": "scale_shift",
            "attention_head_dim": head_dims,
            "norm_num_groups": _GROUPS,
            # Without it the attention in the middle has no normalisation.
            "attn_norm_num_groups": _GROUPS,
            "freq_shift": 0,
            "flip_sin_to_cos": True,
        }


def _read_structure(state: Mapping[str, Tensor], where: str) -> _Structure:
    """Return the structure that the names of tensors tell.

    Raises:
        ConfigError: they tell none.
    """
    inputs, outputs = (
        1 + max((int(name.split(".")[1]) for name in state if name.startswith(f"{side}_blocks.")), default=-1)
        for side in ("input", "output")
    )
    ups = {
        name.split(".")[1]
        for name in state
        if name.startswith("output_blocks.")
        and name.endswith("in_layers.0.weight")
        and name.split(".")[2] != "0"
    }
    levels = len(ups) + 1
    blocks = outputs // levels - 1
    is_known = inputs == outputs == levels * (blocks + 1) and blocks > 0 and "out.2.weight" in state
    if not is_known or "label_emb.weight" in state or "input_blocks.0.0.weight" not in state:
        problem = "it is conditioned on classes" if "label_emb.weight" in state else "its blocks are others"
        raise ConfigError(
            f"{where} is no unconditional checkpoint of guided-diffusion with resblock_updown ({problem}); "
            "give 256x256_diffusion_uncond.pt, or one that was trained like it"
        )
    firsts = [1 + level * (blocks + 1) for level in range(levels)]
    lacking = [number for number in firsts if f"input_blocks.{number}.0.out_layers.3.weight" not in state]
    if lacking:
        raise ConfigError(
            f"{where} has no residual block input_blocks.{lacking[0]}.0, so it is no checkpoint of "
            "guided-diffusion; give 256x256_diffusion_uncond.pt, or one that was trained like it"
        )
    return _Structure(
        tuple(state[f"input_blocks.{number}.0.out_layers.3.weight"].shape[0] for number in firsts),
        tuple(f"input_blocks.{number}.1.qkv.weight" in state for number in firsts),
        blocks,
    )


class _Reader:
    """Moves tensors to their new names, and knows which are left."""

    def __init__(self, state: Mapping[str, Tensor], where: str, head_dims: int) -> None:
        self._state, self._where, self._head_dims = state, where, head_dims
        self._left = {*state}
        self.weights: dict[str, Tensor] = {}

    def take(self, name: str) -> Tensor:
        """Return a tensor of the checkpoint.

        Raises:
            ConfigError: there is none.
        """
        if name not in self._left:
            raise ConfigError(f"{self._where} lacks the tensor {name}; give the whole checkpoint")
        self._left.discard(name)
        return self._state[name]

    def move(self, own: str, name: str) -> None:
        """Move weight and bias of a layer."""
        for kind in _KINDS:
            self.weights[f"{name}.{kind}"] = self.take(f"{own}.{kind}")

    def move_residual(self, own: str, name: str) -> None:
        """Move a residual block; one that keeps its channels has no shortcut."""
        for part, new in _RESIDUAL.items():
            if part != "skip_connection" or f"{own}.{part}.weight" in self._state:
                self.move(f"{own}.{part}", f"{name}.{new}")

    def move_attention(self, own: str, name: str) -> None:
        """Move an attention, its one convolution split into three layers."""
        self.move(f"{own}.norm", f"{name}.group_norm")
        for kind in _KINDS:
            whole = (
                self.take(f"{own}.qkv.{kind}").squeeze(-1)
                if kind == "weight"
                else self.take(f"{own}.qkv.{kind}")
            )
            if whole.shape[0] % (3 * self._head_dims):
                raise ConfigError(
                    f"{self._where}: {own}.qkv has {whole.shape[0]} rows, which are no heads of "
                    f"{self._head_dims} numbers; say how many a head has"
                )
            by_head = whole.reshape(-1, 3, self._head_dims, *whole.shape[1:])
            for number, letter in enumerate("qkv"):
                self.weights[f"{name}.to_{letter}.{kind}"] = by_head[:, number].reshape(-1, *whole.shape[1:])
        self.weights[f"{name}.to_out.0.weight"] = self.take(f"{own}.proj_out.weight").squeeze(-1)
        self.weights[f"{name}.to_out.0.bias"] = self.take(f"{own}.proj_out.bias")

    def check_rest(self) -> None:
        """Refuse a checkpoint of which tensors are left.

        Raises:
            ConfigError: some are.
        """
        if self._left:
            raise ConfigError(
                f"{self._where} has {len(self._left)} tensors that are not of guided-diffusion (first "
                f"{min(self._left)}); give the checkpoint as it was published"
            )
