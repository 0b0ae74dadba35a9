"""What the person who runs a verb vouches for: the options that say so, and what each verb asks for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.encode.places import check_encoders, find_encoder_places
from pipelines.errors import ConfigError
from pipelines.generate.places import find_generator_places
from pipelines.store.places import check_places, find_fetch_keys, find_filter_keys, find_list_keys
from pipelines.store.trust import check_classes, check_trust
from schemas.dataset import Dataset
from schemas.strict import Trust

# The parts of a dataset that a verb opens; the others open none, or an encoder when a query needs it.
_OPENED: Mapping[str, Sequence[str]] = {
    "plan": ("sources",),
    "build": ("sources", "filter", "encode"),
    "refresh": ("sources", "filter", "encode"),
    "doctor": ("sources", "filter", "encode"),
    "serve": ("encode",),
    "generate": ("encode", "generator"),
    "evaluate": ("encode", "generator"),
}


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--trust`, `--trust-root` and `--allow-links` to a job's options."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="import this class if the root names it, as an encoder or else; repeat for more",
    )
    parser.add_argument(
        "--trust-root",
        action="store_true",
        help="read the lists and weights, and fetch by the settings, that the root names",
    )
    parser.add_argument(
        "--allow-links",
        action="append",
        default=[],
        metavar="FOLDER",
        help="follow links of the root that lead below this folder; repeat for more",
    )


def read_trust(args: argparse.Namespace) -> Trust:
    """Return what the options of `add_trust` say.

    Raises:
        ConfigError: a class is not written as module:Class, or a folder is everything.
    """
    check_trust(args.trust)
    links = tuple(str(Path(folder).expanduser().resolve()) for folder in args.allow_links)
    if "/" in links:
        raise ConfigError("--allow-links / allows a root every file of this machine; name a folder below it")
    return Trust(classes=frozenset(args.trust), whole_root=args.trust_root, links=links)


def format_trust(trust: Trust) -> list[str]:
    """Return the options that say what `read_trust` returned."""
    words = [word for name in sorted(trust.classes) for word in ("--trust", name)]
    words += ["--trust-root"] if trust.whole_root else []
    return words + [word for folder in trust.links for word in ("--allow-links", folder)]


def check_uses(dataset: Dataset, verb: str) -> None:
    """Refuse what a verb would use of a dataset, and only a root names.

    Args:
        dataset: as it was loaded.
        verb: that is about to use it.

    Raises:
        ConfigError: a class, a list, weights, or settings for fetching.
    """
    opened, trust = set(_OPENED.get(verb, ())), dataset.given_trust
    if "encode" in opened and dataset.encode.given_trust != trust:
        # Of another set, which another file names.
        opened.remove("encode")
        check_encoders(dataset.encode)
    if not trust.source:
        return
    check_classes(dataset.model_dump(include=opened), trust.classes, trust.source)
    keys: list[str] = []
    if "sources" in opened:
        keys += [*find_list_keys(dataset), *find_fetch_keys(dataset, asks_web=_asks_web(dataset))]
    if "filter" in opened:
        keys += find_filter_keys(dataset)
    if "generator" in opened:
        keys += find_generator_places(dataset.generator)
    if "encode" in opened:
        keys += find_encoder_places(dataset.encode)
    check_places(trust, keys)


def _asks_web(dataset: Dataset) -> bool:
    """Return whether anything is fetched from the web, lists included."""
    from pipelines.source.registry import make_lists

    def is_local(url: str) -> bool:
        return "://" not in url or url.startswith("file://")

    return any(
        not is_local(each.list)
        or not is_local(each.joined or "")
        or (
            each.take == "media"
            and (each.hosts != "local" if each.template is None else not is_local(each.template))
        )
        for each in make_lists(dataset)
    )
