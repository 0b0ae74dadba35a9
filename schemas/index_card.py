"""indices/SET/VERSION/COLUMN.json: what an index holds, and its recall."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from schemas.families import Column
from schemas.names import Sha256
from schemas.space import Space
from schemas.strict import StrictModel


class SearchTrial(StrictModel):
    """A setting with too low a recall, so that the next better one was tried."""

    nprobe: int | None
    recall: float = Field(description="recall@10 of the column of queries that did worst")


class IndexCard(StrictModel):
    """The card beside a FAISS index.

    Recall is measured against exact search, with queries from every column that can search it, because text
    vectors are distributed unlike those of pictures. A query's own row is no hit, and the index was not
    trained on it.
    """

    column: Column
    space: Space
    factory: str = Field(description="the FAISS factory string, as in Flat or IVF256,SQfp16")
    rows: int
    bytes: int
    build_s: float
    recall_at: dict[Column, dict[int, float]] = Field(
        description="column of the queries -> k -> share of the exact top k that was found"
    )
    recall_queries: dict[Column, int]
    recall_wanted: float = Field(description="of recall@10, from the dataset's file")
    nprobe: int | None = Field(None, ge=1, description="inverted lists searched a query; null for Flat")
    tried: tuple[SearchTrial, ...] = Field((), description="settings that were not enough, in their order")
    trained_nprobe: int | None = Field(None, description="`nprobe` when the lists were trained")
    trained_imbalance: float | None = Field(
        None, description="sum of squared lengths of the lists, 1 if all are equal, when they were trained"
    )
    sha256: Sha256

    @property
    def recall(self) -> float:
        """Recall@10 of the column of queries that does worst."""
        return min(at[10] for at in self.recall_at.values())

    @model_validator(mode="after")
    def _require_recall(self) -> Self:
        if not self.recall_at or any(10 not in at for at in self.recall_at.values()):
            raise ValueError("it has no recall@10")
        return self

    @property
    def falls_short(self) -> bool:
        """Whether the recall of the best setting is below the target."""
        return self.recall < self.recall_wanted

    def describe_shortfall(self) -> str:
        """Return one sentence on the missing recall, empty if none is missing."""
        if not self.falls_short:
            return ""
        lists = f", {self.nprobe} lists a query" if self.nprobe else ""
        return (
            f"the index of {self.column} finds {self.recall:.3f} of the ten nearest at its best setting "
            f"({self.factory}{lists}) and {self.recall_wanted:g} was wanted; give index.memory more"
        )
