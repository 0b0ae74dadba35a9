"""Models that transformers saved: a folder or a repository of the hub -> checked files, filled nets."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.encode.device import moved
from pipelines.encode.weights import first_line, loading, missing
from pipelines.encode.widths import width_of
from pipelines.errors import ConfigError
from schemas.space import Precision
from schemas.vectors import Family

if TYPE_CHECKING:
    import torch

# Special tokens are five or fewer: a tokenizer that has little more was built without its vocabulary.
_LEAST_VOCABULARY = 100

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "spiece.model")


@dataclass(frozen=True)
class Pretrained:
    """Where a model of transformers is, on this machine.

    Attributes:
        family: `clip` or `clap`, as in the dataset's file.
        folder: with config.json, weights and processor.
        name: of the model, with the commit if it came from the hub.
    """

    family: Family
    folder: Path
    name: str

    @classmethod
    def find(cls, family: Family, weights: str, revision: str | None) -> Pretrained:
        """Return a model, fetched if it must be, with weights in it.

        Args:
            family: of the encoder.
            weights: a folder, or a repository of the hub.
            revision: a commit of the repository; its newest if None.

        Raises:
            ConfigError: there is no such folder, repository or revision.
        """
        if Path(weights).is_dir():
            folder = Path(weights).resolve()
            found = cls(family, folder, folder.name)
        else:
            folder = _fetched(family, weights, revision)
            found = cls(family, folder, f"{weights}@{folder.name}")  # the hub's cache names it by its commit
        _ = found.weights
        return found

    @property
    def weights(self) -> list[Path]:
        """The files of the weights."""
        for pattern in ("model*.safetensors", "pytorch_model*.bin"):
            if files := sorted(self.folder.glob(pattern)):
                return files
        raise missing(self.family, f"{self.folder} holds no model.safetensors")

    def config(self, *kinds: str) -> Any:
        """Return the configuration.

        Args:
            kinds: the model_type it may have.

        Raises:
            ConfigError: there is none, or it is of another kind.
        """
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise missing(
                self.family, f"{self.folder} has no config.json that transformers reads ({first_line(error)})"
            ) from error
        if config.model_type not in kinds:
            raise ConfigError(
                f"encode.{self.family}: {self.folder} holds a {config.model_type} model, not a "
                f"{' or '.join(kinds)}; name a folder with one"
            )
        return config

    def processor(self) -> Any:
        """Return what turns media and texts into what the net takes.

        Raises:
            ConfigError: a file of it is missing.
        """
        import transformers

        AutoProcessor: Any = transformers.AutoProcessor
        try:
            return AutoProcessor.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(
                f"encode.{self.family}: the feature extractor or tokenizer in {self.folder} cannot be read "
                f"({first_line(error)}); save the model with its processor"
            ) from error

    def filled(self, model_class: Any, dtype: torch.dtype) -> Any:
        """Return the net with its weights, on the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill it.
        """
        with _quiet(), loading(self.family, str(self.folder)):
            model, report = model_class.from_pretrained(
                self.folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
        # transformers fills what is missing with random numbers and only logs it.
        wrong = sorted(report["missing_keys"]) + [str(key) for key in report["mismatched_keys"]]
        if wrong:
            raise ConfigError(
                f"encode.{self.family}: the weights in {self.folder} lack {len(wrong)} tensors of its "
                f"config.json (first {wrong[0]}); check that weights and config.json belong together"
            )
        return model.eval().to(device())


def _fetched(family: Family, repository: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository):
        raise missing(family, f"there is no folder {repository}")
    check_commit(family, repository, revision)
    from huggingface_hub import snapshot_download

    try:
        files = ["*.json", "*.txt", "spiece.model", "model*.safetensors"]
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=files))
        if not list(folder.glob("model*.safetensors")):
            snapshot_download(repository, revision=revision, allow_patterns=["pytorch_model*.bin"])
    except (OSError, ValueError) as error:
        raise missing(
            family, f"{repository} is no folder here and could not be fetched ({first_line(error)})"
        ) from error
    return folder


def check_commit(family: Family, repository: str, revision: str | None) -> None:
    """Refuse a branch or a tag: tomorrow it may be another model.

    Raises:
        ConfigError: the revision is no commit.
    """
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ConfigError(
            f"encode.{family}.revision: {revision!r} may move; give the 40 hex digits of a commit of "
            f"{repository}"
        )


def device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(precision: Precision) -> torch.dtype:
    """Return torch's word for a precision."""
    import torch

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return dtypes[precision]


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


class Tokens:
    """A text -> one piece, its token ids and, if the model was trained with it, their mask [1 or 2, L]."""

    def __init__(self, family: Family, tokenizer: Any, length: int, vocabulary: int, where: str) -> None:
        """Check a tokenizer against the net it belongs to.

        Args:
            family: of the encoder.
            tokenizer: of transformers.
            length: that every text is padded or cut to.
            vocabulary: how many tokens the net knows.
            where: the tokenizer was found, for errors.

        Raises:
            ConfigError: it knows no words, or words that the net does not.
        """
        self._tokenizer = tokenizer
        self.length = length
        # A tokenizer of the tokenizers package cannot be used by two threads at once.
        self._turn = threading.Lock()
        one, other = (self.pieces(text) for text in ("a dog is barking", "rain on a tin roof"))
        # A library builds a tokenizer without its vocabulary and says nothing.
        if len(tokenizer) < _LEAST_VOCABULARY or np.array_equal(one, other):
            raise ConfigError(
                f"encode.{family}: the tokenizer in {where} knows {len(tokenizer)} tokens and cannot tell "
                f"captions apart; put its {' or '.join(_TOKENIZER_FILES[:2])} there"
            )
        if len(tokenizer) > vocabulary:
            raise ConfigError(
                f"encode.{family}: the tokenizer in {where} knows {len(tokenizer)} tokens and the net "
                f"{vocabulary}; put the tokenizer there that the net was trained with"
            )

    @property
    def written(self) -> str:
        """The tokenizer as tokenizer.json has it: all that decides which ids a text gets."""
        written: str = self._tokenizer.backend_tokenizer.to_str()
        return written

    def pieces(self, text: str) -> np.ndarray:
        """Return a text as int64 [1, 1 or 2, W]: cut to L, or padded to the narrowest width that holds it."""
        with self._turn:
            made = self._tokenizer(
                text, padding="max_length", truncation=True, max_length=self.length, return_tensors="np"
            )
        parts = [made[name] for name in ("input_ids", "attention_mask") if name in made]
        pieces = np.stack(parts, axis=1).astype(np.int64)
        if len(parts) == 1 or self._tokenizer.padding_side != "right":
            return pieces  # a net without a mask reads the padding too
        return pieces[..., : width_of(int(pieces[0, 1].sum()), self.length)]


def ids_and_mask(pieces_B: np.ndarray) -> dict[str, torch.Tensor]:
    """Return pieces of `Tokens`, int64 [B, 1 or 2, L], as the arguments of a net."""
    parts = moved(pieces_B, device()).unbind(1)
    return dict(zip(("input_ids", "attention_mask"), parts, strict=False))
