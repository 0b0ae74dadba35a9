"""Classes of a folder of pictures or sounds: the names of its folders, or ImageNet's synsets.

timm's wheel names the synsets, so nothing is downloaded: `imagenet_synsets.txt` has the 1,000 of ILSVRC in
their order, of which the first 398 are animals (the next is abacus), and `imagenet_synset_to_lemma.txt` the
words of all 21,844.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pipelines.errors import ConfigError, ListError
from pipelines.source.list_files import as_list_errors, open_place, read_whole

ClassKind = Literal["none", "folders", "imagenet", "imagenet_animals"]

_ANIMALS = 398
_SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class FolderClasses:
    """The classes of files.

    Attributes:
        kind: what the names of folders are.
        labels: to keep; empty for all.
        synsets: of files that lie in no folders, by the names of the files without their endings.
    """

    kind: ClassKind = "none"
    labels: frozenset[str] = frozenset()
    synsets: Mapping[str, str] = field(default_factory=dict)

    def describe(self, path: str) -> dict[str, Any]:
        """Return what a row has of the class of a file: `label`, and `ruled_out` if it is not wanted."""
        if self.kind == "none":
            return {}
        file = PurePosixPath(path)
        if self.kind == "folders":
            label: str | None = file.parent.name.replace("_", " ").strip() or None
            is_wanted = not self.labels or label in self.labels
        else:
            synset = self.synsets.get(file.stem) or _find_synset(file)
            words = read_lemmas().get(synset, ())
            label = words[0] if words else None
            is_wanted = not self.labels or bool(self.labels & {synset, *words})
            if self.kind == "imagenet_animals":
                is_wanted = is_wanted and synset in list_synsets()[:_ANIMALS]
        return {"label": label, "ruled_out": None if is_wanted else "label"}


def open_classes(kind: ClassKind, labels: Sequence[str], class_map: str | None, where: str) -> FolderClasses:
    """Return the classes of a folder.

    Args:
        kind: what the names of its folders are.
        labels: to keep; of ImageNet a synset or one of its words.
        class_map: path or URL of a csv of ImageId,PredictionString, as ImageNet's validation has it.
        where: the folder, for errors.

    Raises:
        ConfigError: ImageNet has no such class, or timm is missing.
        ListError: the map is missing, or is none.
    """
    if kind in ("imagenet", "imagenet_animals"):
        known = {*list_synsets(), *(word for each in list_synsets() for word in read_lemmas()[each])}
        if unknown := [label for label in labels if label not in known]:
            raise ConfigError(
                f"{where}: ImageNet has no class {unknown[0]!r}; name a synset as in n02084071, or a word of "
                "timm's imagenet_synset_to_lemma.txt"
            )
    return FolderClasses(kind, frozenset(labels), _read_map(class_map) if class_map else {})


def find_label(name: str, kind: ClassKind) -> str:
    """Return the label of a class as rows have it; it may be named by its synset or another word."""
    if kind in ("none", "folders"):
        return name
    found = (read_lemmas()[each] for each in list_synsets() if name == each or name in read_lemmas()[each])
    return next(found, (name,))[0]


def _find_synset(file: PurePosixPath) -> str:
    """Return the synset of a file: that of the nearest folder that is one, or of its own name."""
    parts = (*(parent.name for parent in file.parents), file.stem.partition("_")[0])
    return next((part for part in parts if _SYNSET.fullmatch(part)), "")


def _read_map(place: str) -> dict[str, str]:
    with as_list_errors(place):
        fs, path = open_place(place)
        text = read_whole(fs, path, place).decode(errors="replace")
    rows = csv.DictReader(io.StringIO(text))
    if not {"ImageId", "PredictionString"} <= {*(rows.fieldnames or ())}:
        raise ListError(
            f"class_map {place} has no columns ImageId and PredictionString; give LOC_val_solution.csv"
        )
    # "n01978287 240 170 260 231": the class, and the box of a thing.
    return {str(row["ImageId"]): str(row["PredictionString"] or "").partition(" ")[0] for row in rows}


@cache
def list_synsets() -> tuple[str, ...]:
    """Return the 1,000 synsets of ILSVRC in their order.

    Raises:
        ConfigError: timm is missing.
    """
    return tuple(_read_file("imagenet_synsets.txt").split())


@cache
def read_lemmas() -> Mapping[str, tuple[str, ...]]:
    """Return synset -> its words, the commonest first.

    Raises:
        ConfigError: timm is missing.
    """
    lines = [line.split("\t") for line in _read_file("imagenet_synset_to_lemma.txt").splitlines()]
    return {line[0]: tuple(line[1].split(", ")) for line in lines if len(line) == 2}


def _read_file(name: str) -> str:
    # Not imported: that takes seconds.
    found = importlib.util.find_spec("timm")
    folders = found.submodule_search_locations if found else None
    path = Path(next(iter(folders or ()), "")) / "data" / "_info" / name
    if not path.is_file():
        raise ConfigError(
            f"the words of ImageNet's classes are in timm, which is not here ({name}); install it"
        )
    return path.read_text(encoding="utf-8")
