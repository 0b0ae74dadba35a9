"""Judges by name: what `--judges` says -> their specs.

`NAME` and `NAME:PLACE` are what a file of this folder offers, as in `JUDGES = {"clap": choose_clap}`;
`pocket` is every pocket judge of a medium. `module:Class` is a class of somebody's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

from pipelines.errors import ConfigError
from pipelines.evaluate.judges.judge import JudgeSpec, MediaJudge
from pipelines.evaluate.judges.pocket import POCKET
from pipelines.store.classes import import_class, iterate_offers, make_instance
from pipelines.store.trust import make_untrusted_error
from schemas.custom_loader import CLASS_PATTERN
from schemas.media import Medium

ALL_POCKET = "pocket"


def choose_judges(names: Sequence[str], medium: Medium, trusted: Collection[str] = ()) -> list[JudgeSpec]:
    """Return the specs of judges of a medium, each once; `pocket` stands for all pocket judges of it.

    Args:
        names: as a person wrote them.
        medium: of what is judged.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: there is no such judge, nobody trusts it, or it is of another medium.
    """
    expanded = [
        each
        for name in names
        for each in (
            [pocket for pocket, own in POCKET.items() if own == medium] if name == ALL_POCKET else [name]
        )
    ]
    if not expanded:
        raise ConfigError(f"no pocket judge looks at {medium}s; name another judge")
    specs = [choose_judge(name, trusted) for name in dict.fromkeys(expanded)]
    for spec in specs:
        _check_medium(spec, medium)
    return specs


def choose_judge(name: str, trusted: Collection[str] = ()) -> JudgeSpec:
    """Return the spec of one judge.

    Args:
        name: as a person wrote it.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: there is no such judge, or nobody trusts it.
    """
    kind, _, place = name.partition(":")
    offers = _list_offers()
    if kind in offers and (place or kind in POCKET):
        found: JudgeSpec = offers[kind](name, place)
        return found
    if kind in offers or not re.fullmatch(CLASS_PATTERN, name):
        raise ConfigError(
            f"there is no judge {name[:80]!r}; it must be one of {', '.join(_describe_offers())}, or "
            "module:Class of your own"
        )
    if name not in trusted:
        raise make_untrusted_error({name: "judge"}, "--judges")
    custom = import_class(name, "--judges", "judge", ("fingerprint", "spaces", "open"))
    made: JudgeSpec = make_instance(custom, name, {}, "--judges")
    if getattr(made, "medium", None) not in ("sound", "picture", "text"):
        raise ConfigError(
            f"--judges: {name} has the medium {getattr(made, 'medium', None)!r}; give its class sound, "
            "picture or text"
        )
    return made


def check_rate(judge: MediaJudge, rate_hz: int) -> None:
    """Refuse a judge that hears at another rate than a protocol asks for.

    Args:
        judge: of sounds.
        rate_hz: of the protocol.

    Raises:
        ConfigError: it does.
    """
    if judge.rate_hz != rate_hz:
        raise ConfigError(
            f"judge {judge.name} hears at {judge.rate_hz} Hz, and {rate_hz} Hz were asked for; name weights "
            "of that rate"
        )


def _check_medium(spec: JudgeSpec, medium: Medium) -> None:
    if spec.medium != medium:
        raise ConfigError(
            f"judge {spec.name} looks at {spec.medium}s, and what is judged are {medium}s; name a judge of "
            f"{medium}s"
        )


@cache
def _list_offers() -> dict[str, Callable[[str, str], Any]]:
    return {name: found for name, _, found in iterate_offers("pipelines.evaluate.judges", "JUDGES")}


def _describe_offers() -> list[str]:
    return [ALL_POCKET, *(name if name in POCKET else f"{name}:..." for name in sorted(_list_offers()))]
