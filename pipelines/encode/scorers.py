"""How well pieces of a clip fit prompts: by the towers of a set, or by a classifier.

Shapes: N items, P pieces of an item, M pieces of all items, K texts, C classes, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.encode.batch_assembler import BatchAssembler
from pipelines.encode.classifiers.classifier import ClassifierLoader
from pipelines.encode.classifiers.registry import find_classes
from pipelines.encode.encoder import EncoderSpecs, Tower, encode, get_spaces, open_tower
from pipelines.encode.heard import compute_shares
from pipelines.encode.segments import encode_items
from schemas.families import Column

# Windows of a classifier in one forward; AST takes 0.4 GB for each of them at its 1,212 patches.
_CLASSIFIER_ROWS = 4


class Scorer(Protocol):
    """Scores pieces of a clip."""

    def prepare(self, item: bytes) -> np.ndarray:
        """Return the pieces of one item, [P, ...]. Safe to call from threads.

        Raises:
            UndecodableMediaError: it cannot be decoded.
        """
        ...

    def score(self, items: Sequence[np.ndarray]) -> np.ndarray:
        """Return the score of each prepared item, [N]; NaN where its vector has no direction."""
        ...


@dataclass(frozen=True)
class ShareScorer:
    """Scores sounds by the share of the prompts among all that may be heard.

    Attributes:
        tower: of sounds.
        net: of the tower.
        texts_KD: unit vectors of the prompts, then of the distractors.
        prompts: how many of them are prompts.
        temperature: of the softmax.
    """

    tower: Tower
    net: BatchAssembler
    texts_KD: np.ndarray
    prompts: int
    temperature: float

    def prepare(self, item: bytes) -> np.ndarray:
        """Return the pieces of one sound, [P, ...]."""
        return self.tower.prepare(item)

    def score(self, items: Sequence[np.ndarray]) -> np.ndarray:
        """Return shares from 0 to 1, [N]."""
        cosines_NK = encode_items(self.net, items) @ self.texts_KD.T
        return compute_shares(cosines_NK, self.prompts, self.temperature)


@dataclass(frozen=True)
class CosineScorer:
    """Scores pictures by the cosine to the nearest prompt.

    Attributes:
        tower: of pictures.
        net: of the tower.
        texts_KD: unit vectors of the prompts.
    """

    tower: Tower
    net: BatchAssembler
    texts_KD: np.ndarray

    def prepare(self, item: bytes) -> np.ndarray:
        """Return the pieces of one picture, [P, ...]."""
        return self.tower.prepare(item)

    def score(self, items: Sequence[np.ndarray]) -> np.ndarray:
        """Return cosines, [N]."""
        cosines_N: np.ndarray = (encode_items(self.net, items) @ self.texts_KD.T).max(axis=1)
        return cosines_N


@dataclass(frozen=True)
class ClassScorer:
    """Scores sounds by the probability of the likeliest of some classes.

    Attributes:
        tower: the classifier.
        net: of the tower.
        classes: the places of the classes among its probabilities.
    """

    tower: Tower
    net: BatchAssembler
    classes: Sequence[int]

    def prepare(self, item: bytes) -> np.ndarray:
        """Return the windows of one sound, [P, ...]."""
        return self.tower.prepare(item)

    def score(self, items: Sequence[np.ndarray]) -> np.ndarray:
        """Return probabilities, [N]; the mean over the windows of a sound."""
        with self.net.accept_pieces():
            slots = [self.net.add(piece) for item in items for piece in item]
        shares_MC = np.stack([slot.wait_for_vector() for slot in slots])
        counts = [len(item) for item in items]
        sums_NC = np.add.reduceat(shares_MC, np.cumsum([0, *counts[:-1]]))
        shares_N: np.ndarray = (sums_NC / np.array(counts)[:, None])[:, list(self.classes)].max(axis=1)
        return shares_N


def make_share_scorer(
    specs: EncoderSpecs,
    columns: tuple[Column, Column],
    texts: tuple[Sequence[str], Sequence[str]],
    temperature: float,
) -> ShareScorer:
    """Return the scorer of sounds by prompts.

    Args:
        specs: the encoders.
        columns: of sounds, and of the texts that they are compared with.
        texts: the prompts, and the distractors.
        temperature: of the softmax.
    """
    tower, net = _open_net(specs, columns[0])
    texts_KD = _encode_texts(specs, columns[1], [*texts[0], *texts[1]])
    return ShareScorer(tower, net, texts_KD, len(texts[0]), temperature)


def make_cosine_scorer(
    specs: EncoderSpecs, columns: tuple[Column, Column], texts: Sequence[str]
) -> CosineScorer:
    """Return the scorer of pictures by prompts.

    Args:
        specs: the encoders.
        columns: of pictures, and of the texts that they are compared with.
        texts: the prompts.
    """
    tower, net = _open_net(specs, columns[0])
    return CosineScorer(tower, net, _encode_texts(specs, columns[1], texts))


def make_class_scorer(classifier: ClassifierLoader, classes: Sequence[str]) -> ClassScorer:
    """Return the scorer of sounds by a classifier, with its weights.

    Raises:
        ConfigError: weights are missing, or it has no class of a name.
    """
    tower = classifier.load()
    net = BatchAssembler(tower, _CLASSIFIER_ROWS, len(classifier.list_classes()))
    return ClassScorer(tower, net, find_classes(classifier, classes))


def _open_net(specs: EncoderSpecs, column: Column) -> tuple[Tower, BatchAssembler]:
    # Not shared with `EncodeStage`, which waits for this stage: each would wait for the other's pieces.
    tower, space = open_tower(specs, column), get_spaces(specs)[column]
    return tower, BatchAssembler(tower, space.batch_rows, space.dims)


def _encode_texts(specs: EncoderSpecs, column: Column, texts: Sequence[str]) -> np.ndarray:
    tower = open_tower(specs, column)
    return encode(tower, [tower.prepare(text) for text in texts], get_spaces(specs)[column].batch_rows)[0]
