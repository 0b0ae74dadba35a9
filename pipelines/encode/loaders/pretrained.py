"""Models that transformers saved, in a folder or on the hub: their files, and nets with all their weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.compute.device import choose_device, get_dtype
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.hub import download_repository
from pipelines.encode.loaders.tokenizer import TextTokenizer
from pipelines.encode.loaders.weights import (
    as_config_errors,
    compute_fingerprint,
    get_first_line,
    make_missing_error,
)
from pipelines.errors import ConfigError
from schemas.families import Family
from schemas.space import Precision, Space

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

        saved, config, processor, tokenizer = self._read()
        return Space(
            encoder=self.name or f"transformers:{saved.name}",
            weights_sha256=compute_fingerprint(saved.weights),
            library=f"transformers {transformers.__version__}",
            preprocessing=f"{self._describe_media(processor)}; text: {tokenizer.length} tokens",
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=self._get_dims(config),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill the model.
        """
        import transformers

        saved, config, processor, tokenizer = self._read()
        model_class = getattr(transformers, self.classes[config.model_type])
        net = saved.load_net(model_class, get_dtype(self.precision))
        return self._make_towers(net, processor, tokenizer)

    def _read(self) -> tuple[PretrainedModel, Any, Any, TextTokenizer]:
        saved = PretrainedModel.find(f"encode.{self.family}", self.weights, self.revision)
        config, processor = saved.read_config(*self.classes), saved.read_processor()
        length = int(min(self._get_max_tokens(config), processor.tokenizer.model_max_length))
        vocabulary = config.text_config.vocab_size
        tokenizer = TextTokenizer(saved.where, processor.tokenizer, length, vocabulary, str(saved.folder))
        return saved, config, processor, tokenizer

    @abstractmethod
    def _get_max_tokens(self, config: Any) -> int:
        """Return how many tokens of a text the net has positions for."""

    @abstractmethod
    def _get_dims(self, config: Any) -> int:
        """Return the length of the vectors."""

    @abstractmethod
    def _describe_media(self, processor: Any) -> str:
        """Return the preprocessing of pictures or sounds in one line."""

    @abstractmethod
    def _make_towers(self, model: Any, processor: Any, tokenizer: TextTokenizer) -> Towers:
        """Return the towers of a net that has its weights."""


@dataclass(frozen=True)
class PretrainedModel:
    """A model that transformers saved, on this machine.

    Attributes:
        where: the key or the part that names it, as in encode.clip, for errors.
        folder: with config.json, weights and processor.
        name: of the model, with the commit if it came from the hub.
    """

    where: str
    folder: Path
    name: str

    @classmethod
    def find(cls, where: str, weights: str, revision: str | None) -> PretrainedModel:
        """Return a model, fetched if it must be, with weights in it.

        Args:
            where: the key or the part that names it.
            weights: a folder, or a repository of the hub.
            revision: a commit of the repository; its newest if None.

        Raises:
            ConfigError: there is no such folder, repository or revision.
        """
        if Path(weights).is_dir():
            folder = Path(weights).resolve()
            model = cls(where, folder, folder.name)
        else:
            folder = download_repository(
                where,
                weights,
                revision,
                files=("*.json", "*.txt", "spiece.model", "model*.safetensors"),
                safetensors="model*.safetensors",
                pickled=("pytorch_model*.bin",),
            )
            model = cls(where, folder, f"{weights}@{folder.name}")
        _ = model.weights
        return model

    @property
    def weights(self) -> list[Path]:
        """The files of the weights.

        Raises:
            ConfigError: there are none.
        """
        for pattern in ("model*.safetensors", "pytorch_model*.bin"):
            if files := sorted(self.folder.glob(pattern)):
                return files
        raise make_missing_error(self.where, f"{self.folder} holds no model.safetensors")

    def read_config(self, *kinds: str) -> Any:
        """Return the configuration.

        Args:
            kinds: the values that its model_type may have.

        Raises:
            ConfigError: there is none, or it is of another kind.
        """
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise make_missing_error(
                self.where,
                f"{self.folder} has no config.json that transformers reads ({get_first_line(error)})",
            ) from error
        if config.model_type not in kinds:
            raise ConfigError(
                f"{self.where}: {self.folder} holds a {config.model_type} model, not a "
                f"{' or '.join(kinds)}; name a folder with one"
            )
        return config

    def read_processor(self) -> Any:
        """Return the processor: the preprocessing of media, and the tokenizer.

        Raises:
            ConfigError: a file of it is missing.
        """
        import transformers

        AutoProcessor: Any = transformers.AutoProcessor
        try:
            return AutoProcessor.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(
                f"{self.where}: the feature extractor or tokenizer in {self.folder} cannot be read "
                f"({get_first_line(error)}); save the model with its processor"
            ) from error

    def load_net(self, model_class: Any, dtype: torch.dtype) -> Any:
        """Return the net with its weights, on the GPU if there is one.

        Args:
            model_class: of transformers.
            dtype: of weights and activations.

        Raises:
            ConfigError: the weights lack a tensor of the net, or one has another shape.
        """
        with _hide_progress_bar(), as_config_errors(self.where, str(self.folder)):
            model, report = model_class.from_pretrained(
                self.folder,
                dtype=dtype,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
            )
        # transformers fills what is missing with random numbers and only logs it.
        wrong = sorted(report["missing_keys"]) + [str(key) for key in report["mismatched_keys"]]
        if wrong:
            raise ConfigError(
                f"{self.where}: the weights in {self.folder} lack {len(wrong)} tensors of its "
                f"config.json (first {wrong[0]}); check that weights and config.json belong together"
            )
        return model.eval().to(choose_device())


@contextmanager
def _hide_progress_bar() -> Iterator[None]:
    """Keep transformers' progress bar for loading out of the output."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
