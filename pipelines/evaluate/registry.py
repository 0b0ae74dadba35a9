"""Ways by name: what `--ways` says -> planned ways, checked before any work.

`KIND[:ARGUMENT]` is what a file of `ways/` offers; `+generator:NAME` after it names what makes the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, PlannedWay, Way
from pipelines.evaluate.generation import is_accepted, is_text_reader
from pipelines.evaluate.ways.generator import make_direct_way
from pipelines.generate.alternatives import with_column
from pipelines.generate.generator import ChosenGenerator
from pipelines.store.classes import iterate_offers

_GENERATOR, _DEFAULT = "generator", "default"
# Ways whose output is there already.
_READY = ("real", "retrieval")
NEAREST, REAL, CAPTION = "nearest", "real", "caption"

ChooseGenerator = Callable[[str], ChosenGenerator]


def check_ways(texts: Sequence[str]) -> None:
    """Refuse what no way is written as, before anything is looked up.

    Raises:
        ConfigError: there is none, one is unknown or badly written, or is named twice.
    """
    if not texts:
        raise ConfigError("--ways names no way; name some, as in --ways real,caption,retrieval")
    for text in texts:
        if texts.count(text) > 1:
            raise ConfigError(f"--ways names {text} twice; name it once")
        _check_form(text)


def plan_ways(texts: Sequence[str], bench: Bench, choose: ChooseGenerator) -> list[PlannedWay]:
    """Return the ways that a command names, in its order.

    Args:
        texts: as the command has them, checked.
        bench: that they work with.
        choose: returns the generator of a name.

    Raises:
        ConfigError: one is absent or not for this direction.
        SpaceError: one is of other spaces.
    """
    return [_plan_way(text, bench, choose) for text in texts]


def _plan_way(text: str, bench: Bench, choose: ChooseGenerator) -> PlannedWay:
    first, plus, second = text.partition("+")
    kind, _, argument = first.partition(":")
    generator = _choose(second.partition(":")[2], bench, choose) if plus else None
    way: Way
    if kind == _GENERATOR:
        generator = _choose(argument, bench, choose)
        if bench.source in generator.info.alternatives:
            generator = with_column(generator, bench.source)
        way = make_direct_way(generator, bench)
    else:
        way = _list_ways()[kind](argument, bench)
    return _add_output(text, way, generator, bench)


def _check_form(text: str) -> None:
    first, plus, second = text.partition("+")
    kind, colon, argument = first.partition(":")
    known = [*_list_ways(), _GENERATOR]
    if kind not in known:
        raise ConfigError(
            f"way {text[:80]!r} is unknown; it must be one of {', '.join(sorted(known))}, as in "
            "translator:NAME, with +generator:NAME after it if you want"
        )
    named = {**_list_named(), _GENERATOR: True}
    if named.get(kind) and not argument:
        raise ConfigError(f"way {text}: it names no {kind}; write {kind}:NAME")
    if (kind not in named or not argument) and colon:
        raise ConfigError(f"way {text}: {kind} takes no name; leave :{argument} out")
    follower, _, name = second.partition(":")
    if plus and (follower != _GENERATOR or not name):
        raise ConfigError(f"way {text}: {second!r} follows a way, and only generator:NAME can; write that")
    if plus and kind == _GENERATOR:
        raise ConfigError(f"way {text}: {second} follows a generator; name one generator")
    if plus and kind in _READY:
        raise ConfigError(f"way {text}: nothing is generated of what is there already; leave +{second} out")


def _choose(name: str, bench: Bench, choose: ChooseGenerator) -> ChosenGenerator:
    if name == _DEFAULT:
        if not bench.generators:
            raise ConfigError(f"way generator:{name}: nothing here makes a {bench.medium}; name a generator")
        return bench.generators[0]
    generator = choose(name)
    if generator.info.medium != bench.medium:
        raise ConfigError(
            f"way generator:{name} makes a {generator.info.medium}, and {bench.direction} ends in a "
            f"{bench.medium}; name another"
        )
    return generator


def _add_output(text: str, way: Way, generator: ChosenGenerator | None, bench: Bench) -> PlannedWay:
    if way.follow != "output":
        return PlannedWay(text, way, None, REAL if way.follow == "real" else NEAREST)
    made = generator or _choose_usual(way, bench)
    if made is not None:
        return PlannedWay(text, way, made, f"generator:{made.info.name}")
    if way.makes == "sources":
        raise ConfigError(
            f"way {text} gives a generator another row's {bench.source}, and nothing here makes a "
            f"{bench.medium} of that; write {text}+generator:NAME"
        )
    is_said = way.makes == "texts" and bench.medium == "text"
    if way.makes == "texts" and not is_said and bench.find_text_column(bench.target) not in way.columns:
        raise ConfigError(
            f"way {text} makes texts without vectors in the space of {bench.target}, and nothing here makes "
            f"a {bench.medium} of them; write {text}+generator:NAME"
        )
    return PlannedWay(text, way, None, CAPTION if is_said else NEAREST)


def _choose_usual(way: Way, bench: Bench) -> ChosenGenerator | None:
    """Return the first generator of the bench that can follow a way; of texts one that reads nothing else."""
    fitting = [each for each in bench.generators if is_accepted(way.makes, each, bench)]
    if way.makes == "texts":
        fitting.sort(key=lambda each: not is_text_reader(each))
    return next(iter(fitting), None)


@cache
def _list_named() -> Mapping[str, bool]:
    """Return the ways that take a name -> whether they need one."""
    return {name: needs for name, _, needs in iterate_offers("pipelines.evaluate.ways", "NAMED")}


@cache
def _list_ways() -> Mapping[str, Any]:
    return {name: made for name, _, made in iterate_offers("pipelines.evaluate.ways", "WAYS")}
