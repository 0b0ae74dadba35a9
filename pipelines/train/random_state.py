"""The global random streams of torch that a net draws from, as dropout does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def read_random_state(device: torch.device) -> list[Tensor]:
    """Return the state of the CPU's stream and, on a GPU, of its own."""
    import torch

    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(state: list[Tensor], device: torch.device) -> None:
    """Let the streams go on from a state."""
    import torch

    own, *of_gpu = (each.cpu() for each in state)
    torch.set_rng_state(own)
    if of_gpu and device.type == "cuda":
        torch.cuda.set_rng_state(of_gpu[0], device)
