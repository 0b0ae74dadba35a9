"""Texts for the nets of transformers: tokenizers, checked against their net, and the tower around them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import move_to_device
from pipelines.encode.loaders.text_padding import choose_width
from pipelines.errors import ConfigError
from schemas.vectors import Family

if TYPE_CHECKING:
    import torch

# Special tokens are five or fewer: a tokenizer that has little more was built without its vocabulary.
_LEAST_VOCABULARY = 100

_TOKENIZER_FILES = "tokenizer.json or vocab.json"


class TextTokenizer:
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
                f"captions apart; put its {_TOKENIZER_FILES} there"
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
        return pieces[..., : choose_width(int(pieces[0, 1].sum()), self.length)]


@dataclass(frozen=True)
class TextTower:
    """A text -> one piece, its token ids and perhaps their mask [1 or 2, L].

    Attributes:
        tokens: of the net.
        net: takes `input_ids` and, where the tokenizer makes one, `attention_mask`, both [B, L]; gives raw
            vectors [B, D].
    """

    tokens: TextTokenizer
    net: Callable[[dict[str, torch.Tensor]], torch.Tensor]

    def prepare(self, item: str) -> np.ndarray:
        """Tokenize; what is longer than the model's context is cut, what is shorter is padded."""
        return self.tokens.pieces(item)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Ids and masks, int64 [B, 1 or 2, L], to raw vectors."""
        import torch

        with torch.inference_mode():
            parts = move_to_device(pieces_B).unbind(1)
            raw_BD = self.net(dict(zip(("input_ids", "attention_mask"), parts, strict=False)))
            return raw_BD.float().cpu().numpy()
