"""Space: in which embedding space a vector lies. A vector never travels without it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["fp32", "bf16", "fp16"]


class Space(BaseModel):
    """Everything that decides what the numbers of a vector mean.

    Two vectors may be compared if and only if their spaces are equal. `batch_rows` belongs to it because
    the last digit of a vector depends on the size of the batch it was computed in (design.md, section 10).
    A folder of weights is named by its last part alone: it is the same space wherever it lies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(description="loader and model, as in open_clip:ViT-B-32-quickgelu:openai")
    weights_sha256: str
    library: str = Field(description="as in open_clip_torch 3.3.0")
    preprocessing: str = Field(description="what happens to media before the net, in one line")
    precision: Precision
    batch_rows: int
    dims: int

    def __str__(self) -> str:
        return f"{self.encoder}@{self.weights_sha256[:12]}/{self.precision}/{self.dims}d"

    def differences(self, other: Space) -> str:
        """Return what differs, as in `precision fp32, not bf16`; empty if the spaces are equal."""
        mine, theirs = self.model_dump(), other.model_dump()
        return "; ".join(
            f"{name} {mine[name]}, not {theirs[name]}" for name in mine if mine[name] != theirs[name]
        )
