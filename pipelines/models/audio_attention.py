"""Attention to words and to a sound: what stands in a UNet's blocks of cross-attention.

It computes what diffusers' own processors for IP-Adapters compute, in the same order, so that the same
weights give the same pictures. The tokens of a sound come beside those of the words:
`unet(latents, time, encoder_hidden_states=(words, [tokens of each level], [strength of each]))`, a sound a
picture. A level of strength 0 is left out; without any level the base is exactly as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from pipelines.errors import SpaceError
from schemas.audio_adapter import AdapterShape, AttentionBlock, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.models.audio_adapter import AudioAdapter

_CROSS = "attn2.processor"
_PLACES: dict[str, Place] = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}


class DecoupledAttention:
    """The processor of one block of cross-attention.

    Args:
        adapter: with the keys and values of sounds.
        block: the number of the block in its shape.
    """

    def __init__(self, adapter: AudioAdapter, block: int) -> None:
        self._adapter, self._block = adapter, block

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: tuple[Tensor, Sequence[Tensor], Sequence[float]],
        attention_mask: Tensor | None = None,  # noqa: ARG002 - diffusers gives it; Stable Diffusion has none
        temb: Tensor | None = None,  # noqa: ARG002 - as above
    ) -> Tensor:
        """Return the sum of the attention to the words and to each level of the sound."""
        words, levels, strengths = encoder_hidden_states
        count, heads = len(words), attn.heads

        def split_heads(states: Tensor) -> Tensor:
            return states.view(count, -1, heads, states.shape[-1] // heads).transpose(1, 2)

        def attend(keys: Tensor, values: Tensor) -> Tensor:
            found = scaled_dot_product_attention(query, split_heads(keys), split_heads(values))
            return found.transpose(1, 2).reshape(count, -1, keys.shape[-1]).to(query.dtype)

        query = split_heads(attn.to_q(hidden_states))
        states = attend(attn.to_k(words), attn.to_v(words))
        for level, (tokens, strength) in enumerate(zip(levels, strengths, strict=True)):
            if strength:
                states = states + strength * attend(
                    *self._adapter.compute_keys_values(level, self._block, tokens)
                )
        found: Tensor = attn.to_out[0](states)
        return found


def attach_adapter(unet: Any, adapter: AudioAdapter) -> None:
    """Let the blocks of cross-attention of a UNet attend to sounds, too.

    Args:
        unet: `UNet2DConditionModel`.
        adapter: of its shape.

    Raises:
        SpaceError: the adapter is of another shape.
    """
    own = describe_shape(unet, adapter.shape.sound_dims)
    if own != adapter.shape:
        raise SpaceError(
            f"the adapter is for a base with {_describe(adapter.shape)} and this base has {_describe(own)}; "
            "take the base that it was trained on"
        )
    processors = dict(unet.attn_processors)
    for block, name in enumerate(_list_cross(unet)):
        processors[name] = DecoupledAttention(adapter, block)
    unet.set_attn_processor(processors)


def describe_shape(unet: Any, sound_dims: int) -> AdapterShape:
    """Return the shape of an adapter for a UNet.

    Args:
        unet: `UNet2DConditionModel`.
        sound_dims: of the sounds' vectors.
    """
    blocks = [
        AttentionBlock(
            place=_PLACES[name.partition(".")[0]], hidden=_get_attention(unet, name).to_k.out_features
        )
        for name in _list_cross(unet)
    ]
    return AdapterShape(
        sound_dims=sound_dims, cross_dims=int(unet.config.cross_attention_dim), blocks=tuple(blocks)
    )


def read_word_attention(unet: Any) -> list[tuple[Tensor, Tensor]]:
    """Return the weights of the keys and values of the words, of each block of cross-attention."""
    own = [_get_attention(unet, name) for name in _list_cross(unet)]
    return [(each.to_k.weight, each.to_v.weight) for each in own]


def _list_cross(unet: Any) -> list[str]:
    return [name for name in unet.attn_processors if name.endswith(_CROSS)]


def _get_attention(unet: Any, name: str) -> Any:
    return unet.get_submodule(name.removesuffix(".processor"))


def _describe(shape: AdapterShape) -> str:
    return f"{len(shape.blocks)} blocks of cross-attention to {shape.cross_dims} numbers"
