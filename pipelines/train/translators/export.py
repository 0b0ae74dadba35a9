"""The translators that a training leaves: scored on the pairs held out, beside the baselines, with cards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.task import MemberResult
from pipelines.train.translators.pairs import VALIDATION_ROWS, PairTable
from pipelines.train.translators.training_pairs import TrainingPairs
from pipelines.translate.translator import WEIGHTS, make_seeds, pack_weights
from schemas.training import Experiment
from schemas.translator_card import PairCounts, RetrievalScores, TranslatorCard, ValidationScore

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.models.translators import StackedTranslators

# Held-out pairs that are scored at most: the bootstrap interval of R@1 is then below 1.5 points.
_TEST_ROWS = 10_000
# Training pairs of which the mean target of each label is taken: hundreds of each of VGGSound's 309.
_PROTOTYPE_ROWS = 100_000
_CHUNK = 16_384


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
        from pipelines.train.translators.baselines import BASELINES, Moments, solve

        moments = Moments(self.table)
        return [
            self._write(solve(name, self.table, moments), None, f"{self.pairs.data}-{name}", {"epoch": 0})
            for name in BASELINES
        ]

    def _write(
        self, net: StackedTranslators, experiment: Experiment | None, name: str, described: dict[str, Any]
    ) -> TranslatorCard:
        card = self._make_card(experiment, name, self._score(net))
        weights = pack_weights(net)
        own = self.folder / name
        own.mkdir()
        (own / WEIGHTS).write_bytes(weights)
        validation, cosine = self._validate(net)
        return card.model_copy(
            update={
                "validation_cosine": cosine,
                **described,
                "validation": validation,
                "parameters": sum(weight.numel() for weight in net.parameters()),
                "seconds": round(self.seconds, 1),
                "weights_sha256": hashlib.sha256(weights).hexdigest(),
            }
        )

    def _validate(self, net: StackedTranslators) -> tuple[dict[str, ValidationScore], float]:
        """Return the scores of each kind of validation pairs, and the mean cosine of all pairs."""
        from pipelines.metrics.retrieval import mean_over_groups

        rows = self.table.sample_rows(VALIDATION, VALIDATION_ROWS)
        output_NO, target_NO = self._translate(net, rows)
        cosines_N, groups_N = (output_NO * target_NO).sum(1), self.table.groups_N[rows]
        validation = {}
        for number, direction in enumerate(self.table.directions):
            own = self.table.direction_N[rows] == number
            if own.any():
                validation[direction] = ValidationScore(
                    pairs=int(own.sum()),
                    groups=len(np.unique(groups_N[own])),
                    cosine=mean_over_groups(cosines_N[own], groups_N[own]),
                )
        return validation, float(cosines_N.mean())

    def _translate(self, net: StackedTranslators, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return translated vectors and their targets, unit vectors float32 `[n, O]`."""
        import torch

        source_NI, target_NO = self.table.get_pairs(rows)
        target_NO /= np.linalg.norm(target_NO, axis=1, keepdims=True)
        with torch.inference_mode():
            output_NO = net.translate(torch.from_numpy(source_NI), make_seeds(rows))[0].numpy()
        return output_NO, target_NO

    def _score(self, net: StackedTranslators) -> dict[str, RetrievalScores]:
        """Return the scores of all test pairs under an empty name, and of each kind where there are several.

        Raises:
            ConfigError: no pair is held out.
        """
        from pipelines.metrics.retrieval import LabelPrototypes, score

        table = self.table
        rows = table.sample_rows(TEST, _TEST_ROWS)
        if not len(rows):
            raise ConfigError(
                f"no pair of {self.pairs.data!r} is held out for scores ({dict(table.dropped)} were "
                "dropped); take more rows, or a larger split.test"
            )
        output_NO, target_NO = self._translate(net, rows)
        labels_C, prototypes_CO = self._prototypes
        scores = {}
        for name, own in self._list_kinds(rows):
            classes = LabelPrototypes(table.labels_N[rows[own]], labels_C, prototypes_CO)
            scores[name] = score(output_NO[own], target_NO[own], table.groups_N[rows[own]], classes)
        return scores

    def _list_kinds(self, rows: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Return the kinds of pairs among rows: all of them, and each alone if there are several."""
        kinds = [
            (direction, own)
            for number, direction in enumerate(self.table.directions)
            if (own := np.flatnonzero(self.table.direction_N[rows] == number)).size
        ]
        return [("", np.arange(len(rows))), *(kinds if len(kinds) > 1 else [])]

    @cached_property
    def _prototypes(self) -> tuple[np.ndarray, np.ndarray]:
        """The labels of training pairs and their mean targets, unit vectors, without any held-out one."""
        table = self.table
        rows = table.sample_rows(TRAIN, _PROTOTYPE_ROWS)
        rows = rows[table.labels_N[rows] != 0]
        labels_C, places = np.unique(table.labels_N[rows], return_inverse=True)
        sums_CO = np.zeros((len(labels_C), table.target_space.dims), np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            np.add.at(sums_CO, places[part], table.get_pairs(rows[part])[1])
        return labels_C, sums_CO / np.linalg.norm(sums_CO, axis=1, keepdims=True).clip(1e-12)

    def _make_card(
        self, experiment: Experiment | None, name: str, scores: dict[str, RetrievalScores]
    ) -> TranslatorCard:
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
            set=pairs.read_set(),
            data=mix,
            split=pairs.training.split,
            counts=PairCounts(
                train=len(table.find_rows(TRAIN)),
                validation=len(table.find_rows(VALIDATION)),
                test=len(table.find_rows(TEST)),
                dropped={reason: count for reason, count in sorted(table.dropped.items()) if count},
            ),
            groups=table.counts,
            leak_rule=table.leak_rule,
            mined=table.mined,
            cell=experiment,
            fit=pairs.training.fit if experiment else None,
            method=experiment.net if experiment else name.removeprefix(f"{pairs.data}-"),
            epoch=0,
            parameters=0,
            validation_cosine=0.0,
            scores=scores[""],
            scores_of={kind: found for kind, found in scores.items() if kind},
            seconds=0.0,
            weights_sha256="",
            licence=", ".join(sorted(table.licences)),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
