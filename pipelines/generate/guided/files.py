"""The files of a pixel diffusion: a `DDPMPipeline` of diffusers, and what was measured of its guide.

model_index.json
unet/           `UNet2DModel`, which gives noise and variance
scheduler/      `DDPMScheduler`
guidance.json   optional: how far the guide holds targets from noise and from what they are of, and a scale
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipelines.encode.loaders.weights import get_first_line
from pipelines.errors import ConfigError
from schemas.guidance import GuidanceCard

if TYPE_CHECKING:
    from torch import nn

GUIDANCE = "guidance.json"
_INDEX = "model_index.json"
_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def save_pixel_diffusion(unet: nn.Module, scheduler: Mapping[str, Any], folder: Path) -> None:
    """Write a folder that `DDPMPipeline.from_pretrained` loads.

    Args:
        unet: `UNet2DModel`.
        scheduler: arguments of `DDPMScheduler`.
        folder: that exists.
    """
    import diffusers

    own: Any = unet
    own.save_pretrained(folder / "unet")
    ddpm: Any = diffusers.DDPMScheduler
    ddpm(**scheduler).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def find_pixel_diffusion(folder: Path, where: str) -> Path:
    """Return a folder that holds a pixel diffusion.

    Args:
        folder: to look into.
        where: it is named, for errors.

    Raises:
        ConfigError: it is none.
    """
    for name in (_INDEX, "unet/config.json", _WEIGHTS, "scheduler/scheduler_config.json"):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{where}: there is no {name} in {folder}; give a DDPMPipeline that diffusers saved, or "
                "convert a checkpoint of guided-diffusion"
            )
    return folder


def list_files(folder: Path) -> list[Path]:
    """Return the files that decide a picture."""
    names = ("unet/config.json", _WEIGHTS, "scheduler/scheduler_config.json", GUIDANCE)
    return [folder / name for name in names if (folder / name).is_file()]


def read_guidance(folder: Path) -> GuidanceCard:
    """Return what was measured of the guide; what is usual where nothing was.

    Raises:
        ConfigError: it is damaged.
    """
    file = folder / GUIDANCE
    if not file.is_file():
        return GuidanceCard()
    try:
        return GuidanceCard.model_validate_json(file.read_text(encoding="utf-8"))
    except (ValueError, ValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{file} cannot be read ({reason}); remove it, or measure it again") from error


def load_pixel_diffusion(folder: Path) -> tuple[Any, Any]:
    """Return the UNet and the scheduler, in fp32 on the CPU, for inference through which gradients go.

    Raises:
        ConfigError: they cannot be loaded, or the net does not say its variance.
    """
    import diffusers
    import torch

    own: dict[str, Any] = {"local_files_only": True}
    unet_class: Any = diffusers.UNet2DModel
    ddpm: Any = diffusers.DDPMScheduler
    try:
        unet, report = unet_class.from_pretrained(
            folder / "unet",
            output_loading_info=True,
            use_safetensors=True,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,
            **own,
        )
        scheduler = ddpm.from_pretrained(folder / "scheduler", **own)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the pixel diffusion in {folder} cannot be loaded ({get_first_line(error)}); copy it again"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"the weights in {folder} lack {len(missing)} tensors of its config.json (first {missing[0]}); "
            "copy it again"
        )
    channels = int(unet.config.in_channels)
    if unet.config.out_channels not in (channels, 2 * channels):
        raise ConfigError(
            f"the net in {folder} gives {unet.config.out_channels} channels of {channels}; give one of "
            "guided-diffusion's form, with or without a variance"
        )
    return unet.eval().requires_grad_(False), scheduler
