"""A trained translator on disk: translators/NAME/card.json beside weights.safetensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from pipelines.errors import SpaceError, StorageError
from pipelines.store import cards
from pipelines.store.root import Root
from schemas.space import Space
from schemas.translator_card import TranslatorCard

if TYPE_CHECKING:
    from pipelines.models.translators import StackedTranslators

_CHUNK = 8192
# Below a root, and the file beside the card.
FOLDER = "translators"
WEIGHTS = "weights.safetensors"


def list_names(root: Root) -> list[str]:
    """Return the names of the translators of a root."""
    return cards.list_cards(root, FOLDER)


def read_cards(root: Root) -> list[TranslatorCard]:
    """Return the cards of all translators of a root, by name."""
    return [read_card(root, name) for name in list_names(root)]


def read_card(root: Root, name: str) -> TranslatorCard:
    """Return the card of an existing translator."""
    return cards.read_card(root, FOLDER, name, TranslatorCard)


def find_card(root: Root, name: str) -> TranslatorCard:
    """Return the card of a translator that a user named.

    Raises:
        ConfigError: there is none of this name; the error lists the names there are.
        StorageError: its card is damaged.
    """
    return cards.find_card(root, FOLDER, name, TranslatorCard)


def pack_weights(net: StackedTranslators) -> bytes:
    """Return the weights of a net as safetensors; the same weights give the same bytes."""
    from safetensors.torch import save

    return bytes(save({name: weight.contiguous().cpu() for name, weight in net.state_dict().items()}))


@dataclass(frozen=True)
class Translator:
    """Translates vectors of one space into unit vectors of another."""

    card: TranslatorCard
    net: StackedTranslators
    device: str = "cpu"

    @classmethod
    def open(cls, root: Root, name: str, device: str = "cpu") -> Self:
        """Load a translator of a root.

        Raises:
            ConfigError: there is none of this name.
            StorageError: its weights are damaged, or those of another net.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        card = find_card(root, name)
        data = root.read(f"{FOLDER}/{name}/{WEIGHTS}")
        if hashlib.sha256(data).hexdigest() != card.weights_sha256:
            raise StorageError(
                f"the weights of translator {name!r} are not those of its card; train it again"
            )
        net = make_untrained_net(card)
        try:
            net.load_state_dict(load(data))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(
                f"the weights of translator {name!r} cannot be used ({reason}); train it again"
            ) from error
        return cls(card, net.to(device).eval(), device)

    def translate(self, vectors_NI: np.ndarray, space: Space) -> np.ndarray:
        """Return unit vectors of `card.target_space`, float32 `[N, O]`.

        Args:
            vectors_NI: `[N, I]`, of any length.
            space: of the vectors.

        Raises:
            SpaceError: it is not the space that the translator was trained on.
        """
        import torch

        if space != self.card.source_space:
            raise SpaceError(
                f"translator {self.card.name!r} takes vectors of {self.card.source_space} and these are in "
                f"{space} ({space.describe_differences(self.card.source_space)}); train one for their space"
            )
        units_NO = np.empty((len(vectors_NI), self.card.target_space.dims), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(vectors_NI), _CHUNK):
                chunk = torch.from_numpy(vectors_NI[start : start + _CHUNK].astype(np.float32))
                units_NO[start : start + _CHUNK] = self.net.translate(chunk.to(self.device))[0].cpu().numpy()
        return units_NO


def make_untrained_net(card: TranslatorCard) -> StackedTranslators:
    """Return the net that a card describes, with untrained weights."""
    from pipelines.models.registry import build_net
    from pipelines.models.translators import Affine

    dims = (card.source_space.dims, card.target_space.dims)
    return Affine(*dims) if card.cell is None else build_net(card.cell, dims)
