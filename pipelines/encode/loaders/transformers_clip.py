"""Image and text towers of transformers' CLIPModel, SiglipModel and models with the same methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.compute.device import get_dtype, move_to_device
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.image import decode_image
from pipelines.encode.loaders.pretrained import TransformersLoader
from pipelines.encode.loaders.tokenizer import TextTokenizer, TextTower
from schemas.families import Family, Modality

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TransformersClip(TransformersLoader):
    """An image-text model of transformers."""

    family: ClassVar[Family] = "clip"
    modalities: ClassVar[tuple[Modality, ...]] = ("image", "text")
    # Each has get_image_features(pixel_values) and get_text_features(ids, mask).
    classes: ClassVar[Mapping[str, str]] = {
        "clip": "CLIPModel",
        "siglip": "SiglipModel",
        "metaclip_2": "MetaClip2Model",
    }

    def _get_max_tokens(self, config: Any) -> int:
        return int(config.text_config.max_position_embeddings)

    def _get_dims(self, config: Any) -> int:
        if config.model_type == "siglip":
            return int(config.text_config.projection_size)
        return int(config.projection_dim)

    def _describe_media(self, processor: Any) -> str:
        return f"image: {_describe_processor(processor.image_processor)}"

    def _make_towers(self, model: Any, processor: Any, tokenizer: TextTokenizer) -> Towers:
        return {
            "image": _ImageTower(model, processor.image_processor, get_dtype(self.precision)),
            "text": TextTower(tokenizer, lambda inputs: _get_raw(model.get_text_features(**inputs))),
        }


LOADERS = {"transformers": TransformersClip}


def _describe_processor(processor: Any) -> str:
    """Return the steps of an image processor in one line."""
    config = processor.to_dict()
    steps = ["RGB"]
    if config.get("do_resize"):
        size = ",".join(f"{side} {pixels}" for side, pixels in sorted(dict(config["size"]).items()) if pixels)
        steps.append(f"resize {size} (filter {int(config['resample'])})")
    if config.get("do_center_crop"):
        crop = dict(config["crop_size"])
        steps.append(f"crop {crop['height']}x{crop['width']}")
    if config.get("do_rescale"):
        steps.append(f"times {config['rescale_factor']:.8g}")
    if config.get("do_normalize"):
        mean, std = (
            ",".join(f"{value:.8g}" for value in config[f"image_{part}"]) for part in ("mean", "std")
        )
        steps.append(f"mean {mean}, std {std}")
    return f"{type(processor).__name__}: {', '.join(steps)}"


@dataclass(frozen=True)
class _ImageTower:
    """Bytes of a picture file -> one piece [3, H, W]."""

    model: Any
    processor: Any
    dtype: torch.dtype

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, resize, crop and standardise, as the model's processor does."""
        # Always RGB, whatever the default of this class of processor.
        processed = self.processor(images=decode_image(item).convert("RGB"), return_tensors="pt")
        pixels: np.ndarray = processed["pixel_values"].numpy()
        return pixels

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Pictures, float32 [B, 3, H, W], to raw vectors."""
        import torch

        with torch.inference_mode():
            batch = move_to_device(pieces_B, self.dtype)
            return _get_raw(self.model.get_image_features(pixel_values=batch)).float().cpu().numpy()


def _get_raw(features: Any) -> torch.Tensor:
    # transformers 4 gave the bare tensor.
    raw_BD: torch.Tensor = getattr(features, "pooler_output", features)
    return raw_BD
