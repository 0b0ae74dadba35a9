"""Texts for nets of transformers: a tokenizer checked against its net, and the text tower around both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import move_to_device
from pipelines.encode.loaders.text_padding import choose_width
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    import torch

# A tokenizer built without its vocabulary has its special tokens, five or fewer, and little more.
_LEAST_VOCABULARY = 100

_TOKENIZER_FILES = "tokenizer.json or vocab.json"


class TextTokenizer:
    """A text -> one piece, its token ids and, if the model was trained with it, their mask [1 or 2, L]."""

    def __init__(self, where: str, tokenizer: Any, length: int, vocabulary: int, place: str) -> None:
        """Check a tokenizer against the net it belongs to.

        Args:
            where: the key that names the encoder, for errors.
            tokenizer: of transformers.
            length: that every text is padded or cut to.
            vocabulary: how many tokens the net knows.
            place: its folder or repository, for errors.

        Raises:
            ConfigError: it knows no words, or words that the net does not.
        """
        self._tokenizer = tokenizer
        self.length = length
        # A tokenizer of the tokenizers package cannot be used by two threads at once.
        self._lock = threading.Lock()
        one, other = (self.tokenize(text) for text in ("a dog is barking", "rain on a tin roof"))
        # transformers builds a tokenizer without its vocabulary and does not say so.
        if len(tokenizer) < _LEAST_VOCABULARY or np.array_equal(one, other):
            raise ConfigError(
                f"{where}: the tokenizer in {place} knows {len(tokenizer)} tokens and cannot tell "
                f"captions apart; put its {_TOKENIZER_FILES} there"
            )
        if len(tokenizer) > vocabulary:
            raise ConfigError(
                f"{where}: the tokenizer in {place} knows {len(tokenizer)} tokens and the net "
                f"{vocabulary}; put the tokenizer there that the net was trained with"
            )

    @property
    def serialized(self) -> str:
        """The content of its tokenizer.json: all that decides which ids a text gets."""
        content: str = self._tokenizer.backend_tokenizer.to_str()
        return content

    def tokenize(self, text: str) -> np.ndarray:
        """Return a text as int64 [1, 1 or 2, W]: cut to L, or padded to the narrowest width that holds it."""
        with self._lock:
            encoded = self._tokenizer(
                text, padding="max_length", truncation=True, max_length=self.length, return_tensors="np"
            )
        parts = [encoded[name] for name in ("input_ids", "attention_mask") if name in encoded]
        pieces = np.stack(parts, axis=1).astype(np.int64)
        if len(parts) == 1 or self._tokenizer.padding_side != "right":
            return pieces  # a net without a mask reads the padding too
        return pieces[..., : choose_width(int(pieces[0, 1].sum()), self.length)]


@dataclass(frozen=True)
class TextTower:
    """A text -> one piece, its token ids and perhaps their mask [1 or 2, L].

    Attributes:
        tokenizer: of the net.
        net: takes `input_ids` and, where the tokenizer makes one, `attention_mask`, both [B, L]; gives raw
            vectors [B, D].
    """

    tokenizer: TextTokenizer
    net: Callable[[dict[str, torch.Tensor]], torch.Tensor]

    def prepare(self, item: str) -> np.ndarray:
        """Tokenize; what is longer than the model's context is cut, what is shorter is padded."""
        return self.tokenizer.tokenize(item)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Ids and masks, int64 [B, 1 or 2, L], to raw vectors."""
        import torch

        with torch.inference_mode():
            parts = move_to_device(pieces_B).unbind(1)
            raw_BD = self.net(dict(zip(("input_ids", "attention_mask"), parts, strict=False)))
            return raw_BD.float().cpu().numpy()
