"""A trained translator on disk: translators/NAME/card.json beside weights.safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from pipelines.errors import SpaceError, StorageError
from pipelines.store import cards
from pipelines.store.json_file import read_bounded
from pipelines.store.root import Root
from pipelines.translate.shipped import find_shipped, get_shipped_root
from schemas.space import Space
from schemas.translator_card import TranslatorCard

if TYPE_CHECKING:
    from pipelines.models.translators import StackedTranslators

_CHUNK = 8192
# The widest net that a preset can ask for has some 300 MB.
_MAX_WEIGHT_BYTES = 2**31
# A block of a net may be a bottleneck; no net of ours has fewer weights than an eighth of the estimate.
_MOST_TIMES = 8
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
    """Return the card of a translator that a user named: one of the root, or a shipped one.

    Raises:
        ConfigError: there is none of this name; the error lists the names there are.
        StorageError: its card is damaged.
    """
    return find_shipped(root, name) or cards.find_card(root, FOLDER, name, TranslatorCard)


def pack_weights(net: StackedTranslators) -> bytes:
    """Return the weights of a net as safetensors; the same weights give the same bytes."""
    from safetensors.torch import save

    return bytes(save({name: weight.contiguous().cpu() for name, weight in net.state_dict().items()}))


def make_seeds(names: Iterable[object], seed: int = 0, candidate: int = 0) -> list[int]:
    """Return the seeds of rows for a net whose vectors are drawn, 63 bits each.

    Args:
        names: of the rows, such as their ids; a seed depends on no other row.
        seed: of all.
        candidate: number of the candidate of each row.
    """
    texts = (f"{seed}/{name}/{candidate}".encode() for name in names)
    return [int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1 for text in texts]


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
        home = get_shipped_root() if find_shipped(root, name) else root
        data = read_bounded(home, f"{FOLDER}/{name}/{WEIGHTS}", _MAX_WEIGHT_BYTES)
        if hashlib.sha256(data).hexdigest() != card.weights_sha256:
            raise StorageError(
                f"the weights of translator {name!r} are not those of its card; train it again"
            )
        try:
            weights = load(data)
            _check_size(card, sum(value.numel() for value in weights.values()))
            net = make_untrained_net(card)
            net.load_state_dict(weights)
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(
                f"the weights of translator {name!r} cannot be used ({reason}); train it again"
            ) from error
        return cls(card, net.to(device).eval(), device)

    def translate(
        self, vectors_NI: np.ndarray, space: Space, seeds: Sequence[int] | None = None
    ) -> np.ndarray:
        """Return unit vectors of `card.target_space`, float32 `[N, O]`.

        Args:
            vectors_NI: `[N, I]`, of any length.
            space: of the vectors.
            seeds: one a row, of a net whose vectors are drawn; without, the same source has one vector.

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
                part = slice(start, start + _CHUNK)
                chunk_NI = torch.from_numpy(vectors_NI[part].astype(np.float32)).to(self.device)
                units_NO[part] = self.net.translate(chunk_NI, seeds and seeds[part])[0].cpu().numpy()
        return units_NO


def _check_size(card: TranslatorCard, weights: int) -> None:
    """Refuse a card that asks for a far larger net than there are weights for, before it is made."""
    dims_in, dims_out, cell = card.source_space.dims, card.target_space.dims, card.cell
    if cell is None:
        least = dims_in * dims_out
    else:
        blocks = 0 if cell.net == "mlp" else cell.depth * cell.hidden
        least = cell.hidden * (dims_in + dims_out + blocks)
    if least > _MOST_TIMES * weights:
        raise RuntimeError(f"{weights:,} numbers are too few for the net of its card")


def make_untrained_net(card: TranslatorCard) -> StackedTranslators:
    """Return the net that a card describes, with untrained weights."""
    from pipelines.models.registry import build_net
    from pipelines.models.translators import Affine

    dims = (card.source_space.dims, card.target_space.dims)
    return Affine(*dims) if card.cell is None else build_net(card.cell, dims)
