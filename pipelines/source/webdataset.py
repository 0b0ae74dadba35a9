"""Tars of samples, as WebDataset has them: the members KEY.jpg, KEY.txt and KEY.json are one sample.

How CC12M and DataComp are handed around today, with fewer dead links than their lists. A sample is a picture
or a clip by the ending of its media; its caption is KEY.txt, else `caption` or `text` of KEY.json, and its
link `url` of KEY.json, else the place of the member. Pictures that are JPEGs are copied unchanged.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from tarfile import TarInfo
from typing import IO, Any, ClassVar, Literal

import fsspec
from braceexpand import braceexpand
from pydantic import Field, model_validator

from pipelines.errors import ConfigError, DamagedArchiveError, ListError
from pipelines.fetch import archives
from pipelines.source.folder import (
    CLIPS,
    MAX_CAPTION_BYTES,
    PICTURES,
    encode_name,
    is_utf8,
    make_url,
    replace_bytes,
)
from pipelines.source.list_files import as_list_errors, check_links, list_files, open_place
from pipelines.source.listing import Listing, ListSource, list_rows
from pipelines.source.table.join import JoinKeys, open_join
from pipelines.source.table.presets import add_preset, name_preset
from pipelines.store.untrusted_tar import iterate_infos, read_member
from schemas.dataset import Fetch

# Braces and globs of a list; LAION-5B has 23,000 tars a part.
_MAX_TARS = 1_000_000
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)(?:\.\.-?\d+)?\}")
# A record of img2dataset has some 2 kB; with the EXIF of a camera, 50.
_MAX_RECORD_BYTES = 1 << 20
# Media, captions, records and whatever else is beside them; the files of a video's frames are the most.
_MAX_SAMPLE_MEMBERS = 10_000
# Of the texts that are read, by their ending.
_TEXT_BYTES = {"txt": MAX_CAPTION_BYTES, "json": _MAX_RECORD_BYTES}
_MAX_SAMPLE_TEXT_BYTES = 1 << 26
_TARS = (".tar", ".tar.gz", ".tgz")
_CHOICE = re.compile(r"\{[^{}]*,[^{}]*\}")
_PATTERN = re.compile(r"[*?\[{]")
_CAPTIONS = ("caption", "text")


class WebDatasetSource(ListSource):
    """Tars of WebDataset: a folder, a glob, braces or one file, here or at any URL of fsspec."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "local"

    preset: str | None = Field(None, description="a list that is known by name, which gives the other keys")
    join: JoinKeys | None = Field(None, description="another list, whose captions the rows get")

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, value: Any) -> Any:
        return add_preset(value, "webdataset")

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Return the samples of all tars, in the order of their names.

        Raises:
            ListError: there is no tar, or one is damaged.
            ConfigError: its braces cannot be expanded.
        """
        with name_preset(self.preset):
            fs, paths = _list_tars(self.list)
            return replace(list_rows(self, partial(_read_rows, fs, paths)), join=open_join(self.join))

    def list_files(self) -> Sequence[str]:
        """See `ListSource`."""
        fs, paths = _list_tars(self.list)
        return [*paths] if "file" in fs.protocol else [str(fs.unstrip_protocol(each)) for each in paths]

    def list_places(self) -> Sequence[str]:
        """See `ListSource`."""
        with as_list_errors(self.list):
            fs, path = fsspec.core.url_to_fs(self.list)
        # The folder that the tars are in, whatever a glob or braces add: found without a listing.
        fixed = _PATTERN.split(path, maxsplit=1)[0]
        folder = fixed.rpartition("/")[0] if fixed != path or path.lower().endswith(_TARS) else path
        return (f"{make_url(fs, folder).rstrip('/')}/",)


SOURCES = {"webdataset": WebDatasetSource}


def _list_tars(place: str) -> tuple[fsspec.AbstractFileSystem, list[str]]:
    """Return the file system of tars, and their paths in it, in order."""
    if "{" in place:
        with as_list_errors(place):
            fs, path = open_place(place)
        found = sorted(_expand_braces(path, place))
        if "file" in fs.protocol:
            check_links(found, path.partition("{")[0].rpartition("/")[0])
        return fs, found
    fs, found = list_files(place, lambda path, _: path.lower().endswith(_TARS))
    if not found:
        raise ListError(f"list {place} names no tar; give a folder, a glob or braces of .tar files")
    return fs, found


def _expand_braces(path: str, place: str) -> list[str]:
    # Counted before they are expanded: thirty pairs take minutes.
    ranges = (abs(int(last) - int(first)) + 1 for first, last in _RANGE.findall(path))
    choices = (group.count(",") + 1 for group in _CHOICE.findall(path))
    count = math.prod([*ranges, *choices])
    if count > _MAX_TARS:
        raise _make_count_error(place)
    try:
        found = [*islice(braceexpand(path), _MAX_TARS + 1)]
    except ValueError as error:
        raise ConfigError(f"list {place} has braces that do not pair; write {{00000..00099}}.tar") from error
    if len(found) > _MAX_TARS:
        raise _make_count_error(place)
    return found


def _make_count_error(place: str) -> ConfigError:
    return ConfigError(f"list {place} names over {_MAX_TARS:,} tars; give parts of it as lists of their own")


@dataclass
class _Sample:
    """The members of one key that follow each other.

    Attributes:
        key: of all of them.
        members: ending -> the first member that has it.
        texts: ending -> the bytes of a caption or a record that is not too large.
        repeated: members whose ending the sample has already.
    """

    key: str
    members: dict[str, TarInfo] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    repeated: list[TarInfo] = field(default_factory=list)


def _read_rows(fs: fsspec.AbstractFileSystem, paths: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        try:
            with as_list_errors(path), fs.open(path, "rb") as file:
                yield from _read_tar(archives.open_tar(file, path), make_url(fs, path))
        except DamagedArchiveError as error:
            raise ListError(f"{path} is damaged: {error}; download it again, or leave it out") from error


def _read_tar(file: IO[bytes], url: str) -> Iterator[Mapping[str, Any]]:
    taken: set[str] = set()
    try:
        for sample in _read_samples(file):
            yield from _make_rows(url, sample, taken)
    except zlib.error as error:
        raise DamagedArchiveError(f"it cannot be unpacked ({error})") from error


def _read_samples(file: IO[bytes]) -> Iterator[_Sample]:
    """Yield the samples of a tar: members of one key follow each other."""
    sample, number, text_bytes = _Sample(""), 0, 0
    for info in iterate_infos(file):
        if not info.isreg():
            continue
        key, _, ending = _split_name(info.name)
        if key != sample.key:
            if number:
                yield sample
            sample, number, text_bytes = _Sample(key), 0, 0
        number += 1
        if number > _MAX_SAMPLE_MEMBERS:
            raise DamagedArchiveError(
                f"its sample {key[:80]!r} has more than {_MAX_SAMPLE_MEMBERS:,} members"
            )
        ending = ending.lower()
        if ending in sample.members:
            sample.repeated.append(info)
            continue
        sample.members[ending] = info
        # Read now: in a compressed tar a way back decompresses up to 8 MB again.
        if info.size <= (most := _TEXT_BYTES.get(ending.rpartition(".")[2], -1)):
            sample.texts[ending] = read_member(file, info, most)
            text_bytes += info.size
            if text_bytes > _MAX_SAMPLE_TEXT_BYTES:
                raise DamagedArchiveError(
                    f"its sample {key[:80]!r} has captions and records of over "
                    f"{_MAX_SAMPLE_TEXT_BYTES >> 20} MiB"
                )
    if number:
        yield sample


def _split_name(name: str) -> tuple[str, str, str]:
    """Return the key, the point and the ending: a key goes up to the first point of the file's own name."""
    folder, slash, own = name.removeprefix("./").rpartition("/")
    stem, point, ending = own.partition(".")
    return f"{folder}{slash}{stem}", point, ending


