"""Classifiers by name: what `encode.segment.by` of a dataset's file says -> the loader of one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from pipelines.encode.classifiers.classifier import ClassifierLoader
from pipelines.errors import ConfigError
from pipelines.store.classes import find_offers, import_class, load_offer, make_instance
from pipelines.store.trust import make_untrusted_error
from schemas.custom_loader import OtherEncoder

_WHERE = "encode.segment.by"
_PACKAGE = "pipelines.encode.classifiers"
# In an error; AudioSet has 527.
_SHOWN_CLASSES = 5


def make_classifier(entry: OtherEncoder, trusted: Collection[str]) -> ClassifierLoader:
    """Return the classifier that a dataset names.

    Args:
        entry: of its file.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: there is none of the name, nobody trusts it, or it does not take these keys.
    """
    place = entry.loader
    if ":" not in place:
        offers = find_offers(_PACKAGE, "CLASSIFIERS")
        if place not in offers:
            raise ConfigError(
                f"{_WHERE}: there is no classifier {place!r}; it must be one of {', '.join(sorted(offers))}, "
                "or module:Class of your own"
            )
        module = offers[place][0]
        place = f"{module}:{load_offer(module, 'CLASSIFIERS', place).__qualname__}"
    elif place not in trusted:
        raise make_untrusted_error({place: "classifier"}, _WHERE)
    found = import_class(place, _WHERE, "classifier", ("list_classes", "load"))
    loader: ClassifierLoader = make_instance(found, place, entry.model_dump(exclude={"loader"}), _WHERE)
    return loader


def find_classes(loader: ClassifierLoader, wanted: Sequence[str]) -> list[int]:
    """Return the places of classes among those of a classifier, whatever the case of their letters.

    Raises:
        ConfigError: it has none of a name.
    """
    known = [name.lower() for name in loader.list_classes()]
    if lacking := [name for name in wanted if name.lower() not in known]:
        near = difflib.get_close_matches(lacking[0].lower(), known, _SHOWN_CLASSES, 0.5)
        shown = ", ".join(near or known[:_SHOWN_CLASSES])
        raise ConfigError(
            f"encode.segment.classes: the classifier has no class {lacking[0]!r}; of its {len(known)} take "
            f"such as {shown}"
        )
    return [known.index(name.lower()) for name in wanted]
