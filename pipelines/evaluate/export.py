"""Write the outputs of an evaluation for other tools: a folder a way, and pairs have one file name.

FOLDER/real/ID.wav  FOLDER/WAY/ID.wav  FOLDER/captions.csv (name,caption)

This is what audioldm_eval and av-benchmark read: two folders whose files pair by name, and captions by name.
"""

from __future__ import annotations

import csv
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import ConfigError, StorageError
from pipelines.evaluate.evaluation_set import SetRows
from pipelines.evaluate.outputs import MediaOutput, split_rows
from pipelines.generate.media import decode_sound, encode_sound
from pipelines.store.atomic import TEMPORARY
from schemas.media import Medium

_ROWS_AT_ONCE = 64
# Of a picture what it is stored as; sounds are WAV, which every tool reads.
_SUFFIX: Mapping[Medium, str] = {"sound": "wav", "picture": "jpg", "text": "txt"}


def check_free(into: Path) -> None:
    """Refuse a folder that holds something already.

    Raises:
        ConfigError: it does.
    """
    if into.is_file() or (into.is_dir() and any(into.iterdir())):
        raise ConfigError(f"--export {into} is there already and nothing is overwritten; name another folder")


def write_outputs(into: Path, rows: SetRows, outputs: Mapping[str, MediaOutput], medium: Medium) -> int:
    """Write the files of all outputs, complete or not at all; return how many there are.

    Args:
        into: a folder that does not exist yet, or is empty.
        rows: whose ids name the files.
        outputs: name of a way -> its files.
        medium: of the files.

    Raises:
        ConfigError: the folder is not empty.
        StorageError: it cannot be written.
    """
    check_free(into)
    scratch = into.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{into.name}")
    try:
        scratch.mkdir(parents=True)
        written = sum(
            _write_way(scratch / _make_name(way), rows, output, medium) for way, output in outputs.items()
        )
        with (scratch / "captions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "caption"])
            writer.writerows(zip(rows.ids, rows.captions, strict=True))
        scratch.replace(into)
    except OSError as error:
        raise StorageError(f"{into} cannot be written ({error}); choose another folder") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return written


def _make_name(way: str) -> str:
    """Return the folder of a way: its name without what a path cannot have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", way).strip("-.") or "way"


def _write_way(folder: Path, rows: SetRows, output: MediaOutput, medium: Medium) -> int:
    folder.mkdir()
    written = 0
    for part in split_rows(len(rows.ids), _ROWS_AT_ONCE):
        for row, data in zip(part, output.read_files(part), strict=True):
            if data is not None:
                content = encode_sound(*decode_sound(data), "wav") if medium == "sound" else data
                (folder / f"{rows.ids[row]}.{_SUFFIX[medium]}").write_bytes(content)
                written += 1
    return written
