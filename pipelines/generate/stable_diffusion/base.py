"""The base of pictures: a Stable Diffusion that diffusers saved, by folder or from the hub."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.hub import download_repository, report_licence
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint, get_first_line
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_log = logging.getLogger(__name__)

POCKET = "pocket"
POCKET_BASE = WEIGHTS / "stable_diffusion"
# The file of weights of each net. Weights in a pickle are never read: safetensors hold nothing but numbers.
_WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
PARTS = (*_WEIGHTS, "tokenizer", "scheduler")
_ADVICE = "a folder that diffusers saved, or OWNER/NAME of the hub"


@dataclass(frozen=True)
class DiffusionBase:
    """A loaded Stable Diffusion.

    Attributes:
        unet: `UNet2DConditionModel`.
        vae: `AutoencoderKL`.
        text_encoder: `CLIPTextModel`.
        tokenizer: of it.
        scheduler: of diffusers.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    @property
    def text_length(self) -> int:
        """The tokens of a text."""
        return int(self.text_encoder.config.max_position_embeddings)

    @property
    def picture_px(self) -> int:
        """The side of its pictures."""
        return int(self.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1))

    def encode_words(self, texts: Sequence[str]) -> Tensor:
        """Return the token states of texts, `[N, T, C]`, as diffusers computes them.

        A longer text is cut, which is logged.

        Args:
            texts: one a row.
        """
        for text in dict.fromkeys(texts):
            found = len(self.tokenizer(text).input_ids)
            if found > self.text_length:
                _log.warning(
                    "a text of %d tokens is cut at the %d that the base reads: %r",
                    found,
                    self.text_length,
                    text[:80],
                )
        ids = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.text_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        states: Tensor = self.text_encoder(ids.to(self.text_encoder.device))[0]
        return states


def find_base(weights: str, revision: str | None = None, parts: Sequence[str] = PARTS) -> Path:
    """Return the folder of a base; one that is fetched is logged with its licence.

    Args:
        weights: `POCKET`, a folder, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        parts: the folders that are needed.

    Raises:
        ConfigError: there is none, or parts of it are missing or have no safetensors.
    """
    if weights == POCKET:
        if not (POCKET_BASE / "model_index.json").is_file():
            raise ConfigError(
                f"base pocket: there is no model_index.json in {POCKET_BASE}; train it with `echolens pocket "
                "stable_diffusion`"
            )
        folder = POCKET_BASE
    elif Path(weights).is_dir():
        folder = Path(weights).resolve()
    else:
        folder = _download(weights, revision, parts)
    if lacking := [part for part in ("model_index.json", *parts) if not (folder / part).exists()]:
        raise ConfigError(
            f"base {weights}: {folder} is no Stable Diffusion that diffusers saved (no {lacking[0]} in it); "
            f"give {POCKET}, {_ADVICE}"
        )
    for part in parts:
        if part in _WEIGHTS and not (folder / part / _WEIGHTS[part]).is_file():
            raise ConfigError(
                f"base {weights}: its {part} has no {_WEIGHTS[part]}, and weights in other formats are "
                "not read; save it again with safe_serialization=True"
            )
    return folder


def _download(weights: str, revision: str | None, parts: Sequence[str]) -> Path:
    if "/" not in weights:
        raise ConfigError(f"base {weights!r} is no folder here; give {POCKET}, {_ADVICE}")
    where = f"base {weights}"
    files = [f"{part}/{name}" for part in parts for name in ("*.json", "*.txt", _WEIGHTS.get(part, ""))]
    try:
        folder = download_repository(
            where,
            weights,
            revision,
            files=("model_index.json", "README.md", *files),
            safetensors="unet/*.safetensors",
            pickled=(),
        )
    except ConfigError as error:
        reason = str(error).removeprefix(f"{where}: ").partition("; put the weights")[0]
        raise ConfigError(f"{where}: {reason}; give {POCKET}, {_ADVICE}") from error
    report_licence(weights, folder)
    return folder


def hash_base(folder: Path, parts: Sequence[str] = PARTS) -> str:
    """Return one fingerprint of the weights and configurations of a base.

    Args:
        folder: of `find_base`.
        parts: that count.
    """
    suffixes = (".safetensors", ".json", ".txt")
    files = [file for part in parts for file in sorted((folder / part).iterdir())]
    return compute_fingerprint([file for file in files if file.suffix in suffixes])


def hash_unet(folder: Path) -> str:
    """Return the fingerprint of the weights of a base's UNet, which an adapter belongs to."""
    return compute_fingerprint([folder / "unet" / _WEIGHTS["unet"]])


def load_base(folder: Path, dtype: torch.dtype) -> DiffusionBase:
    """Return a base, on the GPU if there is one, for nothing but inference.

    Args:
        folder: of `find_base`.
        dtype: of the nets.

    Raises:
        ConfigError: a part cannot be loaded, or lacks weights.
    """
    import diffusers
    import transformers

    _silence_libraries()
    own: dict[str, Any] = {"local_files_only": True}
    name = str(_read_config(folder / "scheduler" / "scheduler_config.json").get("_class_name", ""))
    scheduler: Any = getattr(diffusers, name, None)
    # No other class of diffusers: its pipelines run code that lies beside the weights.
    is_scheduler = isinstance(scheduler, type) and issubclass(scheduler, diffusers.SchedulerMixin)
    if not is_scheduler:
        raise ConfigError(f"{folder} wants the scheduler {name!r}, which diffusers does not have")
    library: Any = diffusers
    text: Any = transformers.CLIPTextModel
    with _as_base_errors(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder / "tokenizer", trust_remote_code=False, **own
        )
        return DiffusionBase(
            unet=_load_net(library.UNet2DConditionModel, folder / "unet", torch_dtype=dtype, **own),
            vae=_load_net(library.AutoencoderKL, folder / "vae", torch_dtype=dtype, **own),
            text_encoder=_load_net(
                text, folder / "text_encoder", dtype=dtype, trust_remote_code=False, **own
            ),
            tokenizer=tokenizer,
            scheduler=scheduler.from_pretrained(folder / "scheduler", **own),
        )


def _load_net(net: Any, folder: Path, **options: Any) -> Any:
    loaded, report = net.from_pretrained(folder, output_loading_info=True, use_safetensors=True, **options)
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"the weights in {folder} lack {len(missing)} tensors of its config.json (first {missing[0]}); "
            "check that weights and config.json belong together"
        )
    return loaded.eval().requires_grad_(False).to(choose_device())


def _read_config(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read ({get_first_line(error)}); copy the base again") from error
    return content if isinstance(content, dict) else {}


@contextmanager
def _as_base_errors(folder: Path) -> Iterator[None]:
    """Turn what the libraries raise for weights they cannot use into one sentence."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the base in {folder} cannot be loaded ({get_first_line(error)}); copy it again, or take another"
        ) from error


def _silence_libraries() -> None:
    """Turn off the progress bars and warnings of the libraries; exceptions still arrive."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        logger: Any = library.utils.logging
        logger.set_verbosity_error()
        logger.disable_progress_bar()
