"""indices/SET/VERSION/COLUMN.json: what an index holds and how well it finds it again."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.space import Space
from schemas.vectors import Column


class IndexCard(BaseModel):
    """The card beside a FAISS index. Recall is measured against exact search on held-out queries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: Column
    space: Space
    factory: str = Field(description="the FAISS factory string, as in Flat or IVF256,SQfp16")
    rows: int
    bytes: int
    build_s: float
    recall_at: dict[int, float] = Field(description="k -> share of the exact top k that was found")
    recall_queries: int
    nprobe: int | None = Field(None, description="inverted lists searched a query; null for Flat")
    sha256: str
