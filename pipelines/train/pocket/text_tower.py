"""The text tower of pocket CLIP as the `CLIPTextModel` of a Stable Diffusion: the same token states."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pipelines.encode.loaders.pocket import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = "transformer.resblocks"
# A layer's names in open_clip and in transformers; the attention's three matrices are one in open_clip.
_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def convert_text_tower(folder: Path = WEIGHTS / "clip") -> Any:
    """Return the text tower of a pocket CLIP as a `CLIPTextModel`, in fp32.

    Only its token states are CLIP's: with the eos_token_id of older models its pooled output is that of
    another token, and no Stable Diffusion reads it.

    Args:
        folder: of `open_clip_config.json` and `open_clip_model.safetensors`.
    """
    from safetensors.torch import load_file
    from transformers import CLIPTextConfig, CLIPTextModel

    text = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
    config = CLIPTextConfig(
        hidden_size=text["width"],
        intermediate_size=4 * text["width"],
        num_hidden_layers=text["layers"],
        num_attention_heads=text["heads"],
        vocab_size=text["vocab_size"],
        max_position_embeddings=text["context_length"],
        # open_clip's is the exact one; transformers' own default is an approximation.
        hidden_act="gelu",
        pad_token_id=text["pad_id"],
        bos_token_id=None,
        eos_token_id=text["eos_id"],
    )
    tower: Any = CLIPTextModel(config)
    weights = load_file(folder / "open_clip_model.safetensors")
    tower.load_state_dict({name: each.float() for name, each in _rename(weights, text["layers"]).items()})
    return tower.eval().requires_grad_(False)


def load_tokenizer(folder: Path = WEIGHTS / "clip") -> Any:
    """Return the tokenizer of a pocket CLIP, which cuts texts at the positions of its text tower."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def encode_words(tower: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Return the token states of texts, `[N, T, C]`: padded, as a Stable Diffusion has them.

    Args:
        tower: `CLIPTextModel`.
        tokenizer: of it.
        texts: cut where they are longer.
    """
    ids = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tower.config.max_position_embeddings,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    with torch.inference_mode():
        states: Tensor = tower(ids.to(tower.device))[0]
    return states


def _rename(weights: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    named = {
        "embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "embeddings.position_embedding.weight": weights["positional_embedding"],
        "final_layer_norm.weight": weights["ln_final.weight"],
        "final_layer_norm.bias": weights["ln_final.bias"],
    }
    for layer in range(layers):
        own, other = f"{_BLOCK}.{layer}", f"encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            for name, new in _LAYER.items():
                named[f"{other}.{new}.{kind}"] = weights[f"{own}.{name}.{kind}"]
            parts = weights[f"{own}.attn.in_proj_{kind}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                named[f"{other}.self_attn.{letter}_proj.{kind}"] = part
    return named
