"""Models that transformers saved: a folder or a repository of the hub -> checked files, filled nets."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.compute.device import choose_device, get_dtype
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.tokenizer import TextTokenizer
from pipelines.encode.loaders.weights import (
    as_config_errors,
    compute_fingerprint,
    get_first_line,
    make_missing_error,
)
from pipelines.errors import ConfigError
from schemas.space import Precision, Space
from schemas.vectors import Family

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TransformersLoader(ABC):
    """A loader of models that transformers saved; a subclass knows one family of them.

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

    family: ClassVar[Family]
    # model_type of config.json -> the class of transformers.
    classes: ClassVar[Mapping[str, str]]

    def space(self) -> Space:
        """Return the space: reads the configuration, finds (or fetches) and hashes the weights.

        Raises:
            ConfigError: no such folder, repository or revision, or a tokenizer of another net.
        """
        import transformers

        found, config, processor, tokens = self._read()
        return Space(
            encoder=self.name or f"transformers:{found.name}",
            weights_sha256=compute_fingerprint(found.weights),
            library=f"transformers {transformers.__version__}",
            preprocessing=f"{self._steps(processor)}; text: {tokens.length} tokens",
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=self._dims(config),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill the model.
        """
        import transformers

        found, config, processor, tokens = self._read()
        of = getattr(transformers, self.classes[config.model_type])
        return self._towers(found.filled(of, get_dtype(self.precision)), processor, tokens)

    def _read(self) -> tuple[PretrainedModel, Any, Any, TextTokenizer]:
        found = PretrainedModel.find(self.family, self.weights, self.revision)
        config, processor = found.config(*self.classes), found.processor()
        longest = min(self._positions(config), processor.tokenizer.model_max_length)
        vocabulary = config.text_config.vocab_size
        tokens = TextTokenizer(self.family, processor.tokenizer, int(longest), vocabulary, str(found.folder))
        return found, config, processor, tokens

    @abstractmethod
    def _positions(self, config: Any) -> int:
        """How many tokens of a text the net has positions for."""

    @abstractmethod
    def _dims(self, config: Any) -> int:
        """Of the vectors."""

    @abstractmethod
    def _steps(self, processor: Any) -> str:
        """What pictures or sounds go through, in one line."""

    @abstractmethod
    def _towers(self, model: Any, processor: Any, tokens: TextTokenizer) -> Towers:
        """The towers of a filled net."""


@dataclass(frozen=True)
class PretrainedModel:
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
    def find(cls, family: Family, weights: str, revision: str | None) -> PretrainedModel:
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
        raise make_missing_error(self.family, f"{self.folder} holds no model.safetensors")

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
            raise make_missing_error(
                self.family,
                f"{self.folder} has no config.json that transformers reads ({get_first_line(error)})",
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
                f"({get_first_line(error)}); save the model with its processor"
            ) from error

    def filled(self, model_class: Any, dtype: torch.dtype) -> Any:
        """Return the net with its weights, on the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill it.
        """
        with _quiet(), as_config_errors(self.family, str(self.folder)):
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
        return model.eval().to(choose_device())


def _fetched(family: Family, repository: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository):
        raise make_missing_error(family, f"there is no folder {repository}")
    check_commit(family, repository, revision)
    from huggingface_hub import snapshot_download

    try:
        files = ["*.json", "*.txt", "spiece.model", "model*.safetensors"]
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=files))
        if not list(folder.glob("model*.safetensors")):
            snapshot_download(repository, revision=revision, allow_patterns=["pytorch_model*.bin"])
    except (OSError, ValueError) as error:
        raise make_missing_error(
            family, f"{repository} is no folder here and could not be fetched ({get_first_line(error)})"
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
