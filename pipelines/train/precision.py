"""The precision of a training's products; weights, sums and moments stay fp32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bf16 natively: every GPU, and a CPU with AMX."""
    import torch

    return device.type == "cuda" or bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def make_autocast(precision: str, device: torch.device, enabled: bool = True) -> Any:
    """Return an autocast context for bf16, which does nothing in fp32 or if disabled.

    Args:
        precision: fp32, bf16, or auto: bf16 where it is native.
        device: of the net.
        enabled: whether to narrow at all.
    """
    import torch

    narrow = precision == "bf16" or (precision == "auto" and has_fast_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and narrow)


@contextmanager
def use_bf16_products(enabled: bool) -> Iterator[None]:
    """Compute matrix products in bf16 on a CPU that has it, for the whole process.

    oneDNN rounds inside its products, without autocast's copies of the weights. A CPU without bf16 computes
    in fp32 as before.

    Args:
        enabled: whether to narrow at all.
    """
    import torch

    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if enabled:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before
