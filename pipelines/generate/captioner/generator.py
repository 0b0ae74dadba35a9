"""A captioner at work: batches of vectors -> texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.generate.captioner.params import CaptionerParams
from pipelines.generate.captioner.tokenizer import CaptionTokenizer
from pipelines.generate.generator import Conditions, Samples, StepProgress
from pipelines.models.prefix_captioner import PrefixCaptioner
from schemas.families import Column, get_family
from schemas.media import Medium


class CaptionGenerator:
    """A loaded captioner.

    Args:
        net: for inference.
        tokenizer: of its GPT-2.
        column: that it reads.
        batch_rows: of every forward. A smaller batch is padded: the last digit of a score depends on the
            size of its batch, and of two captions that score alike the other one could be taken.
    """

    medium: Medium = "text"

    def __init__(
        self, net: PrefixCaptioner, tokenizer: CaptionTokenizer, column: Column, batch_rows: int
    ) -> None:
        self.reads: tuple[str, ...] = (column,)
        self._net, self._tokenizer, self._column = net.to(choose_device()), tokenizer, column
        self._batch_rows = batch_rows

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002 - it has no text tower
        """Return None: its words are tokens, and no vectors of a space."""
        return None

    def generate(
        self,
        prompts: Conditions,
        seeds: Sequence[int],
        params: CaptionerParams,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return a caption of every vector; beam search draws nothing, so seeds change nothing.

        Args:
            prompts: vectors of the column, float32 `[N, D]`; their norms do not matter.
            seeds: one a caption.
            params: of all captions.
            progress: called after each batch.

        Raises:
            ConfigError: the vectors have other dimensions than the captioner's.
        """
        family, card = get_family(self._column), self._net.card
        vectors_ND = np.asarray(prompts[self._column], np.float32)
        dims = card.mappers[family].dims
        if vectors_ND.shape != (len(seeds), dims):
            raise ConfigError(
                f"the captioner was given vectors {list(vectors_ND.shape)} and {len(seeds)} seeds; it takes "
                f"a vector of {dims} numbers for each seed"
            )
        rows, stops = self._batch_rows, self._tokenizer.find_stops(card.stop)
        total, made = -(-len(seeds) // rows), []
        for number, start in enumerate(range(0, len(seeds), rows), 1):
            own_ND = vectors_ND[start : start + rows]
            padded_BD = np.resize(own_ND, (rows, dims))
            ids_BT = self._net.generate_tokens(
                torch.from_numpy(padded_BD).to(choose_device()),
                family,
                params.beams,
                params.tokens,
                params.length_penalty,
                stops,
            )
            made += [self._tokenizer.decode(ids, card.stop) for ids in ids_BT[: len(own_ND)].tolist()]
            if progress:
                progress(number, total)
        return Samples("text", made)
