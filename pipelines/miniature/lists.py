"""Write the five lists of the miniature world in the format of the real ones: columns, quoting and quirks."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO, cast

from pipelines.miniature import captions, wit
from pipelines.miniature.addresses import media_url, start_s, youtube_id
from pipelines.miniature.rows import SOURCES, WorldRow, row_at
from pipelines.miniature.world import Medium, Scene, draw_crossing

NAMES = {
    "wit": "wit_v1.train.all-00000-of-00001.tsv.gz",
    "cc3m": "Train_GCC-training.tsv",
    "cc12m": "cc12m.tsv",
    "audiocaps": "train.csv",
    "vggsound": "vggsound.csv",
}
_AUDIOCAPS_HEADER = ("audiocap_id", "youtube_id", "start_time", "caption")
# Written as the byte 0xff, which is invalid in UTF-8.
_BAD_BYTE = "\udcff"


class _CsvWriter(Protocol):
    def writerow(self, row: Sequence[object], /) -> object: ...


def scene_of(seed: int, row: WorldRow) -> Scene:
    """Return the scene of a row, of combinations that may be trained on.

    No pocket model was trained on it, and no evaluation draws it: the lists have a stream of their own.
    """
    drawn = row.drawn
    index = drawn.number * len(SOURCES) + SOURCES.index(drawn.source)
    return draw_crossing("lists", seed, "train", index)


def write_lists(folder: Path, base_url: str, rows: int, seed: int) -> dict[str, Path]:
    """Write the five lists row by row, in constant memory.

    Args:
        folder: of the lists; created if missing.
        base_url: of the server of the media, as `server.serving` yields it.
        rows: of all five lists together, without headers.
        seed: of the scenes. The oddity of a row depends on its number alone.

    Returns:
        Source kind -> path of its list.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {source: folder / name for source, name in NAMES.items()}
    with ExitStack() as stack:
        files = {source: stack.enter_context(_open_list(path)) for source, path in paths.items()}
        writers = _make_writers(files, base_url, seed)
        for index in range(rows):
            row = row_at(index)
            writers[row.source](row.model if row.oddity == "repeated" else row)
    return paths


@contextmanager
def _open_list(path: Path) -> Iterator[TextIO]:
    """Open a list for writing; it gets its name when it is complete."""
    scratch = path.with_name(f".{path.name}.part")
    try:
        with ExitStack() as stack:
            file: BinaryIO = stack.enter_context(scratch.open("wb"))
            if path.suffix == ".gz":
                # No name and no time in the header: the same rows give the same bytes.
                packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
                file = cast(BinaryIO, stack.enter_context(packed))
            yield stack.enter_context(io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline=""))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _make_writers(
    files: dict[str, TextIO], base_url: str, seed: int
) -> dict[str, Callable[[WorldRow], object]]:
    wit_csv = csv.writer(files["wit"], delimiter="\t", lineterminator="\n")
    wit_csv.writerow(wit.COLUMNS)
    audiocaps_csv = csv.writer(files["audiocaps"], lineterminator="\n")
    audiocaps_csv.writerow(_AUDIOCAPS_HEADER)
    vggsound_csv = csv.writer(files["vggsound"], lineterminator="\n")
    return {
        "wit": partial(_write_wit, wit_csv, base_url, seed),
        "cc3m": partial(_write_cc, files["cc3m"], base_url, seed),
        "cc12m": partial(_write_cc, files["cc12m"], base_url, seed),
        "audiocaps": partial(_write_audiocaps, audiocaps_csv, seed),
        "vggsound": partial(_write_vggsound, vggsound_csv, files["vggsound"], seed),
    }


def _make_caption(seed: int, row: WorldRow, medium: Medium) -> str:
    scene = scene_of(seed, row)
    used: set[str] = set()
    # Captions of one picture or clip differ, or the later rows would be duplicates.
    for variant in count():
        text = captions.caption(scene, medium, "heldout", variant)
        plain = text.strip(".")
        if plain not in used and len(used) == row.turn_after(row.owner):
            return text
        used.add(plain)
    raise AssertionError


def _write_wit(writer: _CsvWriter, base_url: str, seed: int, row: WorldRow) -> None:
    scene = scene_of(seed, row)
    fields = wit.fields(row, scene, media_url(base_url, row), _make_caption(seed, row, "picture"))
    if row.oddity == "few_columns":
        fields = fields[:9]
    elif row.oddity == "many_columns":
        fields = [*fields, "", "true"]
    elif row.oddity == "no_url":
        fields[2] = ""
    elif row.oddity == "bad_utf8":
        fields[6] += _BAD_BYTE
    writer.writerow(fields)


def _write_cc(file: TextIO, base_url: str, seed: int, row: WorldRow) -> None:
    url, caption = media_url(base_url, row), _make_caption(seed, row, "picture")
    if row.source == "cc3m":
        # CC3M is lower-cased and tokenized, with a space before every mark.
        caption = caption.replace(",", " ,").removesuffix(".").strip()
    else:
        caption = caption[0].upper() + caption[1:]
    if row.oddity == "quotes":
        # Unbalanced quotes: a reader that interprets them swallows the following rows.
        caption = f'"{caption}' if row.number % 2 else f'"{caption}" , 12" wide'
    elif row.oddity == "person":
        caption = f"<PERSON> with {caption[0].lower() + caption[1:]}"
    elif row.oddity == "bad_utf8":
        caption += _BAD_BYTE
    elif row.oddity == "no_url":
        url = ""
    fields = [caption, url] if row.source == "cc3m" else [url, caption]
    if row.oddity == "few_columns":
        fields = [caption]
    elif row.oddity == "many_columns":
        fields = [*fields, "photo"]
    file.write("\t".join(fields) + "\n")


def _write_audiocaps(writer: _CsvWriter, seed: int, row: WorldRow) -> None:
    caption = _make_caption(seed, row, "sound").removesuffix(".")
    fields = [str(row.number + 1), youtube_id(row), str(start_s(row)), caption.capitalize()]
    if row.oddity == "few_columns":
        del fields[2]
    elif row.oddity == "bad_start":
        fields[2] = "start"
    elif row.oddity == "bad_utf8":
        fields[3] += _BAD_BYTE
    writer.writerow(fields)


def _write_vggsound(writer: _CsvWriter, file: TextIO, seed: int, row: WorldRow) -> None:
    label = captions.label(scene_of(seed, row).kind)
    split = "test" if row.oddity == "test" else "train"
    fields = [youtube_id(row), str(start_s(row)), label, split]
    if row.oddity == "few_columns":
        del fields[2]
    elif row.oddity == "bad_start":
        fields[1] = "start"
    if row.oddity == "many_columns":
        fields[2] = captions.label("bird")
        file.write(",".join(fields) + "\n")
    else:
        writer.writerow(fields)
