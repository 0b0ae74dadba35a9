"""The weights that a training begins with: `init_from` of its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn


def load_initial(net: nn.Module, place: str) -> None:
    """Load the weights of a net from a file or a model's folder.

    Args:
        net: to load them into.
        place: a .safetensors file, or a folder with exactly one.

    Raises:
        ConfigError: there is none, or it is of another net.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(place)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        raise ConfigError(
            f"init_from {place} is no .safetensors file and no folder with exactly one; give the weights to "
            "begin with"
        )
    try:
        missing, unexpected = net.load_state_dict(load_file(files[0]), strict=False)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"init_from {files[0]} cannot be used ({reason}); give weights of this net"
        ) from error
    if missing or unexpected:
        first = (missing or unexpected)[0]
        raise ConfigError(
            f"init_from {files[0]} is of another net: {len(missing)} tensors are missing and "
            f"{len(unexpected)} are not of it (first {first}); give weights of this net"
        )