def _make_rows(url: str, sample: _Sample, taken: set[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the row of a sample, and a reject for each of its members that another one hides.

    Args:
        url: of the tar.
        sample: of it.
        taken: names of the media of earlier samples of the tar; that of this one is added.
    """
    media = next((ending for ending in sample.members if _is_media(ending)), None)
    hidden = [*sample.repeated]
    if media is not None:
        info = sample.members[media]
        hidden += [sample.members[each] for each in _find_merged(sample, media)]
        if (name := info.name.removeprefix("./")) in taken:
            hidden.append(info)
        taken.add(name)
    if media is None or sample.members[media] not in hidden:
        yield _make_row(url, sample, media)
    for info in hidden:
        place = replace_bytes(f"{url}#{info.name.removeprefix('./')}")
        fault = {"kind": "image", "fault": "duplicate_member"}
        yield {"url": place, "source_key": replace_bytes(sample.key)} | fault


def _find_merged(sample: _Sample, media: str) -> list[str]:
    """Return the endings of media that a point in their name has put into the sample of others.

    A mask beside a picture (`1.jpg`, `1.mask.png`) is a part of its sample.
    """
    own, kind = _split_ending(media)
    found = []
    for ending in sample.members:
        other, like = _split_ending(ending)
        texts = {f"{other}txt", f"{other}json"} if other else set()
        if other != own and _is_media(ending) and (own or like == kind or texts & sample.members.keys()):
            found.append(ending)
    return found


def _split_ending(ending: str) -> tuple[str, str]:
    before, point, last = ending.rpartition(".")
    return f"{before}{point}", last


def _is_media(ending: str) -> bool:
    return _split_ending(ending)[1] in PICTURES | CLIPS


def _make_row(url: str, sample: _Sample, media: str | None) -> Mapping[str, Any]:
    # The caption of `v1.5_img.jpg` is `v1.5_img.txt`, though the key is `v1`.
    before = "" if media is None else _split_ending(media)[0]
    json_of, text_of = (
        f"{before}{ending}" if f"{before}{ending}" in sample.members else ending for ending in ("json", "txt")
    )
    record, fault = _read_record(sample, json_of)
    caption: str | None = next(
        (record[name] for name in _CAPTIONS if isinstance(record.get(name), str)), None
    )
    if fault is None and text_of in sample.members:
        caption, fault = _read_text(sample, text_of)
    elif fault is None and caption is None and any(isinstance(record.get(n), list | dict) for n in _CAPTIONS):
        fault = "nested"
    key = replace_bytes(sample.key)
    row = {
        "text": f"{url}#{key}",
        "source_key": key,
        "kind": "image",
        "url": _get_url(record),
        "caption": caption,
    }
    if fault is not None or media is None:
        # What has no media that can be read is of no kind.
        return row | {"url": row["url"] or f"{url}#{key}", "fault": fault or "no_media"}
    name = sample.members[media].name.removeprefix("./")
    place = f"{url}#{encode_name(name) if url.startswith('file:') else name}"
    if not is_utf8(place):
        # Only URLs of files have their bytes escaped.
        return row | {"url": row["url"] or f"{url}#{key}", "fault": "encoding"}
    kind = "image" if _split_ending(media)[1] in PICTURES else "clip"
    return row | {"kind": kind, "url": row["url"] or place, "media_url": place, "caption": caption}


def _get_url(record: Mapping[str, Any]) -> str | None:
    url = record.get("url")
    return url if isinstance(url, str) and url.strip() else None


def _read_text(sample: _Sample, ending: str) -> tuple[str | None, str | None]:
    """Return the text of a member, or the fault of the row."""
    if ending not in sample.texts:
        return None, "long_caption"
    try:
        return sample.texts[ending].decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, "encoding"


def _read_record(sample: _Sample, ending: str) -> tuple[Mapping[str, Any], str | None]:
    """Return the JSON object of a sample, empty if it has none, or the fault of the row."""
    if ending not in sample.members:
        return {}, None
    if ending not in sample.texts:
        return {}, "too_long"
    try:
        record = json.loads(sample.texts[ending])
    except (ValueError, RecursionError):
        return {}, "json"
    return (record, None) if isinstance(record, dict) else ({}, "json")
