"""The files of an audio adapter: those that a stock diffusers loads, and what makes the tokens.

audio_adapter.json          the card
tokens.safetensors          what makes the tokens of a sound: ours, and before what diffusers knows
adapter.safetensors         of an adapter without levels; else foreground, background and ambience:
                            `pipe.load_ip_adapter(FOLDER, subfolder="", weight_name="adapter.safetensors")`

The gains of routing are part of the stored values, so that a stock pipeline needs no scale of its blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.models.audio_adapter import AudioAdapter
from pipelines.models.cards import read_card
from pipelines.models.towers import check_weights
from schemas.audio_adapter import AdapterCard

ADAPTER_CARD, TOKENS = "audio_adapter.json", "tokens.safetensors"
_WHAT = "adapter"
# The weights of a level's projection and of its keys and values in a file, as IP-Adapter names them.
_PROJECTION, _KEYS, _VALUES = "image_proj.proj", "to_k_ip.weight", "to_v_ip.weight"


def save_adapter(adapter: AudioAdapter, card: AdapterCard, folder: Path, *, half: bool = False) -> None:
    """Write an adapter and its card.

    Args:
        adapter: on any device.
        card: of it.
        folder: that exists.
        half: whether the weights are stored as fp16.
    """
    from safetensors.torch import save_file

    def prepare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: (tensor.half() if half else tensor.float()).detach().cpu().clone().contiguous()
            for name, tensor in state.items()
        }

    with torch.no_grad():
        save_file(prepare(_read_own(adapter)), str(folder / TOKENS))
        for number, level in enumerate(card.settings.levels):
            save_file(prepare(_read_level(adapter, number)), str(folder / f"{level}.safetensors"))
    (folder / ADAPTER_CARD).write_text(
        card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8"
    )


def read_adapter_card(folder: Path) -> AdapterCard:
    """Return the card of a folder.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    return read_card(folder / ADAPTER_CARD, AdapterCard, "adapter of sounds", "clap2diffusion")


def load_adapter(folder: Path) -> tuple[AudioAdapter, AdapterCard]:
    """Return an adapter ready for inference, in fp32, and its card.

    Args:
        folder: of `save_adapter`.

    Raises:
        ConfigError: the card is damaged, or the weights are of another adapter.
    """
    card = read_adapter_card(folder)
    # Without memory first: a card may ask for any net, and the files say what there is.
    with torch.device("meta"):
        expected = AudioAdapter(card.settings, card.shape, is_routed=False)
    _check_files(folder, expected, card)
    adapter = AudioAdapter(card.settings, card.shape, is_routed=False)
    _restore(adapter, folder, card)
    return adapter.eval().requires_grad_(False), card


def load_into_adapter(adapter: AudioAdapter, folder: Path) -> None:
    """Give an adapter that is trained the weights of another one; routing's gains leave the values again.

    Args:
        adapter: of the same settings, but for norm and temperature.
        folder: of `save_adapter`.

    Raises:
        ConfigError: the weights are of another adapter.
    """
    card = read_adapter_card(folder)
    kept = {"norm", "temperature"}
    own = adapter.settings.model_dump(exclude=kept), adapter.shape
    if own != (card.settings.model_dump(exclude=kept), card.shape):
        raise ConfigError(
            f"init_from {folder} is an adapter of other settings or for another base; give one that was "
            "trained with the settings of this preset"
        )
    _check_files(folder, adapter, card)
    _restore(adapter, folder, card)
    if adapter.settings.norm != card.settings.norm:
        norm = adapter.settings.compute_gain(1) / card.settings.compute_gain(1)
        for projection in adapter.projections:
            scaled: Any = projection
            with torch.no_grad():
                for weight in scaled[-1].parameters():
                    weight.mul_(norm)


def _restore(adapter: AudioAdapter, folder: Path, card: AdapterCard) -> None:
    from safetensors.torch import load_file

    own = {name: each for name, each in load_file(folder / TOKENS).items() if _is_kept(adapter, name)}
    missing, _ = adapter.load_state_dict(own, strict=False)
    assert not any(name.startswith(("tokens.", "mixer.")) for name in missing)
    with torch.no_grad():
        gains_LB = None if adapter.route is None else adapter.route()
        for number, level in enumerate(card.settings.levels):
            found = load_file(folder / f"{level}.safetensors")
            for name, weight in _name_level(adapter, number).items():
                value = found[name].to(weight.dtype)
                if gains_LB is not None and name.endswith(_VALUES):
                    gain = gains_LB[number, _parse_block(name)]
                    value = value / gain if gain else value
                weight.copy_(value)


def _is_kept(adapter: AudioAdapter, name: str) -> bool:
    return adapter.route is not None or not name.startswith("route.")


def _check_files(folder: Path, adapter: AudioAdapter, card: AdapterCard) -> None:
    routed = {"route.logits": torch.empty(3, 3), "route.gates": torch.empty(3)}
    tokens = {name: each for name, each in _read_own(adapter).items() if not name.startswith("route.")}
    check_weights(folder / TOKENS, tokens | (routed if card.settings.routing == "learnt" else {}), _WHAT)
    for number, level in enumerate(card.settings.levels):
        check_weights(folder / f"{level}.safetensors", _name_level(adapter, number), _WHAT)


def _read_own(adapter: AudioAdapter) -> dict[str, Tensor]:
    """Return the weights that a stock diffusers does not know."""
    return {
        name: tensor
        for name, tensor in adapter.state_dict().items()
        if name.startswith(("tokens.", "mixer.", "route."))
    }


def _read_level(adapter: AudioAdapter, level: int) -> dict[str, Tensor]:
    """Return the weights of a level as they are stored: values times the gains of their blocks."""
    named = _name_level(adapter, level)
    if adapter.route is None:
        return named
    gains_LB = adapter.route()
    return {
        name: tensor * gains_LB[level, _parse_block(name)] if name.endswith(_VALUES) else tensor
        for name, tensor in named.items()
    }


def _name_level(adapter: AudioAdapter, level: int) -> dict[str, Tensor]:
    """Return the weights of a level by their names in a file of IP-Adapter's."""
    named: dict[str, Tensor] = {
        f"{_PROJECTION}.{name}": tensor for name, tensor in adapter.projections[level].named_parameters()
    }
    for linears, suffix in ((adapter.keys[level], _KEYS), (adapter.values[level], _VALUES)):
        weights = [weight for _, weight in linears.named_parameters()]
        # IP-Adapter counts self-attention, too, which has no weights: 1, 3, 5 ...
        named |= {f"ip_adapter.{2 * block + 1}.{suffix}": each for block, each in enumerate(weights)}
    return named


def _parse_block(name: str) -> int:
    return int(name.split(".")[1]) // 2
