"""Options that choose a generator and its parameters, for `generate` and `serve`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.generators import is_generator_class

if TYPE_CHECKING:
    from pipelines.generate.flags import ParamFlag

# Parameters of several generators that have a flag of their own; those of one come with it (FLAGS).
_FLAGS = ("steps", "guidance", "length_s")


def add_params(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a generator's parameters to a job's options."""
    add = parser.add_argument
    add("--steps", type=int, help="of a diffusion; 50 if not given")
    add("--guidance", type=float, help="how much a vector is followed; 2.5 if not given")
    add("--length-s", type=float, metavar="S", help="of every sound; 5 if not given")
    for name, each in _list_flags().items():
        # `nargs=1` would make a list of one.
        many = None if each.count == 1 else each.count
        add(each.flag, dest=name, metavar=each.metavar, help=each.help, nargs=many)
    add("--param", action="append", default=[], metavar="KEY=VALUE", help="of the generator; repeat for more")


def collect_params(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters that were given, by flags of their own or by `--param`.

    Raises:
        ConfigError: a `--param` is not written as KEY=VALUE.
    """
    from pipelines.generate.params import parse_params

    names = (*_FLAGS, *_list_flags())
    flags = {key: getattr(args, key) for key in names if getattr(args, key) is not None}
    return flags | parse_params(args.param)


def with_generator(dataset: Dataset, text: str | None, options: Mapping[str, Any], verb: str) -> Dataset:
    """Return a dataset with the generator that a command line names.

    Args:
        dataset: whose own generator gives the other keys, if it is the one that is named.
        text: of `--generator`; None for the dataset's own. A class in it is trusted: a person named it.
        options: other keys of the entry; those that are None are left out.
        verb: of the command, for errors.

    Raises:
        ConfigError: the entry has no such key, or a value is wrong.
    """
    from pipelines.generate.registry import parse_generator

    entry = dataset.generator.model_dump()
    named = {key: entry[key] for key in ("name",) if key in entry} if text is None else parse_generator(text)
    # The usual name is not written.
    is_same = entry.get("name") == named.get("name") and named.items() <= entry.items()
    content = (entry if is_same else {}) | named
    content |= {key: value for key, value in options.items() if value is not None}
    checked = check_content(Dataset, dataset.model_dump() | {"generator": content}, verb)
    classes = [text] if text is not None and is_generator_class(text) else []
    trust = dataset.given_trust
    given = [key for key, value in options.items() if value is not None] + ([*named] if text else [])
    for key in [f"generator.{key}" for key in given] if is_same else ["generator"]:
        trust = trust.exclude(key)
    return dataset.model_copy(update={"generator": checked.generator}).with_trust(trust).trust(classes)


def _list_flags() -> Mapping[str, ParamFlag]:
    from pipelines.generate.flags import list_flags

    return list_flags()
