"""The words of a captioner: a tokenizer beside its weights, checked against its GPT-2."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.encode.loaders.weights import get_first_line
from pipelines.errors import ConfigError
from schemas.captioner import Gpt2Shape

# A tokenizer built without its vocabulary has its special tokens, five or fewer.
_LEAST_VOCABULARY = 50


class CaptionTokenizer:
    """Texts -> the tokens of a GPT-2, and back.

    Args:
        tokenizer: of transformers.
        shape: of the GPT-2.
        where: it lies, for errors.

    Raises:
        ConfigError: it knows no words, or others than the net.
    """

    def __init__(self, tokenizer: Any, shape: Gpt2Shape, where: str) -> None:
        self._tokenizer, self._shape = tokenizer, shape
        # A tokenizer of the tokenizers package cannot be used by two threads at once.
        self._lock = threading.Lock()
        count = len(tokenizer)
        if count != shape.vocabulary:
            raise ConfigError(
                f"the vocabulary in {where} has {count:,} tokens and the captioner {shape.vocabulary:,}; put "
                "the vocabulary there that it was trained with"
            )
        if count < _LEAST_VOCABULARY or self.tokenize("a dog") == self.tokenize("rain"):
            raise ConfigError(
                f"the vocabulary in {where} has {count:,} tokens and cannot tell captions apart; put its "
                "tokenizer.json, or vocab.json and merges.txt there"
            )

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a caption, and the end token."""
        with self._lock:
            ids = self._tokenizer(text, add_special_tokens=False).input_ids
        return [*ids, self._shape.end]

    def decode(self, ids: Sequence[int], stop: str | None = None) -> str:
        """Return the words of tokens up to the end token, or up to a mark that ends a caption.

        Args:
            ids: that the net gave.
            stop: the mark, which stays; None for none.
        """
        end = self._shape.end
        known = list(ids[: ids.index(end)]) if end in ids else list(ids)
        with self._lock:
            text: str = self._tokenizer.decode(known, skip_special_tokens=True)
        text = " ".join(text.split())
        if stop and stop in text:
            text = text[: text.index(stop) + len(stop)]
        return text

    def find_stops(self, stop: str | None) -> tuple[int, ...]:
        """Return the token of a mark that ends a caption; none if it is no single token."""
        ids = self.tokenize(stop)[:-1] if stop else []
        return tuple(ids) if len(ids) == 1 else ()

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        self._tokenizer.save_pretrained(folder)


def load_caption_tokenizer(folder: Path, shape: Gpt2Shape) -> CaptionTokenizer:
    """Return the tokenizer in a folder.

    Args:
        folder: of tokenizer.json, or of vocab.json and merges.txt.
        shape: of the GPT-2.

    Raises:
        ConfigError: there is none, or it does not fit.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ConfigError(
            f"there is no vocabulary in {folder}; put tokenizer.json, or vocab.json and merges.txt there"
        )
    try:
        tokenizer = _load(AutoTokenizer, folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"the vocabulary in {folder} cannot be read ({get_first_line(error)}); copy it again"
        ) from error
    return CaptionTokenizer(tokenizer, shape, str(folder))


def _load(auto: Any, folder: Path) -> Any:
    from transformers import GPT2Tokenizer

    if (folder / "tokenizer.json").is_file():
        return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # The published files have no configuration that would say what they are.
    return GPT2Tokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
