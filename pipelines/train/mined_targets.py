"""Mined targets: a row without a target is given those of the rows whose captions are nearest to its own.

So pictures of WIT and CC, which have captions and no sound, get sounds ("image sonification" by retrieval,
arXiv 2501.05413). A row that is held out, or is a near copy of one, is never a target: neighbours come from
the rows that are trained on, by groups of near copies and, beyond them, by the targets themselves.

Many sounds may share one caption (VGGSound has 309 for 180,000). So captions are compared once each, and of
the sounds of a caption those come first that the row's caption describes best, as CLAP hears it: "three
bells" is nearer to three bells than to other sounds of a bell, whatever the sounds are labelled.

Shapes: n rows that are asked about, B rows with a target, C captions of them, K neighbours, D dimensions of
captions, O of targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import KeyedVectors, read_keyed_vectors
from pipelines.store.split_groups import SplitGroups
from pipelines.store.splits import TRAIN
from pipelines.store.vectors import VectorReader, has_direction
from pipelines.train.near_vectors import find_near_rows
from schemas.families import Column
from schemas.mining import Mining
from schemas.space import Space

# Cosines of captions up to which all are computed: 17 minutes on two cores. Beyond that, cells are probed.
_MAX_COSINES = 100_000_000_000
_PROBES = 32
# Rows whose neighbours' targets are in memory at once: 34 MB at 4 neighbours of 512 dimensions.
_CHUNK = 4096
# Cosines of captions to the targets of one caption that are in memory at once, 16 MB.
_MAX_NEAR = 4_000_000


@dataclass(frozen=True, eq=False)
class MinedTargets:
    """The targets of rows that have none of their own.

    Attributes:
        space: of the targets.
        keys_N: of the rows that got one, int64.
        targets_NO: unit vectors, float16.
        scores_N: cosine of the row's caption to its neighbours', weighted as their targets, float32.
    """

    space: Space
    keys_N: np.ndarray
    targets_NO: np.ndarray
    scores_N: np.ndarray


class TargetBank:
    """The rows that are trained on and have both a caption's vector and a target.

    Attributes:
        space: of the targets.
        keys_B: of the rows, int64, ascending.
        held_back: rows left out because a held-out row's target is as theirs.
    """

    def __init__(
        self, captions: KeyedVectors, targets: KeyedVectors, held_back: int, mining: Mining, asked: int
    ) -> None:
        """Index the captions.

        Args:
            captions: of the rows.
            targets: of the same rows.
            held_back: rows that were left out.
            mining: how neighbours are found and put together.
            asked: rows that will be asked about, about; decides whether all captions are compared.
        """
        self.space = targets.space
        self._is_comparable = captions.space.is_comparable(targets.space)
        self.keys_B = targets.keys_N
        self.held_back = held_back
        self._mining = mining
        self._targets_BO = targets.vectors_ND
        halves_BD = np.ascontiguousarray(captions.vectors_ND, np.float16)
        as_bytes_B = halves_BD.view(np.dtype((np.void, halves_BD.shape[1] * 2)))[:, 0]
        _, firsts_C, captions_B, self._counts_C = np.unique(
            as_bytes_B, return_index=True, return_inverse=True, return_counts=True
        )
        self._order_B = np.argsort(captions_B, kind="stable")
        self._starts_C = np.cumsum(self._counts_C) - self._counts_C
        self._index = _build_index(halves_BD[firsts_C].astype(np.float32), asked)

    def mine(
        self, keys_n: np.ndarray, captions_nD: np.ndarray, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which rows have a neighbour that is near enough, bool [n], their targets and their scores.

        Args:
            keys_n: of the rows, int64: a row's target depends on its key, its caption and the seed alone.
            captions_nD: unit vectors.
            seed: of what is drawn, and of which rows of one caption are taken if any will do.
        """
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for start in range(0, len(keys_n), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows_nK, cosines_nK = self._find(keys_n[part], captions_nD[part].astype(np.float32), seed)
            found.append(self._combine(keys_n[part], rows_nK, cosines_nK, seed))
        if not found:
            empty_NO = np.empty((0, self.space.dims), np.float16)
            return np.empty(0, bool), empty_NO, np.empty(0, np.float32)
        is_near_n, targets, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return is_near_n, targets, scores

    def _find(self, keys_n: np.ndarray, captions_nD: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest rows of the bank, int64 [n, K], and their cosines; -inf if there are fewer."""
        most = self._mining.neighbours
        cosines_nC, captions_nC = self._index.search(captions_nD, min(most, len(self._counts_C)))
        # An IVF finds fewer where its cells have no more.
        is_found_nC = captions_nC >= 0
        captions_nC = captions_nC.clip(min=0)
        counts_nC = self._counts_C[captions_nC] * is_found_nC
        ends_nC = np.cumsum(counts_nC, axis=1)
        slots_K = np.arange(most)
        places_nK = (ends_nC[:, None, :] <= slots_K[None, :, None]).sum(-1)
        is_filled_nK = places_nK < captions_nC.shape[1]
        places_nK = places_nK.clip(max=captions_nC.shape[1] - 1)
        chosen_nK = np.take_along_axis(captions_nC, places_nK, 1)
        cosines_nK = np.where(is_filled_nK, np.take_along_axis(cosines_nC, places_nK, 1), -np.inf)
        starts_nK = np.take_along_axis(ends_nC - counts_nC, places_nK, 1)
        counts_nK = self._counts_C[chosen_nK]
        places_nK = slots_K - starts_nK
        if self._is_comparable and self._mining.of_equal == "near":
            return self._choose_near(captions_nD, chosen_nK, places_nK), cosines_nK
        first_n = _mix_bits(keys_n, 2 * seed) >> np.uint64(33)
        turned_nK = (first_n[:, None].astype(np.int64) + places_nK) % counts_nK
        return self._order_B[self._starts_C[chosen_nK] + turned_nK], cosines_nK

    def _choose_near(
        self, captions_nD: np.ndarray, chosen_nK: np.ndarray, places_nK: np.ndarray
    ) -> np.ndarray:
        """Return the rows of captions at some places, those of nearest targets first, int64 [n, K]."""
        rows_nK: np.ndarray = self._order_B[self._starts_C[chosen_nK]]
        for caption in np.unique(chosen_nK[self._counts_C[chosen_nK] > 1]):
            count = self._counts_C[caption]
            rows_c = self._order_B[self._starts_C[caption] : self._starts_C[caption] + count]
            targets_cO = self._targets_BO[rows_c].astype(np.float32)
            is_own_nK = chosen_nK == caption
            own = np.flatnonzero(is_own_nK.any(1))
            for part in np.array_split(own, -(-len(own) * count // _MAX_NEAR)):
                order_mc = np.argsort(-(captions_nD[part] @ targets_cO.T), axis=1, kind="stable")
                found_mK = np.take_along_axis(order_mc, places_nK[part] % count, 1)
                rows_nK[part] = np.where(is_own_nK[part], rows_c[found_mK], rows_nK[part])
        return rows_nK

    def _combine(
        self, keys_n: np.ndarray, rows_nK: np.ndarray, cosines_nK: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which rows have a target, bool [n], and the targets and scores of these."""
        is_kept_nK = cosines_nK >= self._mining.least_cosine
        is_near_n: np.ndarray = np.asarray(is_kept_nK.any(1))
        rows_nK, cosines_nK, is_kept_nK = (each[is_near_n] for each in (rows_nK, cosines_nK, is_kept_nK))
        # The first is the nearest.
        logits_nK = (cosines_nK - cosines_nK[:, :1]) / self._mining.weight_temperature
        weights_nK = np.where(is_kept_nK, np.exp(logits_nK), 0)
        weights_nK /= weights_nK.sum(1, keepdims=True)
        if self._mining.pick == "draw":
            drawn_n = (_mix_bits(keys_n[is_near_n], 2 * seed + 1) >> np.uint64(11)) / 2**53
            chosen_n = (np.cumsum(weights_nK, axis=1) <= drawn_n[:, None]).sum(1)
            # Of rounding, the sum of the weights may end below 1; the last one that is kept is first then.
            chosen_n = np.minimum(chosen_n, is_kept_nK.sum(1) - 1)
            weights_nK = np.eye(weights_nK.shape[1])[chosen_n]
        scores_n = (weights_nK * np.where(is_kept_nK, cosines_nK, 0)).sum(1)
        targets_nKO = self._targets_BO[rows_nK].astype(np.float32)
        mixed_nO = np.einsum("nk,nko->no", weights_nK.astype(np.float32), targets_nKO)
        mixed_nO /= np.linalg.norm(mixed_nO, axis=1, keepdims=True).clip(1e-12)
        return is_near_n, mixed_nO.astype(np.float16), scores_n.astype(np.float32)


def _mix_bits(keys_n: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 bits of each key that look random (splitmix64), uint64 [n]."""
    offset = (seed * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) % 2**64
    mixed_n = keys_n.astype(np.uint64) + np.uint64(offset)
    for shift, odd in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed_n = (mixed_n ^ (mixed_n >> np.uint64(shift))) * np.uint64(odd)
    return np.asarray(mixed_n ^ (mixed_n >> np.uint64(31)))


def _build_index(captions_CD: np.ndarray, asked: int) -> Any:
    """Return an index of the captions: exact, or of cells where exact would take hours."""
    import faiss

    count, dims = captions_CD.shape
    index: Any
    if count * asked <= _MAX_COSINES:
        index = faiss.IndexFlatIP(dims)
    else:
        cells = max(1, int(count**0.5))
        index = faiss.index_factory(dims, f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
        index.train(captions_CD)
        index.nprobe = _PROBES
    index.add(captions_CD)
    return index


def open_bank(
    reader: VectorReader, groups: SplitGroups, column: Column, mining: Mining, leak_cosine: float
) -> TargetBank:
    """Return the rows that can be targets.

    Args:
        reader: of a version.
        groups: of all of its rows, with their parts.
        column: of the targets.
        mining: which captions are compared, and how targets follow.
        leak_cosine: a target this near to one of a held-out row is left out.

    Raises:
        ConfigError: no row that is trained on has both columns.
        SpaceError: two shards have a column in different spaces.
        StorageError: a shard is missing.
    """
    missing = (
        f"{reader.root.url} has no row that is trained on with {mining.mined_by} and {column}, so there is "
        "nothing to mine; name columns that rows of the dataset have, or leave mined_by out"
    )
    if not np.isin(reader.read_keys(column)[1], reader.read_keys(mining.mined_by)[1]).any():
        raise ConfigError(missing)
    targets = read_keyed_vectors(reader, column)
    captions = read_keyed_vectors(reader, mining.mined_by, targets.keys_N)
    part_N = groups.part_N[groups.find_rows(targets.keys_N)]
    trained, held = np.flatnonzero(part_N == TRAIN), np.flatnonzero(part_N != TRAIN)
    trained = trained[np.isin(targets.keys_N[trained], captions.keys_N)]
    is_held_n = np.zeros(len(trained), bool)
    if len(trained) and len(held):
        is_held_n, _ = find_near_rows(targets.vectors_ND, trained, held, leak_cosine)
    rows = trained[~is_held_n]
    if not len(rows):
        raise ConfigError(missing)
    keys_B = targets.keys_N[rows]
    captions_BD = captions.vectors_ND[np.searchsorted(captions.keys_N, keys_B)]
    return TargetBank(
        KeyedVectors(captions.space, keys_B, captions_BD),
        KeyedVectors(targets.space, keys_B, targets.vectors_ND[rows]),
        int(is_held_n.sum()),
        mining,
        int((groups.part_N == TRAIN).sum()),
    )


def mine_targets(  # noqa: PLR0913, PLR0917
    reader: VectorReader,
    groups: SplitGroups,
    keys: np.ndarray,
    column: Column,
    mining: Mining,
    leak_cosine: float = 0.9999,
    seed: int = 0,
) -> MinedTargets:
    """Return targets of rows that have none of their own.

    Rows that are held out, that have no caption's vector, or whose neighbours are all too far, get none.

    Args:
        reader: of a version.
        groups: of all of its rows, with their parts.
        keys: of the rows, int64.
        column: of the targets.
        mining: which captions are compared, and how targets follow.
        leak_cosine: a target this near to one of a held-out row is left out.
        seed: of what is drawn, and of which rows of one caption are taken if any will do.

    Raises:
        ConfigError: no row that is trained on has both columns.
        SpaceError: two shards have a column in different spaces.
        StorageError: a shard is missing.
    """
    bank = open_bank(reader, groups, column, mining, leak_cosine)
    asked = keys[groups.part_N[groups.find_rows(keys)] == TRAIN]
    found_keys = [np.empty(0, np.int64)]
    targets, scores = [np.empty((0, bank.space.dims), np.float16)], [np.empty(0, np.float32)]
    for keys_n, captions_nD in reader.read_vectors(mining.mined_by, asked):
        usable = has_direction(captions_nD)
        is_near_n, targets_nO, scores_n = bank.mine(keys_n[usable], captions_nD[usable], seed)
        found_keys.append(keys_n[usable][is_near_n])
        targets.append(targets_nO)
        scores.append(scores_n)
    return MinedTargets(
        bank.space, np.concatenate(found_keys), np.concatenate(targets), np.concatenate(scores)
    )
