"""The bases of models that users write as YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class StrictModel(BaseModel):
    """A frozen model in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrustingModel(BaseModel):
    """A model that may name classes, and knows which of them may be imported."""

    # Neither a key of a file nor stored: nothing that is read can set it. It travels with pickles and copies.
    _trusted: frozenset[str] = PrivateAttr(frozenset())

    @property
    def trusted(self) -> frozenset[str]:
        """Classes (module:Class) that the person who runs this has named, and which may be imported."""
        return self._trusted

    def trust(self, classes: Iterable[str]) -> Self:
        """Return a copy that trusts these classes, too; each counts only if its name is the same exactly."""
        trusting = self.model_copy()
        trusting._trusted = self._trusted | frozenset(classes)  # noqa: SLF001 - of its own class
        return trusting
