"""A media template without `start_s` names whole recordings: a row is cut where it begins."""

import io

import numpy as np
import pytest
import soundfile

from pipelines.errors import ConfigError
from pipelines.fetch.stages import FetchClips
from pipelines.source.registry import find_origins
from schemas.dataset import Dataset, Fetch

RATE_HZ = 16_000
# One tone a second: which second a clip begins with can be heard.
TONES_HZ = (400, 800, 1200, 1600, 2000, 2400)


def make_dataset(*templates):
    sources = [{"kind": "vggsound", "list": "list.csv", "media": template} for template in templates]
    return Dataset.model_validate({"name": "a", "root": "r", "sources": sources})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording of six seconds."""
    folder = tmp_path_factory.mktemp("recordings")
    times_s = np.arange(RATE_HZ) / RATE_HZ
    tones = [0.5 * np.sin(2 * np.pi * tone * times_s) for tone in TONES_HZ]
    soundfile.write(folder / "abcdefghijk.wav", np.concatenate(tones), RATE_HZ)
    return folder


def cut(folder, template, starts_s):
    """Return the outcomes of clips of one second, and the tone that each begins with, Hz."""
    origins = find_origins(make_dataset(f"{folder.as_uri()}/{template}"))
    count = len(starts_s)
    batch = {
        "media_url": [
            f"{folder.as_uri()}/{template.format(youtube_id='abcdefghijk', start_s=int(s))}" for s in starts_s
        ],
        "url": ["https://www.youtube.com/watch?v=abcdefghijk"] * count,
        "source": ["vggsound"] * count,
        "start_s": starts_s,
        "length_s": [1.0] * count,
        "outcome": ["ok"] * count,
        "reason": [""] * count,
    }
    work = FetchClips(Fetch(), origins=origins).open()
    try:
        done = work(batch)
    finally:
        work.close()
    tones = []
    for flac in done["flac"]:
        if flac is not None:
            samples_T, rate_hz = soundfile.read(io.BytesIO(flac))
            spectrum_F = np.abs(np.fft.rfft(samples_T[: rate_hz // 2]))
            tones.append(int(spectrum_F.argmax()) * 2)
    return [*zip(done["outcome"], done["reason"], strict=True)], tones


def test_a_recording_is_cut_where_a_row_begins(folder):
    """Every start gives its own second, and one behind the end is an outcome."""
    outcomes, tones = cut(folder, "{youtube_id}.wav", [0.0, 3.0, 5.0, 30.0])

    assert [("ok", "")] * 3 + [("invalid", "past_end")] == outcomes
    assert pytest.approx([400, 1600, 2400], abs=4) == tones


def test_a_clip_is_whole(folder, tmp_path):
    """With `start_s` in its name a file is the clip itself."""
    (tmp_path / "abcdefghijk_000003.wav").write_bytes((folder / "abcdefghijk.wav").read_bytes())
    outcomes, tones = cut(tmp_path, "{youtube_id}_{start_s:06d}.wav", [3.0])

    assert [("ok", "")] == outcomes
    assert pytest.approx([400], abs=4) == tones


def test_lists_of_a_kind_name_one_of_the_two():
    """Rows know their kind and not their list."""
    with pytest.raises(
        ConfigError, match=r"of kind vggsound, media template .* names clips and .* whole recordings"
    ):
        find_origins(make_dataset("file:///a/{youtube_id}.wav", "file:///b/{youtube_id}_{start_s}.wav"))
