"""Kinds of lists by name: a source of the dataset's file -> the list with its keys, which opens it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
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
    """Return where the media of rows may be: by the lists of a dataset, or by all kinds of ours if None.

    Without a dataset local media may be anywhere.

    Raises:
        ConfigError: the dataset names a list that there is not, or that nobody trusts.
    """
    if dataset is None:
        return _sort_kinds({kind: _import_kind(kind) for kind in _find_modules()})
    lists = make_lists(dataset)
    _check_templates(lists)
    places: dict[str, frozenset[str] | None] = {}
    for each in lists:
        before, found = places.get(each.kind, frozenset()), each.list_places()
        places[each.kind] = None if before is None or found is None else before | set(found)
    origins = _sort_kinds({each.kind: type(each) for each in lists})
    return replace(
        origins,
        # A kind on the web may have files here, too, at places that its keys name.
        local=origins.local | {kind for kind, at in places.items() if at and kind not in origins.templates},
        templates=origins.templates | {each.kind for each in lists if each.template is not None},
        cut=frozenset(each.kind for each in lists if _names_clips(each)),
        places=tuple((kind, at) for kind, at in places.items() if at is not None),
    )


def _names_clips(source: ListSource) -> bool:
    """Return whether a template names the clip of a row, and not the recording that it lies in."""
    return source.template is not None and "{start_s" in source.template


def _check_templates(lists: Sequence[ListSource]) -> None:
    """Refuse two lists of a kind of which one names clips and the other recordings: rows do not say which."""
    for kind in {each.kind for each in lists}:
        templates = {
            _names_clips(each): each.template for each in lists if each.kind == kind and each.template
        }
        if len(templates) > 1:
            raise ConfigError(
                f"of the lists of kind {kind}, media template {templates[True]!r} names clips and "
                f"{templates[False]!r} whole recordings; name one of them by another dataset"
            )


def _sort_kinds(kinds: Mapping[str, type[ListSource]]) -> MediaOrigins:
    return MediaOrigins(
        local=frozenset(kind for kind, found in kinds.items() if found.hosts == "local"),
        templates=frozenset(kind for kind, found in kinds.items() if found.hosts == "youtube"),
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
                f"module:Class of your own (found {source.kind!r}){_name_nearest(source.kind)}"
            )
        found = _import_kind(source.kind)
        _check_keys(source, found, number, target)
    return check_content(found, source.model_dump(), target, at)


def _name_nearest(kind: str) -> str:
    near = difflib.get_close_matches(kind, [*_find_modules()], 1, 0.5)
    return f"; the nearest is {near[0]!r}" if near else ""


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
