"""A base for a filter of one's own, and the module:Class that names it in a dataset's file.

    @dataclass(frozen=True)
    class Dark(CustomFilter):
        below: float = 40.0
        reads: ClassVar[frozenset[str]] = frozenset({"jpg"})
        reasons: ClassVar[tuple[str, ...]] = ("too_dark",)
        kinds: ClassVar[tuple[Kind, ...]] = ("image",)

        def find_reason(self, row: Mapping[str, Any]) -> str | None:
            return "too_dark" if measure(row["jpg"]) < self.below else None

filter: {own: [{filter: "my_filters:Dark", below: 40}]}    # its folder on PYTHONPATH

A row that it rejects is `filtered/own.too_dark`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import ConfigError, EcholensError
from pipelines.filter.marking import MARKS, mark_filtered
from pipelines.stage import Batch, Work
from pipelines.store.classes import describe, import_class, make_instance
from pipelines.store.trust import make_untrusted_error
from schemas.candidate import KINDS, Kind
from schemas.dataset import Dataset
from schemas.outcome import make_own_reason


class CustomFilter(ABC):
    """A filter of one's own: a frozen dataclass whose fields are the keys of the dataset's file.

    It sees the rows that arrived and that the filters of ours let pass, one by one; those of text candidates
    before they are encoded.

    Attributes:
        kinds: of the rows that it sees.
        reads: the columns that it needs: those of a candidate (schemas/candidate.py), `language_detected`,
            and of pictures and clips those of a sample (schemas/sample.py) and the media themselves, as they
            are stored: `jpg`, or `flac` and `0.jpg` to `3.jpg`.
        reasons: that it may give, each of a-z, 0-9 and _.
    """

    kinds: tuple[Kind, ...] = ("image", "clip")
    reads: frozenset[str]
    reasons: tuple[str, ...]

    def open(self) -> Callable[[Mapping[str, Any]], str | None]:
        """Load what it needs, once a worker; return the function that is asked."""
        return self.find_reason

    @abstractmethod
    def find_reason(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row is not wanted, one of `reasons`; None for a row that passes.

        Args:
            row: the columns of `reads`, by name.
        """


@dataclass(frozen=True)
class CustomFilterStage:
    """Marks the rows that a filter of one's own rejects.

    Attributes:
        filter: the filter.
        name: its module:Class.
    """

    filter: CustomFilter
    name: str

    @property
    def reads(self) -> frozenset[str]:
        """See `Stage`."""
        return frozenset(self.filter.reads) | {"key", "outcome", "reason"}

    @property
    def adds(self) -> frozenset[str]:
        """See `Stage`."""
        return MARKS

    def open(self) -> Work:
        """Open the filter, and return the work."""
        find_reason = self._guard(self.filter.open)()
        return lambda batch: self._process(find_reason, batch)

    def _process(self, find_reason: Callable[[Mapping[str, Any]], str | None], batch: Batch) -> Batch:
        def ask(row: int) -> str | None:
            values = {name: batch[name][row] for name in self.filter.reads}
            reason = self._guard(find_reason, f" at {batch['key'][row]}")(values)
            if reason is not None and reason not in self.filter.reasons:
                raise ConfigError(
                    f"filter {self.name} gave the reason {reason!r}, and its reasons are "
                    f"{', '.join(self.filter.reasons)}; add it there"
                )
            return make_own_reason(reason) if reason is not None else None

        return mark_filtered(batch, ask)

    def _guard(self, work: Callable[..., Any], where: str = "") -> Callable[..., Any]:
        """Return the work with every error of it as one sentence."""

        def call(*arguments: Any) -> Any:
            try:
                return work(*arguments)
            except EcholensError:
                raise
            except Exception as error:
                raise ConfigError(f"filter {self.name} failed{where} ({describe(error)}); mend it") from error

        return call


def make_custom_stages(dataset: Dataset) -> dict[Kind, tuple[CustomFilterStage, ...]]:
    """Return the stages of a dataset's own filters, in the order of its file, for every kind of row.

    Raises:
        ConfigError: nobody trusts a class, it is no filter, or it does not take its keys.
    """
    stages: dict[Kind, list[CustomFilterStage]] = {kind: [] for kind in KINDS}
    for number, entry in enumerate(dataset.filter.own):
        where = f"filter.own.{number}"
        if entry.filter not in dataset.trusted:
            raise make_untrusted_error({entry.filter: "filter"}, where)
        found = import_class(entry.filter, where, "filter", ("open", "find_reason"))
        made = make_instance(found, entry.filter, entry.model_dump(exclude={"filter"}), where)
        _check_filter(made, entry.filter, where)
        for kind in made.kinds:
            stages[kind].append(CustomFilterStage(made, entry.filter))
    return {kind: tuple(of_kind) for kind, of_kind in stages.items()}


def _check_filter(made: Any, path: str, where: str) -> None:
    """Refuse a filter that does not say what it reads, of which rows, and which reasons it gives."""
    if not isinstance(made, CustomFilter):
        raise ConfigError(f"{where}: {path} is no filter; derive it from CustomFilter")
    if lacking := [name for name in ("reads", "reasons") if not getattr(made, name, None)]:
        raise ConfigError(f"{where}: {path} has no {lacking[0]}; name at least one")
    if unknown := [kind for kind in made.kinds if kind not in KINDS]:
        raise ConfigError(
            f"{where}: {path} is for rows of kind {unknown[0]!r}; name some of {', '.join(KINDS)}"
        )
    try:
        hash(made)
        for reason in made.reasons:
            make_own_reason(reason)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {path} cannot be used ({error}); mend it") from error
