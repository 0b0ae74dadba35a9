"""A prefix captioner: a mapper a family turns a vector into tokens that one GPT-2 goes on from with words.

The form of ClipCap (Mokady et al. 2021, arXiv 2111.09734), with a mapper for each family of vectors.

Shapes: N vectors, D dimensions, L tokens of the prefix, T tokens of a caption, W the width of GPT-2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from pipelines.models.cards import read_card
from pipelines.models.towers import check_weights
from schemas.captioner import CaptionerCard, Gpt2Shape, MapperShape

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

CAPTIONER_CARD, WEIGHTS = "captioner.json", "model.safetensors"
# Tied to the embedding of words, so never stored.
_TIED = "gpt2.lm_head.weight"


class PrefixMapper(nn.Sequential):
    """A vector -> the tokens of a prefix."""

    def __init__(self, shape: MapperShape, prefix: int, width: int) -> None:
        super().__init__(
            nn.Linear(shape.dims, shape.hidden), nn.Tanh(), nn.Linear(shape.hidden, prefix * width)
        )


class PrefixCaptioner(nn.Module):
    """Mappers and a GPT-2.

    Args:
        card: of the net.
        dropout: of GPT-2 in training.
    """

    def __init__(self, card: CaptionerCard, dropout: float = 0.0) -> None:
        super().__init__()
        self.card = card
        width = card.gpt2.width
        self.mappers = nn.ModuleDict(
            {family: PrefixMapper(shape, card.prefix, width) for family, shape in card.mappers.items()}
        )
        self.gpt2: GPT2LMHeadModel = build_gpt2(card.gpt2, dropout)

    def embed_prefix(self, vectors_ND: Tensor, family: str) -> Tensor:
        """Return the prefix of vectors, `[N, L, W]`; their norms do not matter.

        Args:
            vectors_ND: of the family.
            family: one of the card's.
        """
        mapper = self.mappers[family]
        scaled = normalize(vectors_ND, dim=-1) * self.card.mappers[family].norm
        prefix: Tensor = mapper(scaled).view(len(vectors_ND), self.card.prefix, self.card.gpt2.width)
        return prefix

    def forward(self, vectors_ND: Tensor, family: str, ids_NT: Tensor, counts_N: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of the tokens of each caption, `[N]`.

        Args:
            vectors_ND: of the family.
            family: one of the card's.
            ids_NT: tokens of captions, with the end token, padded with anything.
            counts_N: tokens of each, with the end token.
        """
        prefix = self.embed_prefix(vectors_ND, family)
        words = self.gpt2.transformer.wte(ids_NT)
        # Every token is predicted from those before it, so padding behind a caption changes nothing of it.
        output: Any = self.gpt2(inputs_embeds=torch.cat([prefix, words], 1))
        logits_NTV = output.logits[:, self.card.prefix - 1 : -1].float()
        losses_NT = cross_entropy(logits_NTV.transpose(1, 2), ids_NT, reduction="none")
        known_NT = torch.arange(ids_NT.shape[1], device=ids_NT.device) < counts_N[:, None]
        return (losses_NT * known_NT).sum(1) / counts_N

    @torch.inference_mode()
    def generate_tokens(  # noqa: PLR0913, PLR0917
        self,
        vectors_ND: Tensor,
        family: str,
        beams: int,
        most: int,
        length_penalty: float = 1.0,
        stops: tuple[int, ...] = (),
    ) -> Tensor:
        """Return the tokens of the best caption of each vector by beam search, `[N, T]`, padded at the end.

        A caption's score is its summed log-probability over its length to the power of `length_penalty`.

        Args:
            vectors_ND: of the family.
            family: one of the card's.
            beams: that are followed; 1 is greedy.
            most: tokens of a caption.
            length_penalty: 1 is the mean log-probability.
            stops: tokens that end a caption beside the end token.
        """
        prefix = self.embed_prefix(vectors_ND, family)
        end = self.card.gpt2.end
        gpt2: Any = self.gpt2
        tokens: Tensor = gpt2.generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            num_beams=beams,
            do_sample=False,
            max_new_tokens=min(most, self.card.gpt2.positions - self.card.prefix),
            length_penalty=length_penalty,
            pad_token_id=end,
            eos_token_id=[end, *stops],
        )
        return tokens


def build_gpt2(shape: Gpt2Shape, dropout: float = 0.0) -> GPT2LMHeadModel:
    """Return a random GPT-2.

    Args:
        shape: of it.
        dropout: in training.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocabulary,
        n_positions=shape.positions,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        # transformers' defaults are those of the published vocabulary.
        bos_token_id=shape.end,
        eos_token_id=shape.end,
    )
    return GPT2LMHeadModel(config)


def list_weights(net: PrefixCaptioner) -> dict[str, Tensor]:
    """Return the weights of a captioner by name, without those that are tied to others."""
    return {name: tensor for name, tensor in net.state_dict().items() if name != _TIED}


def load_weights(net: PrefixCaptioner, weights: Mapping[str, Tensor]) -> None:
    """Give a captioner all the weights that `list_weights` names."""
    own = dict(weights)
    net.load_state_dict(own | {_TIED: own["gpt2.transformer.wte.weight"]})


def save_captioner(net: PrefixCaptioner, folder: Path, *, half: bool = False) -> None:
    """Write the weights of a captioner and its card; its tokenizer goes beside them.

    Args:
        net: on any device.
        folder: that exists.
        half: whether the weights are stored as fp16.
    """
    from safetensors.torch import save_file

    stored = {
        name: (tensor.half() if half else tensor.float()).detach().cpu().clone().contiguous()
        for name, tensor in list_weights(net).items()
    }
    save_file(stored, str(folder / WEIGHTS))
    (folder / CAPTIONER_CARD).write_text(net.card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_captioner_card(folder: Path) -> CaptionerCard:
    """Return the card of a captioner.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    return read_card(folder / CAPTIONER_CARD, CaptionerCard, "captioner", "captioner-clotho")


def load_captioner(folder: Path) -> PrefixCaptioner:
    """Return a captioner for inference, in fp32 on the CPU.

    Args:
        folder: of `save_captioner`.

    Raises:
        ConfigError: the card is damaged, or the weights are of another captioner.
    """
    from safetensors.torch import load_file

    card = read_captioner_card(folder)
    # Without memory first: a card may ask for any net, and the file says what there is.
    with torch.device("meta"):
        expected = list_weights(PrefixCaptioner(card))
    check_weights(folder / WEIGHTS, expected, "captioner")
    net = PrefixCaptioner(card)
    load_weights(net, {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()})
    return net.eval().requires_grad_(False)
