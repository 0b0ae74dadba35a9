"""A training job, one data set of a preset over one version: reads its pairs, scores and saves its nets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.vectors import VectorReader
from pipelines.train.translators.pairs import TEST, TRAIN, VALIDATION, PairTable, read_pairs
from pipelines.translate.translator import pack_weights, save_translator
from schemas.training import Experiment, TrainingPreset
from schemas.translator_card import PairCounts, RetrievalScores, TranslatorCard

if TYPE_CHECKING:
    from pipelines.models.translators import StackedTranslators

# Held-out pairs that are scored at most: the bootstrap interval of R@1 is then below 1.5 points.
_TEST_ROWS = 10_000


@dataclass(frozen=True)
class TrainingJob:
    """All that a group of workers needs to train on one data set. Picklable."""

    root: Root
    dataset: str
    shard_rows: int
    version: int
    training: TrainingPreset
    data: str

    @property
    def experiments(self) -> list[Experiment]:
        """The experiments over this data set, in the order of the preset."""
        return [experiment for experiment in self.training.expand() if experiment.data == self.data]

    def read(self, scratch: Path) -> PairTable:
        """Return the pairs of the version; more than `fit.memory_pairs` are mapped from `scratch`."""
        version = versions.read_version(self.root, self.version)
        shards = versions.read_shards(self.root, version)
        vectors = VectorReader(
            self.root, version.set, shards, as_integers(versions.read_removed(self.root, self.version)["key"])
        )
        rows = sum(shard.rows for shard in shards)
        mapped = scratch if rows > self.training.fit.memory_pairs else None
        return read_pairs(
            vectors, self.shard_rows, self.training.data[self.data], self.training.split, mapped
        )

    def finish(
        self,
        table: PairTable,
        nets: Iterator[tuple[Experiment | None, str, StackedTranslators, int, float]],
        seconds: float,
        curves: Mapping[str, Sequence[float]],
    ) -> list[TranslatorCard]:
        """Score nets on the test pairs, save them as translators, and return their cards.

        Args:
            table: the pairs.
            nets: experiment (None of a baseline), name, net, epoch, validation cosine.
            seconds: of training.
            curves: name of an experiment -> validation cosine after each epoch.

        Raises:
            ConfigError: no pair is held out.
        """
        rows = table.find_rows(TEST)[:_TEST_ROWS]
        if not len(rows):
            raise ConfigError(
                f"no pair of {self.data!r} is held out for scores ({dict(table.dropped)} were dropped); "
                "take more rows, or a larger split.test"
            )
        source_NI, target_NO = table.get_pairs(rows)
        target_NO /= np.linalg.norm(target_NO, axis=1, keepdims=True)
        cards = []
        for experiment, name, net, epoch, cosine in nets:
            scores = _score(net, source_NI, target_NO, table.labels_N[rows])
            weights = pack_weights(net)
            card = self._make_card(table, experiment, name, scores).model_copy(
                update={
                    "epoch": epoch,
                    "validation_cosine": cosine,
                    "curve": tuple(round(value, 4) for value in curves.get(name, ())),
                    "parameters": sum(weight.numel() for weight in net.parameters()),
                    "seconds": round(seconds, 1),
                    "weights_sha256": hashlib.sha256(weights).hexdigest(),
                }
            )
            save_translator(self.root, card, weights)
            cards.append(card)
        return cards

    def _make_card(
        self, table: PairTable, experiment: Experiment | None, name: str, scores: RetrievalScores
    ) -> TranslatorCard:
        mix = self.training.data[self.data]
        return TranslatorCard(
            name=name,
            source=mix[0].source,
            target=mix[0].target,
            source_space=table.source_space,
            target_space=table.target_space,
            dataset=self.dataset,
            version=self.version,
            set=versions.read_version(self.root, self.version).set,
            data=mix,
            split=self.training.split,
            counts=PairCounts(
                train=len(table.find_rows(TRAIN)),
                validation=len(table.find_rows(VALIDATION)),
                test=len(table.find_rows(TEST)),
                dropped={reason: count for reason, count in sorted(table.dropped.items()) if count},
            ),
            cell=experiment,
            fit=self.training.fit if experiment else None,
            method=experiment.net if experiment else name.removeprefix(f"{self.data}-"),
            epoch=0,
            parameters=0,
            validation_cosine=0.0,
            scores=scores,
            seconds=0.0,
            weights_sha256="",
            licence=", ".join(sorted(table.licences)),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _score(
    net: StackedTranslators, source_NI: np.ndarray, target_NO: np.ndarray, labels_N: np.ndarray
) -> RetrievalScores:
    import torch

    from pipelines.metrics.retrieval import score

    with torch.inference_mode():
        output_NO = net.translate(torch.from_numpy(source_NI))[0].numpy()
    return score(output_NO, target_NO, labels_N)
