"""`echolens evaluate` on a dataset: held-out rows alone, its own translators, and nothing of it changed."""

import json
import shutil

import numpy as np
import pytest

from pipelines.evaluate.row_sets.dataset import RowChoice, open_dataset_set
from pipelines.store import versions
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.store.split_groups import read_groups
from pipelines.store.splits import TEST, TRAIN
from schemas.training import SplitSettings
from tests.commands import digest, write_captions
from tests.in_process import job_here

pytestmark = pytest.mark.slow

SMALL = ("--steps", 2, "--length-s", 0.5, "--json")


@pytest.fixture(scope="module")
def root(root_with_translator, tmp_path_factory):
    """A copy, into which these tests write evaluations."""
    return shutil.copytree(root_with_translator, tmp_path_factory.mktemp("evaluated") / "data")


@pytest.fixture(scope="module")
def ways(tiny):
    """Ways whose samples are made by a tiny generator."""
    made = f"+generator:{tiny}"
    return ["real", "retrieval", "caption" + made, "translator:toy" + made]


@pytest.fixture(scope="module")
def asked(root, ways):
    # A slow machine fetches few of the world's clips: all of them are scored.
    crossing = (root, "--direction", "picture->sound", "--all-rows")
    return (*crossing, "--ways", ",".join(ways), "--judges", "clap:pocket", *SMALL)


@pytest.fixture(scope="module")
def table(root, asked):
    """The table, and that the dataset is as it was."""
    before = digest(root)
    rows = json.loads(job_here("evaluate", *asked).stdout)
    assert before == digest(root)
    return rows


def test_all_ways_score_the_same_rows(root, ways, table):
    """Every row that has a picture and a sound, once; their seeds are of their own ids, whatever the way."""
    there = Root.from_url(str(root))
    prompts = [
        [row["id"] for row in there.read_table(str(path.relative_to(root))).to_pylist()]
        for path in sorted(root.glob("generated/evaluation-*/prompts/*.parquet"))
    ]

    assert ways == list(dict.fromkeys(row["way"] for row in table))
    assert 2 == len(prompts)
    assert prompts[0] == prompts[1]
    assert {len(set(prompts[0]))} == {row["n"] for row in table if row["score"] == "pair_cosine"}
    assert {None, "clap:pocket"} == {row["judge"] for row in table}


def test_only_what_is_held_out_is_scored(root):
    """And what things are looked up in was trained on: no group of near copies is on both sides."""
    there = Root.from_url(str(root))
    version = versions.read_current(there, "main")
    columns = ("clip_image", "clip_text")
    choice = RowChoice("picture->text", columns, rows=240, gallery=1_000, seed=0)
    found = open_dataset_set(there, "world", 200, version, read_spaces(there, "main"), choice)
    groups = read_groups(there, versions.read_shards(there, version), 200, SplitSettings())
    parts = {part: groups.part_N[groups.find_rows(keys)] for part, keys in found.keys.items()}

    assert len(found.keys["scored"]) > 5
    assert ({TEST}, {TRAIN}) == (set(parts["scored"].tolist()), set(parts["gallery"].tolist()))
    assert not set(found.rows["scored"].groups_N.tolist()) & set(found.rows["gallery"].groups_N.tolist())
    captions = [each.decode() for each in found.read_media("scored", "text", range(3))]
    assert captions == list(found.rows["scored"].captions[:3])
    assert all(each[:2] == b"\xff\xd8" for each in found.read_media("scored", "picture", range(3)))
    assert np.isfinite(found.get_vectors("scored", "clip_image")).all()


def test_classes_are_the_labels_of_the_list(table):
    """Real sounds are heard as their labels by the world's own CLAP; a net that learned nothing is not."""
    heard = {row["way"]: row["value"] for row in table if row["score"] == "kind"}

    assert heard["real"] > 0.8
    assert all(value < 0.5 for way, value in heard.items() if "generator" in way)


def test_asked_again_it_is_there_and_other_flags_need_another_name(asked, table):
    """The table is read; under a name of one's own another request is refused."""
    again = job_here("evaluate", *asked)
    assert table == json.loads(again.stdout)
    assert "judge:" not in again.stderr
    named = (asked[0], "--direction", "picture->text", "--ways", "real", "--judges", "", "--name", "mine")
    job_here("evaluate", *named)
    other = job_here("evaluate", *named, "--all-rows", check=False)

    assert "evaluation mine was begun with rows" in other.stderr


def test_clips_find_each_other_by_shared_labels(root, tmp_path):
    """Clips have VGGSounder's names; all have the same label here, so that every answer is right."""
    there = Root.from_url(str(root))
    tables = [
        there.read_table(str(path.relative_to(root))) for path in sorted(root.glob("candidates/*.parquet"))
    ]
    rows = [row for table in tables for row in table.to_pylist() if row["source"] == "vggsound"]
    clips = {f"{row['url'].rpartition('v=')[2]}_{int(row['start_s']):06d}" for row in rows}
    file = tmp_path / "labels.csv"
    lines = [f"{clip},any sound,AV,False,False,False" for clip in sorted(clips)]
    file.write_text("\n".join(["video_id,label,modality,background_music,static_image,voice_over", *lines]))
    asked = (root, "--direction", "picture->sound", "--all-rows", "--ways", "real,retrieval", "--judges", "")
    plain = json.loads(job_here("evaluate", *asked, "--json").stdout)
    table = json.loads(job_here("evaluate", *asked, "--json", "--labels", f"vggsounder:{file}").stdout)
    added = [row for row in table if row["score"].endswith("_labels")]

    assert plain == [row for row in table if row not in added]
    assert {"r1_labels", "r5_labels", "r10_labels", "map_labels"} == {row["score"] for row in added}
    assert {1.0} == {row["value"] for row in added}
    assert {(row["n"], row["judge"]) for row in added} == {(row["gallery"], None) for row in added}
    file.write_text(
        lines[0].join(["video_id,label,modality,static_image\n", "\n"]).replace("AV,False,", "A,")
    )
    refused = job_here("evaluate", *asked, "--labels", f"vggsounder:{file}", check=False)
    assert "is a clip with a label that is audible and visible" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--ways", "translator:nobody"), "has no translator 'nobody'"),
        (("--ways", "real", "--only", "unicorn"), "no row of"),
        (("--ways", "real", "--only", "sea waves,unicorn"), "--only unicorn"),
        (("--ways", "real", "--out", "elsewhere"), "--out is for miniature"),
        (("--ways", "real", "--set", "other"), "has no set 'other'"),
        (("--ways", "translator:toy", "--direction", "sound->picture"), "takes vectors of"),
    ],
    ids=str,
)
def test_what_a_dataset_does_not_have_is_one_sentence(root, arguments, told):
    """Nothing is written."""
    before = sorted((root / "evaluations").glob("*"))
    given = arguments if "--direction" in arguments else (*arguments, "--direction", "picture->sound")
    ended = job_here("evaluate", root, *given, check=False)

    assert 1 == ended.returncode
    assert told in ended.stderr
    assert before == sorted((root / "evaluations").glob("*"))


def test_rows_without_media_cross_nothing(tmp_path):
    """Captions alone have no picture, and no sound."""
    job_here("build", write_captions(tmp_path, 12))
    ended = job_here(
        "evaluate", tmp_path / "data", "--direction", "picture->sound", "--ways", "real", check=False
    )

    assert 1 == ended.returncode
    assert "no row of" in ended.stderr
    assert not (tmp_path / "data" / "evaluations").exists()
