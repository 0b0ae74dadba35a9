"""transformers -> the image and text towers of a CLIPModel, SiglipModel and what has their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.encode.device import moved
from pipelines.encode.encoder import Towers
from pipelines.encode.pictures import opened
from pipelines.encode.pretrained import Pretrained, Tokens, device, dtype_of, ids_and_mask
from pipelines.encode.weights import fingerprint
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

# model_type -> its class: each has get_image_features(pixel_values) and get_text_features(ids, mask).
_MODELS = {"clip": "CLIPModel", "siglip": "SiglipModel", "metaclip_2": "MetaClip2Model"}


@dataclass(frozen=True)
class TransformersClip:
    """An image-text model of transformers.

    Attributes:
        weights: a folder, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        precision: of weights and activations.
        batch_rows: of every forward.
        name: of the space, where it shall not be made from the weights.
    """

    weights: str
    revision: str | None
    precision: Precision
    batch_rows: int
    name: str = ""

    def space(self) -> Space:
        """Return the space: reads the configuration, finds (or fetches) and hashes the weights.

        Raises:
            ConfigError: no such folder, repository or revision, or a tokenizer of another net.
        """
        import transformers

        found = Pretrained.find("clip", self.weights, self.revision)
        config, processor = found.config(*_MODELS), found.processor()
        tokens = _tokens(found, config, processor)
        return Space(
            encoder=self.name or f"transformers:{found.name}",
            weights_sha256=fingerprint(found.weights),
            library=f"transformers {transformers.__version__}",
            preprocessing=f"image: {_steps(processor.image_processor)}; text: {tokens.length} tokens",
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=_dims(config),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill the model.
        """
        import transformers

        found = Pretrained.find("clip", self.weights, self.revision)
        config, processor = found.config(*_MODELS), found.processor()
        tokens = _tokens(found, config, processor)
        dtype = dtype_of(self.precision)
        model = found.filled(getattr(transformers, _MODELS[config.model_type]), dtype)
        return {"image": _Pictures(model, processor.image_processor, dtype), "text": _Texts(model, tokens)}


def _dims(config: Any) -> int:
    if config.model_type == "siglip":
        return int(config.text_config.projection_size)
    return int(config.projection_dim)


def _tokens(found: Pretrained, config: Any, processor: Any) -> Tokens:
    of = config.text_config
    length = int(min(of.max_position_embeddings, processor.tokenizer.model_max_length))
    return Tokens("clip", processor.tokenizer, length, of.vocab_size, str(found.folder))


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
        with opened(item) as picture:
            # Every picture in colour, whatever the processor's own default for its kind.
            made = self.processor(images=picture.convert("RGB"), return_tensors="pt")
        pixels: np.ndarray = made["pixel_values"].numpy()
        return pixels

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Pictures, float32 [B, 3, H, W], to raw vectors."""
        import torch

        with torch.inference_mode():
            batch = moved(pieces_B, device(), self.dtype)
            return _raw(self.model.get_image_features(pixel_values=batch))


@dataclass(frozen=True)
class _Texts:
    """A text -> one piece, its token ids and perhaps their mask [1 or 2, L]."""

    model: Any
    tokens: Tokens

    def prepare(self, item: str) -> np.ndarray:
        """Tokenize; what is longer than the model's context is cut, what is shorter is padded."""
        return self.tokens.pieces(item)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Ids and masks, int64 [B, 1 or 2, L], to raw vectors."""
        import torch

        with torch.inference_mode():
            return _raw(self.model.get_text_features(**ids_and_mask(pieces_B)))


def _raw(features: Any) -> np.ndarray:
    # transformers 4 gave the bare tensor.
    made: np.ndarray = getattr(features, "pooler_output", features).float().cpu().numpy()
    return made
