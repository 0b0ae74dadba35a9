"""VGGSounder's labels of VGGSound's test clips: which clip has which labels, heard, seen or both.

    --labels vggsounder         those of the package of this name, an extra, of clips without background music
    --labels vggsounder:FILE    a file of the same columns, such as one of another version

Pictures and sounds can find each other by labels that are audible and visible at once (modality AV), so these
alone count. A clip that is one still picture is scored apart.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.errors import ConfigError
from pipelines.evaluate.evaluation_set import LabelSets

NAME = "vggsounder"
_FILE = "data/vggsounder.csv"
_COLUMNS = ("video_id", "label", "modality", "static_image")
_MODALITIES = ("A", "V", "AV")
# The one of the package is 1.7 MB.
_MAX_BYTES = 64 * 2**20
_VIDEO = re.compile(r"(?:[?&]v=|youtu\.be/)([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])")


@dataclass(frozen=True, eq=False)
class ClipLabels:
    """The labels of all clips of a file.

    Attributes:
        sha256: of the file.
        both: clip -> its labels that are audible and visible; a clip without any is there, too.
        still: clips that are one still picture.
    """

    sha256: str
    both: Mapping[str, frozenset[str]]
    still: frozenset[str]

    def pick(self, urls: Sequence[str], starts_s: Sequence[float | None]) -> LabelSets:
        """Return the labels of rows; none of what is no clip of the file.

        Args:
            urls: of the rows' recordings.
            starts_s: of the rows within these.
        """
        clips = [name_clip(url, start_s) for url, start_s in zip(urls, starts_s, strict=True)]
        return LabelSets(
            [self.both.get(clip, frozenset()) for clip in clips],
            np.array([clip in self.still for clip in clips], bool),
        )


def name_clip(url: str, start_s: float | None) -> str:
    """Return a clip's name, ID_START with six digits; empty if the recording is none of YouTube's."""
    found = _VIDEO.search(url)
    if found is None or start_s is None or not math.isfinite(start_s):
        return ""
    return f"{found[1]}_{round(start_s):06d}"


def read_clip_labels(text: str) -> ClipLabels:
    """Return the labels that `--labels` names.

    Raises:
        ConfigError: it names none, the package is not there, or the file is not of its columns.
    """
    name, colon, place = text.partition(":")
    if name != NAME or (colon and not place):
        raise ConfigError(f"--labels {text[:80]!r} is unknown; write {NAME}, or {NAME}:FILE")
    file = Path(place).expanduser() if place else _find_file()
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"--labels {text}: {file} cannot be read ({error.strerror}); name a file"
        ) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"--labels {text}: {file} is above {_MAX_BYTES:,} bytes; name the labels' own file")
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--labels {text}: {file} is no text; name a csv of VGGSounder") from error
    both, still = _parse_lines(lines, f"--labels {text}: {file}")
    return ClipLabels(hashlib.sha256(data).hexdigest(), both, still)


def _find_file() -> Path:
    # Importing it would read all files again, and `datasets` with them.
    found = importlib.util.find_spec(NAME)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"--labels {NAME}: the package {NAME} is not installed; install the extra, as in `pip install "
            f"echolens[{NAME}]`, or name a file, {NAME}:FILE"
        )
    return Path(found.submodule_search_locations[0]) / _FILE


def _parse_lines(lines: Sequence[str], where: str) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Return clip -> its labels that are audible and visible, and the clips that are still pictures.

    Raises:
        ConfigError: a column or a value is another one.
    """
    reader = csv.DictReader(lines)
    if lacking := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
        raise ConfigError(f"{where} has no column {lacking[0]}; name a csv with {', '.join(_COLUMNS)}")
    both: dict[str, set[str]] = {}
    still: set[str] = set()
    for number, row in enumerate(reader, 2):
        if row["modality"] not in _MODALITIES or row["static_image"] not in ("True", "False"):
            raise ConfigError(
                f"{where} has modality {str(row['modality'])[:20]!r} and static_image "
                f"{str(row['static_image'])[:20]!r} in line {number}; these are A, V or AV, and True or False"
            )
        labels = both.setdefault(row["video_id"], set())
        if row["modality"] == "AV":
            labels.add(row["label"])
        if row["static_image"] == "True":
            still.add(row["video_id"])
    return {clip: frozenset(labels) for clip, labels in both.items()}, frozenset(still)
