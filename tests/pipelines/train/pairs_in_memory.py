"""Pairs that are a table already, in place of those of a version."""

from dataclasses import dataclass

from pipelines.train.translators.pairs import PairTable


@dataclass
class PairsInMemory:
    """As `TrainingPairs`, without a root."""

    table: PairTable
    data: str = "toy"

    def read(self, scratch):
        return self.table

    def describe(self):
        return {"pairs": len(self.table.part_N)}
