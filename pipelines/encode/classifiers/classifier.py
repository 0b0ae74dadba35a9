"""The protocol of a classifier of sounds that selects segments: a tower whose vectors are probabilities.

A classifier comes in by adding a file below pipelines/encode/classifiers/ that offers it, as in
`CLASSIFIERS = {"ast": AstClassifier}`, or as a class of somebody's own, named as module:Class:

    @dataclass(frozen=True)
    class Birds:
        weights: str

        def list_classes(self) -> tuple[str, ...]:
            return ("blackbird", "robin")

        def load(self) -> Tower:
            net = my_library.load(self.weights)
            return CustomTower(my_library.spectrogram, net.probabilities)

encode: {segment: {mode: best, by: {loader: "birds:Birds", weights: /models/birds.pt}, classes: [robin]}}

Shapes: B rows of a batch, C classes.
"""

from __future__ import annotations

from typing import Protocol

from pipelines.encode.encoder import Tower


class ClassifierLoader(Protocol):
    """Finds and loads a classifier. Frozen, hashable and picklable, as a stage is."""

    def list_classes(self) -> tuple[str, ...]:
        """Return the names of its classes, in the order of its probabilities, without loading its weights.

        Raises:
            ConfigError: its configuration is missing.
        """
        ...

    def load(self) -> Tower:
        """Load the weights; `forward` returns probabilities from 0 to 1, float32 [B, C].

        Raises:
            ConfigError: they are missing, or do not fill the net.
        """
        ...
