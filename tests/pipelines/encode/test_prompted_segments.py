import json

import cv2
import numpy as np
import pytest

from pipelines.encode.encoder import get_spaces
from pipelines.encode.heard import compute_shares, find_heard_part
from pipelines.encode.prompted_segments import PromptedSegmentStage
from pipelines.encode.resolve import resolve
from pipelines.encode.segment_stages import add_segment_stages
from pipelines.encode.stages import DecodeStage, EncodeStage
from pipelines.errors import ConfigError
from pipelines.miniature.captions import label
from pipelines.miniature.pictures import picture
from pipelines.miniature.sounds import once
from pipelines.miniature.world import KINDS, draw
from pipelines.stage import check_chain
from pipelines.store import dataset_file
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from schemas.dataset import Dataset
from schemas.encoders import Encode
from schemas.sample import SAMPLE_RATE_HZ
from schemas.segment import Segment
from schemas.vectors import CHOICE, PROMPTED_CHOICE, decode_segment, make_vectors_schema
from tests.pipelines.encode.sounding_clips import clips, flac

ANIMALS = ("bird", "dog", "cat", "frog", "cricket", "bee")
PROMPTS = tuple(label(kind) for kind in ANIMALS)
AGAINST = tuple(label(kind) for kind in KINDS if kind not in ANIMALS)


def prompted(**more):
    """The segment that animals are heard in."""
    return Segment(mode="best", **({"prompts": PROMPTS, "against": AGAINST} | more))


@pytest.fixture(scope="module")
def specs(one_thread):
    """The pocket models."""
    return resolve(Encode(clip="pocket", clap="pocket"))


def scenes(count, *, of_animals):
    """Held-out scenes of animals, or of nothing but others."""
    drawn = (draw(11, "heldout", number) for number in range(100 * count))
    return [scene for scene in drawn if (scene.kind in ANIMALS) == of_animals][:count]


