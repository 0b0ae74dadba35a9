"""Checkpoints of random numbers in the names of guided-diffusion, of any size and on any device."""

import math

import torch

PUBLISHED = {"width": 256, "multiples": (1, 1, 2, 2, 4, 4), "attention": (0, 0, 0, 1, 1, 1), "outputs": 6}
SMALL = {"width": 32, "multiples": (1, 2, 2), "attention": (0, 1, 1), "outputs": 6}


class RandomCheckpoint:
    """Adds layers by their names; two residual blocks a level."""

    def __init__(self, width, device):
        self.state, self.width, self.device = {}, width, device

    def add(self, name, *shape):
        fan = math.prod(shape[1:])
        self.state[f"{name}.weight"] = 0.4 * torch.randn(*shape, device=self.device) / math.sqrt(fan)
        self.state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], device=self.device)

    def norm(self, name, channels):
        self.state[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels, device=self.device)
        self.state[f"{name}.bias"] = 0.1 * torch.randn(channels, device=self.device)

    def residual(self, name, inputs, channels):
        self.norm(f"{name}.in_layers.0", inputs)
        self.add(f"{name}.in_layers.2", channels, inputs, 3, 3)
        self.add(f"{name}.emb_layers.1", 2 * channels, 4 * self.width)
        self.norm(f"{name}.out_layers.0", channels)
        self.add(f"{name}.out_layers.3", channels, channels, 3, 3)
        if inputs != channels:
            self.add(f"{name}.skip_connection", channels, inputs, 1, 1)

    def attend(self, name, channels):
        self.norm(f"{name}.norm", channels)
        self.add(f"{name}.qkv", 3 * channels, channels, 1)
        self.add(f"{name}.proj_out", channels, channels, 1)


def make_state(width, multiples, attention, outputs, device="cpu"):
    """Return a checkpoint."""
    made = RandomCheckpoint(width, device)
    made.add("time_embed.0", 4 * width, width)
    made.add("time_embed.2", 4 * width, 4 * width)
    made.add("input_blocks.0.0", width, 3, 3, 3)
    skips = _add_inputs(made, multiples, attention)
    channels = skips[-1]
    made.residual("middle_block.0", channels, channels)
    made.attend("middle_block.1", channels)
    made.residual("middle_block.2", channels, channels)
    _add_outputs(made, multiples, attention, skips)
    made.norm("out.0", multiples[0] * width)
    made.add("out.2", outputs, multiples[0] * width, 3, 3)
    return made.state


def _add_inputs(made, multiples, attention):
    """Return the channels of every block on the way down."""
    skips = [made.width]
    for level, multiple in enumerate(multiples):
        channels = multiple * made.width
        for _ in range(2):
            number = len(skips)
            made.residual(f"input_blocks.{number}.0", skips[-1], channels)
            if attention[level]:
                made.attend(f"input_blocks.{number}.1", channels)
            skips.append(channels)
        if level + 1 < len(multiples):
            made.residual(f"input_blocks.{len(skips)}.0", channels, channels)
            skips.append(channels)
    return skips


def _add_outputs(made, multiples, attention, skips):
    left, before, number = [*skips], skips[-1], 0
    for level in reversed(range(len(multiples))):
        channels = multiples[level] * made.width
        for place in range(3):
            made.residual(f"output_blocks.{number}.0", before + left.pop(), channels)
            before = channels
            if attention[level]:
                made.attend(f"output_blocks.{number}.1", channels)
            if level and place == 2:
                made.residual(f"output_blocks.{number}.{1 + attention[level]}", channels, channels)
            number += 1
