"""The translators that a training leaves: scored on the pairs held out, beside the baselines, with cards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store import versions
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.task import MemberResult
from pipelines.train.translators.pairs import VALIDATION_ROWS, PairTable
from pipelines.train.translators.training_pairs import TrainingPairs
from pipelines.translate.translator import WEIGHTS, pack_weights
from schemas.training import Experiment
from schemas.translator_card import PairCounts, RetrievalScores, TranslatorCard

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.models.translators import StackedTranslators

# Held-out pairs that are scored at most: the bootstrap interval of R@1 is then below 1.5 points.
_TEST_ROWS = 10_000


@dataclass(frozen=True)
class TranslatorExport:
    """Scores nets on the test pairs and writes them as translators, a folder each.

    Attributes:
        pairs: that were trained on.
        table: of them.
        folder: to write to.
        seconds: of training.
    """

    pairs: TrainingPairs
    table: PairTable
    folder: Path
    seconds: float

    def write_experiment(
        self, experiment: Experiment, weights: Mapping[str, Tensor], result: MemberResult
    ) -> TranslatorCard:
        """Write the translator of an experiment, and return its card.

        Args:
            experiment: that was trained.
            weights: of a net of its own.
            result: of its training.

        Raises:
            ConfigError: no pair is held out.
        """
        from pipelines.models.registry import build_net

        net = build_net(experiment, self.table.dims)
        net.load_state_dict({name: weight.cpu() for name, weight in weights.items()})
        described = {
            "epoch": result.epoch,
            "validation_cosine": result.score,
            "curve": tuple(round(value, 4) for value in result.curve),
        }
        return self._write(net.eval(), experiment, experiment.name, described)

    def write_baselines(self) -> list[TranslatorCard]:
        """Solve and write all baselines, and return their cards."""
        import torch

        from pipelines.train.translators.baselines import BASELINES, Moments, solve

        moments = Moments(self.table)
        source_NI, target_NO = (
            torch.from_numpy(side)
            for side in self.table.get_pairs(self.table.find_rows(VALIDATION)[:VALIDATION_ROWS])
        )
        cards = []
        for name in BASELINES:
            net = solve(name, self.table, moments)
            with torch.inference_mode():
                cosine = float((net.translate(source_NI)[0] * target_NO).sum(-1).mean())
            described = {"epoch": 0, "validation_cosine": cosine}
            cards.append(self._write(net, None, f"{self.pairs.data}-{name}", described))
        return cards

    def _write(
        self, net: StackedTranslators, experiment: Experiment | None, name: str, described: dict[str, Any]
    ) -> TranslatorCard:
        scores = self._score(net)
        weights = pack_weights(net)
        own = self.folder / name
        own.mkdir()
        (own / WEIGHTS).write_bytes(weights)
        return self._make_card(experiment, name, scores).model_copy(
            update={
                **described,
                "parameters": sum(weight.numel() for weight in net.parameters()),
                "seconds": round(self.seconds, 1),
                "weights_sha256": hashlib.sha256(weights).hexdigest(),
            }
        )

    def _score(self, net: StackedTranslators) -> RetrievalScores:
        import torch

        from pipelines.metrics.retrieval import score

        rows = self.table.find_rows(TEST)[:_TEST_ROWS]
        if not len(rows):
            raise ConfigError(
                f"no pair of {self.pairs.data!r} is held out for scores ({dict(self.table.dropped)} were "
                "dropped); take more rows, or a larger split.test"
            )
        source_NI, target_NO = self.table.get_pairs(rows)
        target_NO /= np.linalg.norm(target_NO, axis=1, keepdims=True)
        with torch.inference_mode():
            output_NO = net.translate(torch.from_numpy(source_NI))[0].numpy()
        return score(output_NO, target_NO, self.table.labels_N[rows])

    def _make_card(self, experiment: Experiment | None, name: str, scores: RetrievalScores) -> TranslatorCard:
        pairs, table = self.pairs, self.table
        mix = pairs.training.data[pairs.data]
        return TranslatorCard(
            name=name,
            source=mix[0].source,
            target=mix[0].target,
            source_space=table.source_space,
            target_space=table.target_space,
            dataset=pairs.dataset.name,
            version=pairs.dataset.version,
            set=versions.read_version(pairs.dataset.root, pairs.dataset.version).set,
            data=mix,
            split=pairs.training.split,
            counts=PairCounts(
                train=len(table.find_rows(TRAIN)),
                validation=len(table.find_rows(VALIDATION)),
                test=len(table.find_rows(TEST)),
                dropped={reason: count for reason, count in sorted(table.dropped.items()) if count},
            ),
            cell=experiment,
            fit=pairs.training.fit if experiment else None,
            method=experiment.net if experiment else name.removeprefix(f"{pairs.data}-"),
            epoch=0,
            parameters=0,
            validation_cosine=0.0,
            scores=scores,
            seconds=0.0,
            weights_sha256="",
            licence=", ".join(sorted(table.licences)),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