def jpg(kind):
    scene = next(scene for scene in (draw(11, "train", n) for n in range(997)) if scene.kind == kind)
    return cv2.imencode(".jpg", picture(scene, 256)[:, :, ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def planted(specs):
    """16 sounds in which an animal is heard once and 8 in which something else is, and what was selected."""
    heard = [once(scene) for scene in (*scenes(16, of_animals=True), *scenes(8, of_animals=False))]
    done = PromptedSegmentStage(prompted(), specs).open()(clips([flac(wave_T) for wave_T, _, _ in heard]))
    return heard, done


def test_prompts_alone_find_the_event(planted):
    """No caption says what is heard; the middle three seconds of ten hold half of these events."""
    heard, done = planted
    hits = [
        start_s < end_s and begin_s < start_s + length_s
        for start_s, length_s, (_, begin_s, end_s) in zip(
            done["segment_start_s"][:16], done["segment_length_s"][:16], heard[:16], strict=True
        )
    ]

    assert np.mean(hits) >= 0.9


def test_what_is_not_heard_is_filtered(planted):
    """The score stays with the row, so a threshold can be judged by those that it dropped."""
    _, done = planted
    animals, others = done["outcome"][:16], done["outcome"][16:]

    assert animals.count("ok") >= 14
    assert others.count("filtered") >= 6
    assert {"not_heard"} == {reason for reason in done["reason"] if reason}
    assert all(
        (score < 0.5) == (outcome == "filtered")
        for score, outcome in zip(done["segment_score"], done["outcome"], strict=True)
    )


def test_kept_by_choice(specs):
    """Below the threshold the best segment is taken as it is, unmerged."""
    sounds = [flac(once(scene)[0]) for scene in scenes(2, of_animals=False)]
    done = PromptedSegmentStage(prompted(below="keep", threshold=1.0), specs).open()(clips(sounds))

    assert ["ok", "ok"] == done["outcome"]
    assert [3.0, 3.0] == done["segment_length_s"]


def test_shares_are_a_softmax():
    """Two prompts against one distractor at equal cosines are two thirds, whatever the temperature."""
    shares_N = compute_shares(np.array([[0.3, 0.3, 0.3], [0.5, -1.0, 0.5], [np.nan] * 3]), 2, 0.01)

    assert shares_N[:2] == pytest.approx([2 / 3, 1 / 2])
    assert np.isnan(shares_N[2])


@pytest.mark.parametrize(
    ("scores", "step_s", "threshold", "expected"),
    [
        pytest.param([0.1, 0.6, 0.9, 0.7, 0.2, 0.8], 1, 0.5, (1, 6, 0.9), id="both-sides"),
        pytest.param([0.6, 0.9, 0.7], 4, 0.5, (4, 7, 0.9), id="apart"),
        pytest.param([0.6, 0.9, 0.7], 3, 0.5, (0, 9, 0.9), id="touching"),
        pytest.param([0.6, 0.9, 0.7], 1, None, (1, 4, 0.9), id="none-merged"),
        pytest.param([0.2, 0.4, 0.3], 1, 0.5, (1, 4, 0.4), id="below"),
        pytest.param([np.nan, 0.6, np.nan], 1, 0.5, (1, 4, 0.6), id="no-vector-beside"),
    ],
)
def test_neighbours_become_one(scores, step_s, threshold, expected):
    """Around the best segment, as long as they are heard, too, and overlap or touch."""
    starts_s = [number * step_s for number in range(len(scores))]
    part = find_heard_part(starts_s, [start_s + 3 for start_s in starts_s], np.array(scores), threshold)

    assert expected == part
    assert find_heard_part([0.0], [3.0], np.array([np.nan]), 0.5) is None


def test_a_frame_inside_the_segment(specs):
    """Of the two frames that are shown while the cat is heard the one of the cat, not the first frame's."""
    cat = next(scene for scene in scenes(60, of_animals=True) if scene.kind == "cat")
    wave_T = np.zeros(10 * SAMPLE_RATE_HZ)
    # Quiet noise up to 4 s, so that only what follows is a cat.
    wave_T[:] = np.random.default_rng(0).normal(0, 1e-3, len(wave_T))
    event_T, _, _ = once(cat, 6.0)
    wave_T[4 * SAMPLE_RATE_HZ :] = event_T
    frames = [jpg(kind) for kind in ("cat", "piano", "train", "cat")]
    stage = PromptedSegmentStage(prompted(below="keep", segment_s=6.0, merge=False), specs)
    done = stage.open()(clips([flac(wave_T)], frames))
    start_s, end_s = done["segment_start_s"][0], done["segment_start_s"][0] + done["segment_length_s"][0]

    assert start_s <= done["frame_s"][0] <= end_s
    assert done["frame_s"][0] == pytest.approx(10 * (done["frame"][0] + 0.5) / 4)
    assert done["frame"][0] == 3
    assert 0 < done["frame_score"][0] <= 1


def test_a_clip_shorter_than_a_segment(specs):
    """It is taken whole, and scored all the same."""
    wave_T = np.zeros(10 * SAMPLE_RATE_HZ)
    wave_T[: 2 * SAMPLE_RATE_HZ] = once(scenes(1, of_animals=True)[0], 2.0)[0]
    done = PromptedSegmentStage(prompted(below="keep"), specs).open()(clips([flac(wave_T), b"no flac"]))

    assert (0.0, pytest.approx(2.0, abs=0.01)) == (done["segment_start_s"][0], done["segment_length_s"][0])
    assert done["segment_score"][0] > 0
    assert ("invalid", "undecodable") == (done["outcome"][1], done["reason"][1])


def test_columns_and_settings_are_stored(specs, planted, tmp_path):
    """The length of the segment and the time of the frame, beside the four columns of every choice."""
    root = Root.from_url(str(tmp_path))
    segment = prompted(threshold=0.6)
    heard, done = planted
    rows = [int(choose(done["segment_score"])) for choose in (np.argmax, np.argmin)]
    batch = clips([flac(heard[row][0]) for row in rows], [jpg("bell")] * 4)
    stages = (*add_segment_stages(segment, specs), DecodeStage("clip", specs), EncodeStage("clip", specs))
    check_chain(stages, batch)
    for stage in stages:
        batch = stage.open()(batch)
    commit_vectors(root, "main", Shard(0, "clip", "web", 2), get_spaces(specs), [batch], segment)
    table = root.read_table("vectors/main/00000.parquet")

    assert {*CHOICE.names, *PROMPTED_CHOICE.names} <= set(table.schema.names)
    assert decode_segment(table.schema) == segment
    assert [True, False] == table["clap_audio"].is_valid().to_pylist()
    assert ["", "not_heard"] == table["reason"].to_pylist()
    assert all(value is not None for value in table["segment_score"].to_pylist())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"prompts": ["a dog"], "against": []}, "against is empty", id="nothing-against"),
        pytest.param({"prompts": [" "]}, "a prompt is blank", id="blank"),
        pytest.param({"mode": "middle", "prompts": ["a dog"]}, "is for mode best", id="middle"),
        pytest.param({"threshold": 0.3}, "without prompts", id="threshold-alone"),
        pytest.param({"by": "ast:F"}, "belong together", id="no-classes"),
        pytest.param({"prompts": ["a"], "by": "ast:F", "classes": ["b"]}, "leave one out", id="both"),
    ],
)
def test_settings_that_contradict_each_other(settings, says):
    """One sentence says which."""
    with pytest.raises(ValueError, match=says):
        Segment(**({"mode": "best"} | settings))


def test_a_set_that_hears_nothing(specs):
    """Prompts need an encoder of sounds."""
    with pytest.raises(ConfigError, match="no encoder of the set embeds sounds"):
        add_segment_stages(prompted(), {"clip": specs["clip"]})


def test_without_prompts_nothing_is_written(specs):
    """Files of datasets without prompts are what they were, to the byte."""
    best = Segment(mode="best")

    assert best.model_dump() == {"mode": "best", "segment_s": 3.0, "step_s": 1.0}
    assert best.get_pinned() == best.model_dump()
    assert not set(PROMPTED_CHOICE.names) & set(make_vectors_schema(get_spaces(specs), best).names)


def test_other_prompts_need_another_set(tmp_path):
    """Prompts are pinned as the rest of a choice is, and read back from dataset.json as they were given."""
    root = Root.from_url(str(tmp_path))

    def dataset(segment):
        source = {"kind": "folder", "list": "f"}
        return Dataset.model_validate({
            "name": "a", "root": root.url, "sources": [source], "encode": {"segment": segment},
        })  # fmt: skip

    dataset_file.pin(root, dataset({"mode": "best", "prompts": ["a dog"]}), {})
    stored = json.loads((tmp_path / "dataset.json").read_bytes())

    dataset_file.check_spaces(root, dataset({"mode": "best", "prompts": ["a dog"]}), {})
    assert dataset_file.is_same(root, dataset(stored["dataset"]["encode"]["segment"]))
    for other in ({"prompts": ["a cat"]}, {"prompts": ["a dog"], "threshold": 0.6}, {}):
        with pytest.raises(ConfigError, match=r"another `encode\.set`"):
            dataset_file.check_spaces(root, dataset({"mode": "best"} | other), {})
