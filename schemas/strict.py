"""The bases of models: of what users write as YAML, and of what a root stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class StrictModel(BaseModel):
    """A frozen model in which unknown keys are errors, and numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Trust:
    """What the person who runs a command vouches for.

    Attributes:
        classes: module:Class, which may be imported; each counts only if its name is the same exactly.
        whole_root: whether places and guards count that only the root gives.
        root_keys: dotted keys whose values only the root gives, as in encode.clip.weights.
        source: of these values, for errors.
        links: folders of this machine into which links of the root may lead.
    """

    classes: frozenset[str] = frozenset()
    whole_root: bool = False
    root_keys: frozenset[str] = frozenset()
    source: str = ""
    links: tuple[str, ...] = ()

    def is_from_root(self, key: str) -> bool:
        """Return whether the value of a key, or a part of it, is one that only the root gives."""
        return any(each == key or each.startswith(f"{key}.") for each in self.root_keys)

    def exclude(self, key: str) -> Trust:
        """Return the trust after the person gave a value for a key themselves."""
        left = (each for each in self.root_keys if each != key and not each.startswith(f"{key}."))
        return replace(self, root_keys=frozenset(left))


class TrustingModel(BaseModel):
    """A model that names classes and places, and knows which of them the person who runs it vouches for."""

    # Neither a key of a file nor stored: nothing that is read can set it. It travels with pickles and copies.
    _given_trust: Trust = PrivateAttr(Trust())

    @property
    def given_trust(self) -> Trust:
        """What the person who runs this vouches for."""
        return self._given_trust

    @property
    def trusted(self) -> frozenset[str]:
        """Classes (module:Class) that the person who runs this has named, and which may be imported."""
        return self._given_trust.classes

    def with_trust(self, trust: Trust) -> Self:
        """Return a copy with another trust."""
        trusting = self.model_copy()
        trusting._given_trust = trust  # noqa: SLF001 - of its own class
        return trusting

    def trust(self, classes: Iterable[str]) -> Self:
        """Return a copy that trusts these classes, too; each counts only if its name is the same exactly."""
        given = self._given_trust
        return self.with_trust(replace(given, classes=given.classes | frozenset(classes)))
