"""Image and text towers of open_clip's models: named with a tag, from `hf-hub:`, or from `local-dir:`."""

from __future__ import annotations

import difflib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.compute.device import choose_device, move_to_device
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.hub import as_download_errors, refuse_remote_code
from pipelines.encode.loaders.image import decode_image
from pipelines.encode.loaders.text_padding import allow_narrow_batches, choose_width
from pipelines.encode.loaders.weights import (
    as_config_errors,
    compute_fingerprint,
    get_first_line,
    make_missing_error,
)
from pipelines.errors import ConfigError
from schemas.families import Modality
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

_LOCAL = "local-dir:"
_HUB = "hf-hub:"
_WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class OpenClip:
    """A model of open_clip.

    Attributes:
        model: a name that open_clip knows, `hf-hub:OWNER/NAME` or `local-dir:FOLDER`.
        weights: a tag or a file, for a name; the other two bring their own.
        precision: of weights and activations.
        batch_rows: of every forward.
        name: of the space, where it shall not be made from model and weights.
    """

    model: str
    weights: str
    precision: Precision
    batch_rows: int
    name: str = ""

    modalities: ClassVar[tuple[Modality, ...]] = ("image", "text")

    def space(self) -> Space:
        """Return the space: reads the configuration, finds (or fetches) and hashes the weights.

        Raises:
            ConfigError: no such model, tag or weights, weights trained with another activation, or a
                tokenizer of another net.
        """
        source = find_source(self.model, self.weights)
        _load_tokenizer(self.model, source)
        return self._make_space(source)

    def _make_space(self, source: ModelSource) -> Space:
        import open_clip

        return Space(
            encoder=self.name or _make_name(self.model, self.weights),
            weights_sha256=compute_fingerprint([source.weights]),
            library=f"open_clip_torch {open_clip.__version__}",
            preprocessing=_describe_preprocessing(source.preprocess_cfg, source.model_cfg),
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=int(source.model_cfg["embed_dim"]),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fit the model, or its tokenizer is missing.
        """
        import open_clip

        source = find_source(self.model, self.weights)
        space = self._make_space(source)
        brings_weights = self.model.startswith((_LOCAL, _HUB))
        with as_config_errors("encode.clip", space.encoder), refuse_remote_code():
            # pure_: all weights in the precision. open_clip's mixed bf16 is slower than fp32 on a CPU
            # (ViT-B-32: 15 images/s against 33; pure_bf16: 160; lowest cosine to fp32 0.99993 for both).
            model, _, transform = open_clip.create_model_and_transforms(
                self.model,
                pretrained=None if brings_weights else self.weights,
                precision=self.precision if self.precision == "fp32" else f"pure_{self.precision}",
                device=choose_device(),
                require_pretrained=True,
            )
        tokenizer = _load_tokenizer(self.model, source)
        loaded = _describe_preprocessing(model.visual.preprocess_cfg, source.model_cfg)
        if loaded != space.preprocessing:
            raise ConfigError(
                f"encode.clip: {space.encoder} loads with the preprocessing {loaded!r}, but its "
                f"configuration says {space.preprocessing!r}; correct its open_clip_config.json"
            )
        model.eval()
        return {
            "image": _ImageTower(model, transform, open_clip.get_input_dtype(self.precision)),
            "text": _TextTower(model, tokenizer),
        }


LOADERS = {"open_clip": OpenClip}


@dataclass(frozen=True)
class ModelSource:
    """What open_clip will build: its configuration, and the file of its weights."""

    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path


def _make_name(model: str, weights: str) -> str:
    if model.startswith(_LOCAL):
        return f"open_clip:{_LOCAL}{Path(model.removeprefix(_LOCAL)).name}"
    if model.startswith(_HUB):
        return f"open_clip:{model}"
    return f"open_clip:{model}:{Path(weights).name if Path(weights).is_file() else weights}"


def find_source(model: str, weights: str, where: str = "encode.clip") -> ModelSource:
    """Return the configuration and the weights of a model.

    Args:
        model: as `OpenClip.model`.
        weights: as `OpenClip.weights`.
        where: the key that names them, for errors.

    Raises:
        ConfigError: there is no such model, or no weights of it.
    """
    if model.startswith(_LOCAL):
        return _find_local(Path(model.removeprefix(_LOCAL)), where)
    if model.startswith(_HUB):
        return _find_on_hub(model.removeprefix(_HUB), where)
    return _find_named(model, weights, where)


def _find_local(folder: Path, where: str) -> ModelSource:
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise make_missing_error(where, f"there is no {config.name} in {folder}")
    # The choice of open_clip's own loading; it is not part of its public names.
    from open_clip.factory import _find_checkpoint_in_dir

    weights = _find_checkpoint_in_dir(folder)
    if weights is None:
        raise make_missing_error(
            where, f"{folder} holds a configuration but no weights ({', '.join(_WEIGHTS_SUFFIXES)})"
        )
    return _read_source(config, Path(weights), where)


def _find_on_hub(repository: str, where: str) -> ModelSource:
    # By open_clip: it chooses among several files of weights, and takes the same ones when it loads.
    from open_clip.pretrained import download_pretrained_from_hf

    with as_download_errors(where, repository):
        config = download_pretrained_from_hf(repository, filename="open_clip_config.json")
        weights = download_pretrained_from_hf(repository)
    return _read_source(Path(config), Path(weights), where)


def _read_source(config: Path, weights: Path, where: str) -> ModelSource:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        return _add_defaults(content["model_cfg"], content.get("preprocess_cfg", {}), weights)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{where}: {config} is not a configuration of open_clip ({get_first_line(error)}); "
            "it needs model_cfg with embed_dim, vision_cfg and text_cfg"
        ) from error


def _find_named(model: str, weights: str, where: str) -> ModelSource:
    import open_clip

    model_cfg = open_clip.get_model_config(model.replace("/", "-"))
    if model_cfg is None:
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.3)
        raise ConfigError(
            f"{where}: open_clip knows no model {model!r}; choose from its list_models() "
            f"(nearest: {', '.join(near) or 'none'})"
        )
    if Path(weights).is_file():
        return _add_defaults(model_cfg, {}, Path(weights))
    tag = open_clip.get_pretrained_cfg(model.replace("/", "-"), weights)
    if not tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise make_missing_error(
            where, f"weights {weights!r} are neither a file nor a tag of {model} (it has: {tags})"
        )
    _check_activation(where, model, model_cfg, weights, tag)
    with as_download_errors(where, f"{model}:{weights}"):
        file = open_clip.download_pretrained(tag)
    return _add_defaults(model_cfg, tag, Path(file))


def _check_activation(
    where: str, model: str, model_cfg: dict[str, Any], weights: str, tag: dict[str, Any]
) -> None:
    """Refuse weights trained with another activation: open_clip only warns, and every vector would be off."""
    trained, built = bool(tag.get("quick_gelu")), bool(model_cfg.get("quick_gelu"))
    if trained != built:
        twin = f"{model}-quickgelu" if trained else model.removesuffix("-quickgelu")
        raise ConfigError(
            f"{where}: weights {weights!r} were trained {'with' if trained else 'without'} QuickGELU, "
            f"but {model} is built {'with' if built else 'without'} it; take the model {twin}"
        )


def _load_tokenizer(model: str, source: ModelSource) -> Any:
    """Return the tokenizer, checked against the net: open_clip takes its own where none is named."""
    import open_clip

    text = source.model_cfg["text_cfg"]
    # The model's own configuration could ask for the code beside it to be run.
    own = {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
    with as_config_errors("encode.clip", f"the tokenizer of {model}"), refuse_remote_code():
        tokenizer = open_clip.get_tokenizer(model, **own)
    knows = len(tokenizer.tokenizer) if hasattr(tokenizer, "tokenizer") else tokenizer.vocab_size
    # A text tower of transformers has its vocabulary in a configuration of its own.
    net = knows if text.get("hf_model_name") else text.get("vocab_size", open_clip.CLIPTextCfg.vocab_size)
    one, other = tokenizer(["a dog is barking"]), tokenizer(["rain on a tin roof"])
    if knows > net or one.equal(other):
        raise ConfigError(
            f"encode.clip: the tokenizer of {model} knows {knows} tokens and the net {net}, or cannot tell "
            "captions apart; name the one it was trained with as text_cfg.hf_tokenizer_name"
        )
    return tokenizer


def _add_defaults(model_cfg: dict[str, Any], preprocess_cfg: dict[str, Any], weights: Path) -> ModelSource:
    from dataclasses import asdict

    from open_clip import CLIPVisionCfg
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    # Not CLIPVisionCfg(**vision_cfg): a ResNet lists its layers where a transformer counts them.
    size = model_cfg["vision_cfg"].get("image_size", CLIPVisionCfg.image_size)
    merged = merge_preprocess_dict(asdict(PreprocessCfg()), preprocess_cfg) | {"size": size}
    return ModelSource(model_cfg, merged, weights)


def _describe_preprocessing(preprocess_cfg: dict[str, Any], model_cfg: dict[str, Any]) -> str:
    size = preprocess_cfg["size"]
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    mean, std = (",".join(f"{value:.8g}" for value in preprocess_cfg[part]) for part in ("mean", "std"))
    text = model_cfg["text_cfg"]
    tokenizer = text.get("hf_tokenizer_name") or "CLIP BPE"
    return (
        f"image: RGB, {preprocess_cfg['resize_mode']} {preprocess_cfg['interpolation']} to {height}x{width}, "
        f"mean {mean}, std {std}; text: {tokenizer}, {text.get('context_length', 77)} tokens"
    )


@dataclass(frozen=True)
class _ImageTower:
    """Bytes of a picture file -> one piece [3, H, W]."""

    model: Any
    transform: Callable[[Any], torch.Tensor]
    dtype: torch.dtype | None

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, resize, crop and standardise, as open_clip does for evaluation."""
        return self.transform(decode_image(item)).numpy()[None]

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Pictures, float32 [B, 3, H, W], to raw vectors."""
        import torch

        with torch.inference_mode():
            batch = move_to_device(pieces_B, self.dtype)
            raw_BD: np.ndarray = self.model.encode_image(batch).float().cpu().numpy()
        return raw_BD


class _TextTower:
    """A text -> one piece, its token ids [L]."""

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], torch.Tensor]) -> None:
        self._model = model
        self._narrow = allow_narrow_batches(model)
        self._tokenizer = tokenizer
        # A tokenizer of the tokenizers package cannot be used by two threads at once.
        self._lock = threading.Lock()

    def prepare(self, item: str) -> np.ndarray:
        """Tokenize; what is longer than the model's context is cut, what is shorter is padded."""
        with self._lock:
            ids_1L: np.ndarray = self._tokenizer([item]).numpy()
        if not self._narrow:
            return ids_1L
        # Padding repeats the last id; a text that fills the context has none and is not cut.
        tokens = int(np.max(np.flatnonzero(ids_1L[0] != ids_1L[0, -1]), initial=-1)) + 2
        return ids_1L[:, : choose_width(tokens, ids_1L.shape[1])]

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Token ids, int64 [B, L], to raw vectors."""
        import torch

        with torch.inference_mode():
            batch = move_to_device(pieces_B)
            model = self._narrow.get(pieces_B.shape[1], self._model)
            raw_BD: np.ndarray = model.encode_text(batch).float().cpu().numpy()
        return raw_BD
