"""The steps of a diffusion as guided-diffusion names them: "50", "ddim50" or "10,15,20"."""

from __future__ import annotations

import re

from pipelines.errors import ConfigError

_DDIM = "ddim"


def choose_timesteps(text: str, total: int) -> list[int]:
    """Return the times of the steps that are taken, ascending.

    "50" takes 50 times evenly from the first to the last; "ddim50" those with a whole stride, as in
    DDIM's paper; "10,15,20" takes so many of each third of all times.

    Args:
        text: of a person.
        total: times of the training.

    Raises:
        ConfigError: it is written otherwise, or there are not so many times.
    """
    check_respacing(text)
    if text.startswith(_DDIM):
        return _take_stride(int(text.removeprefix(_DDIM)), total, text)
    parts = [int(part) for part in text.split(",")]
    size, extra = divmod(total, len(parts))
    found: list[int] = []
    start = 0
    for number, count in enumerate(parts):
        length = size + (number < extra)
        if count > length:
            raise ConfigError(
                f"respacing {text}: {count} steps of {length} times cannot be taken; take fewer"
            )
        stride = 1.0 if count == 1 else (length - 1) / (count - 1)
        found += [start + round(stride * step) for step in range(count)]
        start += length
    return found


def check_respacing(text: str) -> None:
    """Refuse what names no steps.

    Raises:
        ConfigError: it is written otherwise.
    """
    if not re.fullmatch(r"(ddim)?[1-9][0-9]{0,5}|[1-9][0-9]{0,5}(,[1-9][0-9]{0,5})+", text):
        raise ConfigError(
            f"respacing {text[:40]!r} is none; write a number of steps as in 50, ddim50, or 10,15,20 for "
            "parts"
        )


def _take_stride(count: int, total: int, text: str) -> list[int]:
    for stride in range(1, total):
        if len(range(0, total, stride)) == count:
            return [*range(0, total, stride)]
    raise ConfigError(
        f"respacing {text}: {total} times cannot be cut into {count} with a whole stride; take another number"
    )
