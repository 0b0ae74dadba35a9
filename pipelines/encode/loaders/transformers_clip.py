"""transformers -> the image and text towers of a CLIPModel, SiglipModel and what has their shape."""

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
from schemas.vectors import Family

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TransformersClip(TransformersLoader):
    """An image-text model of transformers."""

    family: ClassVar[Family] = "clip"
    # Each has get_image_features(pixel_values) and get_text_features(ids, mask).
    classes: ClassVar[Mapping[str, str]] = {
        "clip": "CLIPModel",
        "siglip": "SiglipModel",
        "metaclip_2": "MetaClip2Model",
    }

    def _positions(self, config: Any) -> int:
        return int(config.text_config.max_position_embeddings)

    def _dims(self, config: Any) -> int:
        if config.model_type == "siglip":
            return int(config.text_config.projection_size)
        return int(config.projection_dim)

    def _steps(self, processor: Any) -> str:
        return f"image: {_steps(processor.image_processor)}"

    def _towers(self, model: Any, processor: Any, tokens: TextTokenizer) -> Towers:
        return {
            "image": _Pictures(model, processor.image_processor, get_dtype(self.precision)),
            "text": TextTower(tokens, lambda given: _raw(model.get_text_features(**given))),
        }


def _steps(of: Any) -> str:
    """What a picture goes through, in one line."""
    written = of.to_dict()
    steps = ["RGB"]
    if written.get("do_resize"):
        size = ",".join(
            f"{side} {pixels}" for side, pixels in sorted(dict(written["size"]).items()) if pixels
        )
        steps.append(f"resize {size} (filter {int(written['resample'])})")
    if written.get("do_center_crop"):
        crop = dict(written["crop_size"])
        steps.append(f"crop {crop['height']}x{crop['width']}")
    if written.get("do_rescale"):
        steps.append(f"times {written['rescale_factor']:.8g}")
    if written.get("do_normalize"):
        mean, std = (
            ",".join(f"{value:.8g}" for value in written[f"image_{part}"]) for part in ("mean", "std")
        )
        steps.append(f"mean {mean}, std {std}")
    return f"{type(of).__name__}: {', '.join(steps)}"


@dataclass(frozen=True)
class _Pictures:
    """Bytes of a picture file -> one piece [3, H, W]."""

    model: Any
    processor: Any
    dtype: torch.dtype

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, resize, crop and standardise, as the model's processor does."""
        # Every picture in colour, whatever the processor's own default for its kind.
        made = self.processor(images=decode_image(item).convert("RGB"), return_tensors="pt")
        pixels: np.ndarray = made["pixel_values"].numpy()
        return pixels

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Pictures, float32 [B, 3, H, W], to raw vectors."""
        import torch

        with torch.inference_mode():
            batch = move_to_device(pieces_B, self.dtype)
            return _raw(self.model.get_image_features(pixel_values=batch)).float().cpu().numpy()


def _raw(features: Any) -> torch.Tensor:
    # transformers 4 gave the bare tensor.
    raw_BD: torch.Tensor = getattr(features, "pooler_output", features)
    return raw_BD
