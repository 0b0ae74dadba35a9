"""A checkpoint of guided-diffusion -> a folder that a `DDPMPipeline` of diffusers and the generator load.

python -m pipelines.generate.guided.convert 256x256_diffusion_uncond.pt --out /models/guided-256 --half
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.encode.loaders.weights import load_tensors
from pipelines.errors import ConfigError
from pipelines.generate.guided.files import save_pixel_diffusion
from pipelines.models.pixel_diffusion_checkpoint import HEAD_DIMS, convert_pixel_unet

# That of the published checkpoint: linear, its variance between two bounds.
SCHEDULER: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "variance_type": "learned_range",
    "clip_sample": False,
    "timestep_spacing": "linspace",
}


def convert_checkpoint(
    checkpoint: Path, out: Path, size_px: int = 256, head_dims: int = HEAD_DIMS, *, half: bool = False
) -> int:
    """Write a pixel diffusion, and return its parameters. Nothing is left behind if it cannot be converted.

    Args:
        checkpoint: read with `weights_only`.
        out: a folder that does not exist yet.
        size_px: of its pictures.
        head_dims: numbers of a head of its attention.
        half: whether the weights are stored as fp16.

    Raises:
        ConfigError: it is another net's, or the folder exists.
    """
    import diffusers
    import torch

    if out.exists():
        raise ConfigError(f"{out} exists already; name another folder, or remove it")
    if not checkpoint.is_file():
        raise ConfigError(f"there is no file {checkpoint}; give a checkpoint of guided-diffusion")
    state = load_tensors("converter", checkpoint)
    if not isinstance(state, Mapping) or not all(isinstance(each, torch.Tensor) for each in state.values()):
        raise ConfigError(f"{checkpoint} holds no tensors by name; give the state_dict of a guided-diffusion")
    converted = convert_pixel_unet(state, checkpoint.name, size_px, head_dims)
    unet_class: Any = diffusers.UNet2DModel
    with torch.device("meta"):
        unet = unet_class(**converted.config)
    weights = {name: each.half() if half else each.float() for name, each in converted.weights.items()}
    unet.load_state_dict(weights, assign=True)
    scratch = out.with_name(f"{out.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    save_pixel_diffusion(unet, SCHEDULER, scratch)
    scratch.replace(out)
    return sum(each.numel() for each in weights.values())


def main(argv: Sequence[str] | None = None) -> None:
    """Convert a checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="unconditional, of guided-diffusion")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--size", type=int, default=256, metavar="PX", help="of its pictures; 256 if not given"
    )
    parser.add_argument("--head-dims", type=int, default=HEAD_DIMS, help="numbers of a head; 64 if not given")
    parser.add_argument("--half", action="store_true", help="store weights as fp16")
    args = parser.parse_args(argv)
    count = convert_checkpoint(args.checkpoint, args.out, args.size, args.head_dims, half=args.half)
    print(f"{args.out}: {count:,} parameters")


if __name__ == "__main__":
    main()
