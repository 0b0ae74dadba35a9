"""dataset.json: a dataset as it was planned, and what its sets of vectors are pinned to."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator

from schemas.strict import StrictModel


class StoredDataset(StrictModel):
    """What a root holds. Its parts are checked by the models of their own where they are used."""

    model_config = ConfigDict(extra="ignore")

    dataset: dict[str, Any] = Field({}, description="the resolved configuration of the newest build")
    sets: dict[str, dict[str, dict[str, Any]]] = Field({}, description="set -> column or family -> space")
    segments: dict[str, dict[str, Any]] = Field({}, description="set -> the part of a clip that is encoded")
    windows: dict[str, bool] = Field({}, description="set -> whether it keeps the windows of sounds")
    encoders: dict[str, dict[str, Any]] = Field({}, description="set -> its `encode`")

    @field_validator("dataset")
    @classmethod
    def _add_orientation(cls, dataset: dict[str, Any]) -> dict[str, Any]:
        # A root that says nothing of it holds pictures as they were stored, as img2dataset does.
        fetch = dataset.get("fetch", {})
        if not dataset or not isinstance(fetch, dict) or "orientation" in fetch:
            return dataset
        return dataset | {"fetch": fetch | {"orientation": "as_stored"}}
