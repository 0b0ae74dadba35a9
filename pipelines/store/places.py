"""Places and guards that a root names: they count only if the user of a command gives them.

A root says which lists its rows are from, how they are fetched, and where weights are. Whoever opens the root
of somebody else would read these files, ask these hosts, and with these limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.errors import ConfigError
from schemas.dataset import Dataset
from schemas.fetch import Fetch, VideoSettings
from schemas.strict import Trust

# Of `fetch`: a larger value weakens a cap, or politeness; so does any where the default is none.
_CAPS = ("timeout_s", "max_bytes", "max_pixels", "workers", "video.timeout_s", "video.max_bytes")
_POLITENESS = ("retries", "connections", "wikimedia_width_px", "video.connections")
# Any value but the default names a place, or weakens a guard.
_WEB = (
    *("allow_private_hosts", "limits", "headers", "video.site", "video.cookies_file", "video.proxy"),
    "video.player_client",
)


def collect_keys(content: Any, before: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values of nested mappings and sequences."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, Mapping):
        items = content.items()
    elif isinstance(content, Sequence) and not isinstance(content, str):
        items = enumerate(content)
    empty = True
    for key, value in items:
        empty = False
        yield from collect_keys(value, f"{before}.{key}" if before else str(key))
    if empty and before:
        yield before


def check_places(trust: Trust, keys: Iterable[str]) -> None:
    """Refuse keys whose values only a root gives.

    Args:
        trust: of the dataset.
        keys: that name a place or weaken a guard, and would be used.

    Raises:
        ConfigError: there are some.
    """
    if named := [key for key in dict.fromkeys(keys) if trust.is_from_root(key)]:
        listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
        raise ConfigError(
            f"{trust.source} gives {listed}, which only you may; add --trust-root if you know it, or give a "
            "dataset file of your own"
        )


def is_place(value: object) -> bool:
    """Return whether an argument of somebody's own class looks like a path, a URL or a repository."""
    return isinstance(value, str) and re.search(r"[/\\~$]", value) is not None


# Keys of lists that name places, whatever their values look like.
_LIST_PLACES = ("media", "files", "stores", "join", "class_map")


def _names_place(value: object) -> bool:
    """Return whether a value, or one in it, looks like a place."""
    if isinstance(value, Mapping):
        return any(map(_names_place, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(_names_place, value))
    return is_place(value)


def find_list_keys(dataset: Dataset) -> list[str]:
    """Return the keys that name the lists of a dataset and their media."""
    keys = []
    for number, source in enumerate(dataset.sources):
        keys.append(f"sources.{number}.list")
        for key, value in (source.model_extra or {}).items():
            if value not in (None, ()) and (key in _LIST_PLACES or _names_place(value)):
                keys.append(f"sources.{number}.{key}")
    return keys


def find_filter_keys(dataset: Dataset) -> list[str]:
    """Return the keys by which filters of somebody's own name places."""
    return [
        f"filter.own.{number}.{key}"
        for number, entry in enumerate(dataset.filter.own)
        for key, value in (entry.model_extra or {}).items()
        if is_place(value)
    ]


def find_fetch_keys(dataset: Dataset, *, asks_web: bool) -> list[str]:
    """Return the keys by which a dataset fetches less carefully than by default, or other places.

    Args:
        dataset: whose settings.
        asks_web: whether anything is fetched from the web; else only what is decoded counts.
    """
    capped = _CAPS + (_POLITENESS if asks_web else ())
    keys = [f"fetch.{key}" for key in capped if _is_weaker(*_get_values(dataset.fetch, key))]
    if asks_web:
        keys += ["contact"] if dataset.contact is not None else []
        for key in _WEB:
            found, default = _get_values(dataset.fetch, key)
            keys += [f"fetch.{key}"] if found != default else []
    return keys


def _get_values(fetch: Fetch, key: str) -> tuple[Any, Any]:
    """Return the value and the default of a dotted key of `fetch`."""
    section, _, name = key.rpartition(".")
    if section:
        return getattr(fetch.video, name), VideoSettings.model_fields[name].default
    return getattr(fetch, name), Fetch.model_fields[name].default


def _is_weaker(found: Any, default: Any) -> bool:
    if default is None or found is None:
        return bool(found != default)
    return bool(found > default)
