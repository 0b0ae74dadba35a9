"""VGGSounder's labels, read as its package has them."""

import importlib.util

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.evaluate.evaluation_set import LabelSets
from pipelines.evaluate.vector_scores import score_label_sets
from pipelines.evaluate.vggsounder import name_clip, read_clip_labels

IS_THERE = importlib.util.find_spec("vggsounder") is not None
HEADER = "video_id,label,modality,background_music,static_image,voice_over\n"
# In the form of the package's file: quoted labels, several lines a clip.
LINES = (
    '--i-y1v8Hy8_000000,"child speech, kid speaking",AV,False,False,True\n'
    "--i-y1v8Hy8_000000,child singing,AV,False,False,True\n"
    "--i-y1v8Hy8_000000,baby laughter,A,False,False,True\n"
    "-0BIyqJj9ZU_000030,baby laughter,A,False,False,False\n"
    "0123456789A_000120,dog barking,AV,False,True,False\n"
)
URL = "https://www.youtube.com/watch?v="


def write(folder, text):
    file = folder / "labels.csv"
    file.write_text(text)
    return f"vggsounder:{file}"


def test_only_what_is_heard_and_seen_connects(tmp_path):
    """A clip whose labels are heard alone has none, nor has a row that is no clip of the file."""
    labels = read_clip_labels(write(tmp_path, HEADER + LINES))
    urls = [
        f"{URL}--i-y1v8Hy8",
        f"{URL}-0BIyqJj9ZU",
        "https://youtu.be/0123456789A?t=3",
        "https://a.example/b",
    ]
    picked = labels.pick(urls, [0.0, 30.0, 120.0, None])

    assert [{"child speech, kid speaking", "child singing"}, set(), {"dog barking"}, set()] == picked.labels
    assert [False, False, True, False] == picked.still_N.tolist()
    assert 2 == picked.count_labelled()
    assert not labels.pick(urls, [1.0, 31.0, 121.0, 0.0]).count_labelled()


@pytest.mark.parametrize(
    ("url", "start_s", "name"),
    [
        (f"{URL}--i-y1v8Hy8", 0.0, "--i-y1v8Hy8_000000"),
        (f"{URL}--i-y1v8Hy8&t=4", 29.999, "--i-y1v8Hy8_000030"),
        ("https://m.youtube.com/watch?x=1&v=--i-y1v8Hy8", 1234.0, "--i-y1v8Hy8_001234"),
        (f"{URL}--i-y1v8Hy8", None, ""),
        (f"{URL}--i-y1v8Hy8", float("nan"), ""),
        (f"{URL}--i-y1v8Hy8ab", 1.0, ""),
    ],
)
def test_clips_have_the_names_of_vggsound(url, start_s, name):
    """The recording and its second, in six digits."""
    assert name == name_clip(url, start_s)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("video_id,label\na,b\n", "has no column modality"),
        (HEADER + "a,b,X,False,False,False\n", "has modality 'X' and static_image 'False' in line 2"),
        (HEADER + "a,b,AV,False,perhaps,False\n", "static_image 'perhaps' in line 2"),
        (HEADER + "a,b\n", "has modality 'None'"),
        ("", "has no column video_id"),
    ],
)
def test_another_file_is_one_sentence(text, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        read_clip_labels(write(tmp_path, text))


@pytest.mark.parametrize("asked", ["audioset", "vggsounder:", "vggsounder:/no/such/file", ""])
def test_other_labels_are_one_sentence(asked):
    with pytest.raises(ConfigError, match="--labels"):
        read_clip_labels(asked)


@pytest.mark.skipif(IS_THERE, reason="the package is here")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ConfigError, match=r"install the extra, as in `pip install echolens\[vggsounder\]`"):
        read_clip_labels("vggsounder")


@pytest.mark.skipif(not IS_THERE, reason="the package is an extra")
def test_they_are_those_that_the_package_gives():
    """Of every clip that its own class has by default."""
    from vggsounder import VGGSounder

    theirs, ours = VGGSounder(modality="AV"), read_clip_labels("vggsounder")
    labelled = {clip: labels for clip, labels in ours.both.items() if labels}

    assert len(theirs) == len(labelled) > 9_000
    for clip, labels in labelled.items():
        assert labels == set(theirs[clip].labels)
        assert (clip in ours.still) == theirs[clip].meta_labels["static_image"]


def test_scores_of_shared_labels_by_hand():
    """Four clips on a circle, one still, and one without labels, which is neither scored nor found."""
    angles = np.deg2rad([0, 10, 20, 90, 4])
    targets = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    labels = [frozenset(each.split()) for each in ("dog", "cat", "dog bird", "bird", "")]
    sets = LabelSets(labels, np.array([False, False, False, True, False]))
    # Each asks with the vector of the clip before it.
    found = score_label_sets(np.roll(targets, 1, axis=0), targets, sets)

    def known(name):
        return {int(row): found[name][row] for row in np.flatnonzero(np.isfinite(found[name]))}

    assert {0: 1, 1: 0, 2: 0} == known("r1_labels")
    assert {0: 1, 1: 1, 2: 1} == known("r5_labels")
    # Row 0 asks from 4 degrees: 0, 10, 20, 90 with 0 and 20 right; row 1 from 0: its own is second; row 2
    # from 10: 10, then 0, 20 and 90, which are all right.
    assert {
        0: pytest.approx((1 + 2 / 3) / 2),
        1: 1 / 2,
        2: pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3),
    } == known("map_labels")
    # Row 3 asks from 20: 20 is right, and 90 is last.
    assert {3: 1} == known("r1_labels_still")
    assert {3: pytest.approx((1 + 2 / 4) / 2)} == known("map_labels_still")
