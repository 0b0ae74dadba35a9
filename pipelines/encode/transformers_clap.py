"""transformers -> the audio and text towers of a ClapModel: a local folder or a repository of the hub."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.encode.encoder import Towers
from pipelines.encode.waveform import mono, window_starts
from pipelines.encode.weights import fingerprint, first_line, loading, missing
from pipelines.errors import ConfigError
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

# LAION trained CLAP on captions of at most 77 tokens, whatever its tokenizer allows.
_MAX_TOKENS = 77

# RoBERTa's special tokens are five: a tokenizer that has little more was built without its vocabulary.
_LEAST_VOCABULARY = 100


@dataclass(frozen=True)
class TransformersClap:
    """A ClapModel of transformers.

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
            ConfigError: no such folder, repository or revision, or a tokenizer without its vocabulary.
        """
        folder = _folder(self.weights, self.revision)
        return self._space(folder, _config(folder), _Processor.read(folder))

    def _space(self, folder: Path, config: Any, processor: _Processor) -> Space:
        import transformers

        return Space(
            encoder=self.name or _name(self.weights, folder),
            weights_sha256=fingerprint(_weights_files(folder)),
            library=f"transformers {transformers.__version__}",
            preprocessing=processor.preprocessing(config),
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=int(config.projection_dim),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill the model.
        """
        import torch
        import transformers

        # Any: its annotations leave out that from_pretrained may return a report as well.
        ClapModel: Any = transformers.ClapModel
        folder = _folder(self.weights, self.revision)
        config, processor = _config(folder), _Processor.read(folder)
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        dtype = dtypes[self.precision]
        with _quiet(), loading("clap", str(folder)):
            model, report = ClapModel.from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
        # transformers fills what is missing with random numbers and only logs it.
        wrong = sorted(report["missing_keys"]) + [str(key) for key in report["mismatched_keys"]]
        if wrong:
            raise ConfigError(
                f"encode.clap: the weights in {folder} lack {len(wrong)} tensors of its config.json "
                f"(first {wrong[0]}); check that weights and config.json belong together"
            )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model.eval().to(device)
        return {
            "audio": _Sounds(model, processor.extractor, device, dtype),
            "text": _Texts(model, processor.tokenizer, processor.tokens(config), device),
        }


def _name(weights: str, folder: Path) -> str:
    if Path(weights).is_dir():
        return f"transformers:{folder.name}"
    return f"transformers:{weights}@{folder.name}"  # the hub's cache names a snapshot by its commit


def _folder(weights: str, revision: str | None) -> Path:
    """Return the local folder of a model, fetched if it must be, with weights in it."""
    folder = Path(weights).resolve() if Path(weights).is_dir() else _fetched(weights, revision)
    _weights_files(folder)
    return folder


def _fetched(repository: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository):
        raise missing("clap", f"there is no folder {repository}")
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ConfigError(
            f"encode.clap.revision: {revision!r} may move; give the 40 hex digits of a commit of {repository}"
        )
    from huggingface_hub import snapshot_download

    try:
        files = ["*.json", "*.txt", "model*.safetensors"]
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=files))
        if not list(folder.glob("model*.safetensors")):
            snapshot_download(repository, revision=revision, allow_patterns=["pytorch_model*.bin"])
    except (OSError, ValueError) as error:
        raise missing(
            "clap", f"{repository} is no folder here and could not be fetched ({first_line(error)})"
        ) from error
    return folder


def _weights_files(folder: Path) -> list[Path]:
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            return files
    raise missing("clap", f"{folder} holds no model.safetensors")


