"""Where the weights of a dataset's generator are, unless they ship or lie in its own root."""

from __future__ import annotations

from pipelines.store.places import is_place
from schemas.generators import AnyGenerator, is_generator_class

_SHIPPED = "pocket"
_PLACES = ("weights", "base", "guide", "init")


def find_generator_places(entry: AnyGenerator) -> list[str]:
    """Return the keys by which a generator names places."""
    ours = not is_generator_class(entry.name)
    keys = entry.model_dump(exclude={"name", "revision", "precision"})
    if ours and ":" in entry.name:
        keys.pop("weights", None)  # those that were trained in the root
    return [
        f"generator.{key}"
        for key, value in keys.items()
        if isinstance(value, str) and value != _SHIPPED and ((ours and key in _PLACES) or is_place(value))
    ]
