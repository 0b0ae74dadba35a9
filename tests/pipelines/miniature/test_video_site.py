import io
import re
import tarfile
from urllib.request import Request, urlopen

import av
import pytest

from pipelines.miniature.addresses import clip_path, has_clip, start_s, youtube_id
from pipelines.miniature.rows import WorldRow, row_at
from pipelines.miniature.video_site import lossless_clip, page, video, watch_template, write_mirror


def decoded(data):
    """Return the sound of a file as samples, and its pictures."""
    with av.open(io.BytesIO(data)) as file:
        sound = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
    with av.open(io.BytesIO(data)) as file:
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return [sample for frame in sound for sample in frame], pictures


def test_a_video_holds_its_clip(web):
    """Bit for bit, from `start_s` on; what is before it is silent."""
    row = web.row("plain", "vggsound", 1)
    start = start_s(row)
    (sound, pictures), (clip_sound, clip_pictures) = decoded(video(0, row)), decoded(lossless_clip(0, row))

    assert start > 0
    assert clip_sound == sound[start * 48_000 : start * 48_000 + len(clip_sound)]
    assert not any(sound[: start * 48_000])
    shown = pictures[start * 2 : start * 2 + len(clip_pictures)]
    assert all((a == b).all() for a, b in zip(clip_pictures, shown, strict=True))


def test_a_page_names_its_video(web):
    """Where extractors of pages look; two pages in three say how long it is."""
    rows = [WorldRow("audiocaps", number) for number in (1, 2, 3)]
    pages = [page(row, web.base) for row in rows]

    assert [True, True, False] == ["duration" in text for text in pages]
    assert f"{web.base}/videos/{youtube_id(rows[0])}.mp4" in pages[0]


def test_videos_come_in_ranges(web):
    """As ffmpeg asks for them when it cuts a section out."""
    name = youtube_id(web.row("plain", "vggsound", 1))
    asked = Request(f"{web.base}/videos/{name}.mp4", headers={"Range": "bytes=4-7"})
    with urlopen(asked) as answer:
        assert (206, b"ftyp") == (answer.status, answer.read())


@pytest.mark.parametrize(
    "name", ["", "short", "...........", "AAAAAAAAAAA", youtube_id(WorldRow("audiocaps", 9999))]
)
def test_what_is_no_video(web, name):
    """Ids of another world, and of rows past the end of the lists."""
    assert 404 == web.get(watch_template(web.base).replace("{youtube_id}", name))[0]


def test_a_mirror_has_the_clips_that_are_there(tmp_path):
    """Under the names of its template; what is gone from the site is not in it."""
    template = write_mirror(tmp_path / "mirror.tar", 100, 0)
    with tarfile.open(tmp_path / "mirror.tar") as tar:
        names = tar.getnames()
    there = {row.owner for row in map(row_at, range(100)) if has_clip(row)}
    gone = {row for row in there if row.oddity in ("gone_404", "forbidden_403")}

    assert sorted(clip_path(row).removeprefix("/clips/") for row in there - gone) == names
    assert re.fullmatch(r"file:///.*/mirror\.tar#\{youtube_id\}_\{start_s:06d\}\.mp4", template)
