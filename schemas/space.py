"""Space: in which embedding space a vector lies. A vector never travels without it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from schemas.strict import StrictModel

Precision = Literal["fp32", "bf16", "fp16"]

# Never compared: two machines may measure the last digit differently.
_MEASURED = frozenset({"fp32_cosine"})


# Begins the name of a space of which nothing is known but what a dataset's file calls it.
LISTED = "list:"


class Space(StrictModel):
    """Everything that decides what the numbers of a vector mean.

    Two vectors may be compared if their spaces are equal, or if one net was trained into the space of the
    other (`is_comparable`). `batch_rows` belongs to it because the last digit of a vector depends on the size
    of the batch it was computed in (design.md, section 10). A folder of weights is named by its last part
    alone: it is the same space wherever it lies.
    `fp32_cosine` is carried along and never compared.
    """

    encoder: str = Field(description="loader and model, as in open_clip:ViT-B-32-quickgelu:openai")
    weights_sha256: str
    library: str = Field(description="as in open_clip_torch 3.3.0")
    preprocessing: str = Field(description="what happens to media before the net, in one line")
    precision: Precision
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)]
    dims: Annotated[int, Field(ge=1, le=65_536)]
    joins: str | None = Field(None, description="the identity of the space that its net was trained into")
    settings: str | None = Field(
        None, description="what a class of one's own was given beside its weights; None matches any"
    )
    fp32_cosine: float | None = Field(
        None, description="the lowest cosine to the same net in fp32 that was measured; none for fp32 itself"
    )

    def __str__(self) -> str:
        return f"{self.encoder}@{self.weights_sha256[:12]}/{self.precision}/{self.dims}d"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space) or self._list_compared() != other._list_compared():
            return False
        # Tables of before this field was stored have None.
        return None in (self.settings, other.settings) or self.settings == other.settings

    def __hash__(self) -> int:
        return hash(tuple(self._list_compared().items()))

    @property
    def listed_name(self) -> str | None:
        """What a dataset's file calls the space of vectors of a list; None for that of an encoder."""
        return self.encoder.removeprefix(LISTED) if self.encoder.startswith(LISTED) else None

    @property
    def identity(self) -> str:
        """What a net that is trained into the space names in `joins`: `SHA256/512d`, `SHA256/24d/seed=5`.

        Weights, dimensions and settings: the same weights in another precision or version of their library
        span the same space but for its last digits.
        """
        settings = f"/{self.settings}" if self.settings else ""
        return self.joins or f"{self.weights_sha256}/{self.dims}d{settings}"

    def is_comparable(self, other: Space) -> bool:
        """Return whether vectors of two spaces may be compared: they are equal, or one joins the other."""
        joined = self.joins is not None or other.joins is not None
        return self == other or (joined and self.identity == other.identity and self.dims == other.dims)

    def _list_compared(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in _MEASURED and name != "settings"
        }

    def describe_differences(self, other: Space) -> str:
        """Return what differs, as in `precision fp32, not bf16`; empty if the spaces are equal."""
        mine = self._list_compared() | {"settings": self.settings}
        theirs = other._list_compared() | {"settings": other.settings}
        if self.encoder != other.encoder:
            # Of two encoders everything differs; their names say it.
            return f"encoder {self.encoder}, not {other.encoder}"
        return "; ".join(
            f"{name} {mine[name] or 'none'}, not {theirs[name] or 'none'}"
            for name in mine
            if mine[name] != theirs[name]
        )

    @model_serializer(mode="wrap")
    def _write_without_nulls(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value is not None}
