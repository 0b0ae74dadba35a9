"""Check what a dataset needs before it is built: one finding per requirement, and what to do about it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.compute.child_process import run_in_subprocess
from pipelines.doctor import machine
from pipelines.doctor.machine import Finding, format_size
from pipelines.errors import ConfigError, EcholensError
from pipelines.source.registry import make_lists
from pipelines.store.library_files import get_local_path
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.plan import PlanCounts

if TYPE_CHECKING:
    from schemas.encoders import Encode

# From img2dataset: 29.9 GB for a million JPEGs of 256 px.
_PICTURE_BYTES_256 = 30_000
# Ten seconds of 16-bit 48 kHz mono are 960 kB, which FLAC compresses to 40 to 90 %; four frames are added.
_SOUND_BYTES_PER_S = 86_000
_CLIP_S = 10.0
# Per row: four vectors of 512 float16, a kilobyte each, in the table, the tar and the index.
_VECTORS_BYTES = 12_000


def check_encoders(encoder: str, keys: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the findings of the conformance kit for a custom encoder.

    Args:
        encoder: its module:Class.
        keys: its other keys in the dataset's file.
    """
    from pipelines.encode.conformance import check

    for found in check(encoder, keys):
        yield Finding("encoder", "ok" if found.ok else "missing", found.what, found.wrong)


def check_dataset(dataset: Dataset | None) -> Iterator[Finding]:
    """Yield findings, one check after the other.

    Args:
        dataset: whose needs decide what is missing; None checks what any dataset may need.
    """
    yield machine.check_ffmpeg()
    yield machine.check_yt_dlp()
    proxy = machine.check_proxy()
    yield proxy
    yield machine.check_javascript(needed=dataset is not None and _asks_youtube(dataset))
    if dataset is not None and dataset.fetch.video.cookies_file is not None:
        yield machine.check_cookies(dataset.fetch.video)
    yield machine.check_gpu()
    hub = machine.check_hub()
    yield hub
    if dataset is None:
        yield _check_scratch()
    else:
        yield _check_weights(dataset.encode, hub_answers=hub.state == "ok")
        found = [proxy, _check_contact(dataset)]
        found += [_check_headers(dataset)] if dataset.fetch.headers else []
        yield from found[1:]
        yield from _list_video_obstacles(dataset, found)
        if dataset.filter.own:
            yield _check_filters(dataset)
        yield from _check_lists_and_disk(dataset)
    yield machine.check_ray()


def _asks_youtube(dataset: Dataset) -> bool:
    from pipelines.fetch.video.youtube import is_youtube

    videos = [each for each in make_lists(dataset) if each.hosts == "youtube"]
    fetches_videos = any(each.take == "media" and each.template is None for each in videos)
    return fetches_videos and is_youtube(dataset.fetch.video.site)


def _check_weights(encode: Encode, *, hub_answers: bool) -> Finding:
    try:
        spaces = run_in_subprocess(_list_local_spaces, encode)
    except EcholensError as error:
        if hub_answers:
            return Finding(
                "weights", "warn", f"not on this machine yet ({error})", "the build downloads them first"
            )
        return Finding("weights", "missing", str(error), "bring them here, then run this again")
    return Finding("weights", "ok", ", ".join(spaces) or "none asked for")


def _list_local_spaces(encode: Encode) -> list[str]:
    """Return the spaces of the encoders, whose weights must be on this machine; nothing is downloaded."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from pipelines.encode.resolve import resolve

    return [str(spec.space) for spec in resolve(encode).values()]


def _check_contact(dataset: Dataset) -> Finding:
    from pipelines.fetch.user_agent import make_no_contact_error
    from pipelines.source.checks import list_obstacles

    lacking = str(make_no_contact_error())
    if lacking in list_obstacles(dataset):
        return Finding("contact", "missing", lacking)
    if dataset.contact is None:
        return Finding("contact", "ok", "none, and no public host is asked")
    return Finding("contact", "ok", f"{dataset.contact}, in the User-Agent of every request")


def _check_headers(dataset: Dataset) -> Finding:
    from pipelines.fetch.host_headers import read_host_headers

    try:
        read_host_headers(dataset.fetch)
    except ConfigError as error:
        return Finding("headers", "missing", str(error))
    return Finding("headers", "ok", f"for {', '.join(dataset.fetch.headers)}, from the environment")


def _list_video_obstacles(dataset: Dataset, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield what keeps media from being requested and is in no other finding: how videos are fetched."""
    from pipelines.source.checks import list_obstacles

    said = {each.found for each in found}
    for obstacle in list_obstacles(dataset):
        if obstacle not in said:
            yield Finding("video", "missing", obstacle)


def _check_filters(dataset: Dataset) -> Finding:
    from pipelines.filter.custom import make_custom_stages

    try:
        make_custom_stages(dataset)
    except ConfigError as error:
        return Finding("filters", "missing", str(error))
    return Finding("filters", "ok", ", ".join(entry.filter for entry in dataset.filter.own))


def _check_scratch() -> Finding:
    folder = Path(tempfile.gettempdir())
    return Finding("disk", "ok", f"{format_size(shutil.disk_usage(folder).free)} free in {folder}")


def _check_lists_and_disk(dataset: Dataset) -> Iterator[Finding]:
    from pipelines.source.plan import MARKER, PLAN, preview
    from pipelines.store.plans import read_counts

    root = Root.from_dataset(dataset)
    try:
        plan = read_counts(root, PLAN) if root.exists(MARKER) else preview(dataset)
    except EcholensError as error:
        yield Finding("lists", "missing", str(error))
        return
    yield Finding("lists", "ok", f"{plan.rows_read:,} rows, {plan.keys:,} to bring through")
    yield _check_disk(root, estimate_bytes(dataset, plan))


def estimate_bytes(dataset: Dataset, plan: PlanCounts) -> int:
    """Return the bytes of media, vectors and indices if every row of a plan arrives."""
    of_kind: dict[str, int] = {
        "image": round(_PICTURE_BYTES_256 * (dataset.fetch.image_size / 256) ** 2),
        "clip": round(_SOUND_BYTES_PER_S * _CLIP_S),
        "text": 0,
    }
    frames = 4 * of_kind["image"]
    return sum(
        lane.rows * (of_kind[lane.kind] + (frames if lane.kind == "clip" else 0) + _VECTORS_BYTES)
        for lane in plan.lanes
    )


def _check_disk(root: Root, needed: int) -> Finding:
    estimate = f"up to {format_size(needed)} wanted"
    try:
        root.check()
    except EcholensError as error:
        return Finding("disk", "missing", str(error))
    if not root.is_local:
        return Finding("disk", "ok", f"{estimate}; {root.url} can be reached, its room is not known")
    folder = get_local_path(root)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        return Finding(
            "disk",
            "warn",
            f"{estimate}, {format_size(free)} free in {folder}",
            "make room, choose another root, or count on rows that do not arrive",
        )
    return Finding("disk", "ok", f"{estimate}, {format_size(free)} free in {folder}")
