"""Kinds of lists by name: a source of the dataset's file -> the list with its keys, which opens it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from pipelines.errors import ConfigError, ListError
from pipelines.fetch.origins import MediaOrigins
from pipelines.source.listing import ListSource
from pipelines.store.classes import find_offers, import_class, load_offer
from pipelines.store.trust import make_untrusted_error
from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.sources import Source

_PACKAGE = "pipelines.source"
_OFFER = "SOURCES"


def make_lists(dataset: Dataset) -> tuple[ListSource, ...]:
    """Return the lists of a dataset.

    Raises:
        ConfigError: there is no such kind, nobody trusts its class, or it does not take these keys.
    """
    target = f"dataset {dataset.name}"
    return tuple(
        _make_list(source, number, target, dataset.trusted) for number, source in enumerate(dataset.sources)
    )


def check_kinds(dataset: Dataset, target: str) -> None:
    """Check the keys of lists of ours; a class of one's own is imported when its list is read.

    Args:
        dataset: whose lists.
        target: source of the dataset, for errors.

    Raises:
        ConfigError: there is no such kind, or it does not take these keys.
    """
    for number, source in enumerate(dataset.sources):
        if ":" not in source.kind:
            _make_list(source, number, target, ())


def find_origins(dataset: Dataset | None = None) -> MediaOrigins:
    """Return where the media of every kind are: of ours, and of the classes that a dataset names."""
    kinds = {kind: _import_kind(kind) for kind in _find_modules()}
    lists = make_lists(dataset) if dataset is not None else ()
    kinds |= {each.kind: type(each) for each in lists}
    return MediaOrigins(
        local=frozenset(kind for kind, found in kinds.items() if found.hosts == "local"),
        cut=frozenset(kind for kind, found in kinds.items() if found.hosts == "youtube"),
        thumbnails=frozenset(kind for kind, found in kinds.items() if found.has_thumbnails),
    )


def _make_list(source: Source, number: int, target: str, trusted: Collection[str]) -> ListSource:
    at = ("sources", number)
    where = f"sources.{number}.kind"
    if ":" in source.kind:
        if source.kind not in trusted:
            raise make_untrusted_error({source.kind: "list"}, where)
        found = import_class(source.kind, where, "list", ("open_list",))
        if not issubclass(found, ListSource):
            raise ConfigError(f"{where}: {source.kind} is no list; derive it from ListSource")
    else:
        if source.kind not in _find_modules():
            raise ConfigError(
                f"{target}: {where}: input should be {', '.join(map(repr, sorted(_find_modules())))}, or "
                f"module:Class of your own (found {source.kind!r})"
            )
        found = _import_kind(source.kind)
        _check_keys(source, found, number, target)
    return check_content(found, source.model_dump(), target, at)


def _check_keys(source: Source, found: type[ListSource], number: int, target: str) -> None:
    """Refuse a key of another kind of ours by its name; what no kind has is misspelt."""
    for key in sorted((source.model_extra or {}).keys() - found.model_fields.keys()):
        if any(key in _import_kind(kind).model_fields for kind in _find_modules()):
            raise ConfigError(
                f"{target}: sources.{number}: a {source.kind} list has no {key!r}; take that key out"
            )


@cache
def _find_modules() -> dict[str, str]:
    """Return kind -> the module that offers it, of ours."""
    return {kind: modules[0] for kind, modules in find_offers(_PACKAGE, _OFFER).items()}


@cache
def _import_kind(kind: str) -> type[ListSource]:
    found: type[ListSource] = load_offer(_find_modules()[kind], _OFFER, kind)
    return found


def make_format_error(source: Source, head: Sequence[str], expected: str) -> ListError:
    """Return the error for a list of another format than its kind's, with a guess of its kind.

    Args:
        source: from the dataset's file.
        head: the first readable records.
        expected: how a list of this kind begins, as the end of a sentence.
    """
    advice = f"give a {source.kind} list"
    for kind in _find_modules():
        first_row = _import_kind(kind).first_row
        if kind != source.kind and first_row is not None and first_row.match(head[0]):
            advice = f"it looks like a {kind} list, so say `kind: {kind}`"
    begins = head[0] if len(head[0]) <= 100 else f"{head[0][:100]}..."
    return ListError(
        f"list {source.list} begins with {begins!r}, but a {source.kind} list {expected}; {advice}"
    )