def _config(folder: Path) -> Any:
    from transformers import AutoConfig, ClapConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise missing(
            "clap", f"{folder} has no config.json that transformers reads ({first_line(error)})"
        ) from error
    if not isinstance(config, ClapConfig):
        raise ConfigError(
            f"encode.clap: {folder} holds a {config.model_type} model, not a clap; "
            "name a folder with a ClapModel"
        )
    return config


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bar for loading out of everybody's output."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@dataclass(frozen=True)
class _Processor:
    """What turns sounds and texts into what the model takes."""

    extractor: Any
    tokenizer: Any

    @classmethod
    def read(cls, folder: Path) -> _Processor:
        """Read the processor's files.

        Raises:
            ConfigError: a file is missing, or the tokenizer knows no words.
        """
        import transformers

        AutoProcessor: Any = transformers.AutoProcessor
        try:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"encode.clap: the feature extractor or tokenizer in {folder} cannot be read "
                f"({first_line(error)}); save the model with its ClapProcessor"
            ) from error
        _check_tokenizer(processor.tokenizer, folder)
        return cls(processor.feature_extractor, processor.tokenizer)

    def tokens(self, config: Any) -> int:
        """Return the length that every text is padded or cut to."""
        # RoBERTa counts its positions from pad_token_id + 1.
        positions = config.text_config.max_position_embeddings - config.text_config.pad_token_id - 1
        return int(min(_MAX_TOKENS, self.tokenizer.model_max_length, positions))

    def preprocessing(self, config: Any) -> str:
        """Return what happens to media, in one line."""
        of = self.extractor
        return (
            f"audio: mono {of.sampling_rate} Hz, int16, windows of {of.nb_max_samples} samples "
            f"({of.padding}, {of.truncation}), {of.feature_size} mels "
            f"{of.frequency_min:g}-{of.frequency_max:g} Hz, fft {of.fft_window_size}, hop {of.hop_length}; "
            f"text: {self.tokens(config)} tokens"
        )


def _check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer without its vocabulary: the library builds one and says nothing."""
    one, other = (tokenizer(text)["input_ids"] for text in ("a dog is barking", "rain on a tin roof"))
    if len(tokenizer) < _LEAST_VOCABULARY or one == other:
        raise ConfigError(
            f"encode.clap: the tokenizer in {folder} knows {len(tokenizer)} tokens and cannot tell captions "
            "apart; put its tokenizer.json there"
        )


class _Sounds:
    """Bytes of a sound file -> its windows, log-mel spectrograms [1 or 4, T, M]."""

    def __init__(self, model: Any, extractor: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._model = model
        self._extractor = extractor
        self._device = device
        self._dtype = dtype

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, mix to mono, resample, quantise as CLAP was trained, and cut into windows.

        No window is longer than the model's, so the extractor never cuts at random; it fills up a short
        one by its own rule.
        """
        samples_T = mono(item, self._extractor.sampling_rate)
        window = self._extractor.nb_max_samples
        mels = [
            self._extractor(
                samples_T[start : start + window],
                sampling_rate=self._extractor.sampling_rate,
                return_tensors="np",
            )["input_features"]
            for start in window_starts(len(samples_T), window)
        ]
        return np.concatenate(mels).astype(np.float32)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Spectrograms, float32 [B, 1 or 4, T, M], to raw vectors; get_audio_features normalises."""
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(pieces_B).to(self._device, self._dtype)
            # A model with fusion mixes in crops of a longer sound; a window never is longer.
            longer = torch.zeros((len(batch), 1), dtype=torch.bool, device=self._device)
            pooled = self._model.audio_model(input_features=batch, is_longer=longer).pooler_output
            raw_BD: np.ndarray = self._model.audio_projection(pooled).float().cpu().numpy()
        return raw_BD


class _Texts:
    """A text -> one piece, its token ids and their mask [2, L]."""

    def __init__(self, model: Any, tokenizer: Any, tokens: int, device: torch.device) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._device = device
        # A tokenizer of the tokenizers package cannot be used by two threads at once.
        self._turn = threading.Lock()

    def prepare(self, item: str) -> np.ndarray:
        """Tokenize; what is longer than the model's context is cut, what is shorter is padded."""
        with self._turn:
            made = self._tokenizer(
                item, padding="max_length", truncation=True, max_length=self._tokens, return_tensors="np"
            )
        return np.stack([made["input_ids"], made["attention_mask"]], axis=1)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Ids and masks, int64 [B, 2, L], to raw vectors; get_text_features normalises."""
        import torch

        with torch.inference_mode():
            ids, mask = torch.from_numpy(pieces_B).to(self._device).unbind(1)
            pooled = self._model.text_model(input_ids=ids, attention_mask=mask).pooler_output
            raw_BD: np.ndarray = self._model.text_projection(pooled).float().cpu().numpy()
        return raw_BD
