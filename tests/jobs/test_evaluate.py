"""`echolens evaluate` on the miniature world: one table for all ways, resumed to the same bytes."""

import json
import re
import shutil

import pytest

from schemas.evaluation import EvaluationRow
from tests.in_process import job_here

WAYS = ("real", "retrieval", "untrained", "caption", "captioner")
# Six scenes, a gallery of 48, two steps of the pocket generator: what the files hold does not matter.
SMALL = ("--rows", 6, "--gallery", 48, "--steps", 2)
CROSSING = ("--direction", "picture->sound")
ASKED = (*CROSSING, "--ways", ",".join(WAYS), "--judges", "clap:pocket", *SMALL)
FIXED = {"direction", "way", "judge", "score", "value", "low", "high", "n", "output", "independent"}


def evaluate(*arguments, check=True):
    return job_here("evaluate", "miniature", *arguments, check=check)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of an evaluation, and what was printed."""
    folder = tmp_path_factory.mktemp("evaluated")
    return folder, evaluate(*ASKED, "--out", folder, "--json")


@pytest.fixture(scope="module")
def table(made):
    return json.loads(made[1].stdout)


def pick(table, **wanted):
    return [row for row in table if all(row[key] == value for key, value in wanted.items())]


def test_every_way_and_judge_has_its_rows(table):
    """Each with the fixed keys, of the same six scenes, and every one with its own combination."""
    for row in table:
        EvaluationRow.model_validate(row)
        assert FIXED <= row.keys()
    assert {6} == {row["n"] for row in table}
    assert {6} == {row["groups"] for row in pick(table, score="pair_cosine")}
    assert len({row["combinations"] for row in table}) == 1
    for way in WAYS:
        assert {None, "clap:pocket"} == {row["judge"] for row in pick(table, way=way)}


def test_rows_say_what_was_scored_and_who_is_independent(table):
    """The CLAP that conditions the generator is no judge of it; it had no part in what is looked up."""
    heard = {row["way"]: row for row in pick(table, judge="clap:pocket", score="kind")}

    assert ["real", "nearest", *["generator:audioldm"] * 3] == [heard[way]["output"] for way in WAYS]
    assert [True, True, False, False, False] == [heard[way]["independent"] for way in WAYS]
    assert {"vector"} == {row["output"] for row in pick(table, judge=None)}
    assert {None} == {row["independent"] for row in pick(table, judge=None)}


def test_scores_are_those_of_the_world(table):
    """Real sounds are their own pairs and heard right; drawn weights are no nearer than chance."""
    cosines = {row["way"]: row["value"] for row in pick(table, score="pair_cosine")}
    (real,) = pick(table, way="real", judge="clap:pocket", score="kind")

    assert cosines["real"] == pytest.approx(1)
    assert cosines["untrained"] < 0.2 < cosines["retrieval"] < 1
    assert real["value"] > 0.8
    assert cosines["untrained"] + 0.2 < cosines["captioner"]
    assert {"kind", "ground", "size", "count", "colour"} <= {row["score"] for row in pick(table, judge=None)}


def test_differences_are_paired(table):
    """Every way stands beside the caption and the real media, with the difference of the two values."""
    for score in ("pair_cosine", "kind"):
        judge = None if score == "pair_cosine" else "clap:pocket"
        values = {row["way"]: row for row in pick(table, score=score, judge=judge)}
        for way, row in values.items():
            assert {"caption", "real"} - {way} == row["differences"].keys()
            for other, gap in row["differences"].items():
                assert gap["value"] == pytest.approx(row["value"] - values[other]["value"], abs=1e-6)


def test_the_page_has_all_outputs_and_loads_nothing(made):
    """Six pictures, and a sound of every way beside each."""
    (page,) = made[0].glob("evaluations/*/report.html")
    text = page.read_text()

    assert 6 * len(WAYS) == text.count("<audio")
    assert "default-src 'none'" in text
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", text)
    for way in WAYS:
        assert f"<th>{way}</th>" in text


def test_what_is_lost_is_made_again_to_the_same_bytes(made, tmp_path):
    """The table, a shard of samples and one of readings: the others are found."""
    folder = tmp_path / "again"
    shutil.copytree(made[0], folder)
    (place,) = (folder / "evaluations").glob("*-to-*")
    before = (place / "rows.json").read_bytes()
    samples = sorted(folder.glob("generated/*/00000.parquet"))
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("evaluations/scenes-*/*.parquet")}
    for path in (
        place / "rows.json",
        samples[0],
        samples[0].with_suffix(".tar"),
        next(place.glob("judged/*")),
    ):
        path.unlink()
    evaluate(*ASKED, "--out", folder)

    assert before == (place / "rows.json").read_bytes()
    assert kept == {path: path.stat().st_mtime_ns for path in folder.glob("evaluations/scenes-*/*.parquet")}


def test_a_table_that_is_there_is_printed(made):
    """Nothing is drawn or made a second time; the text has a line for every way."""
    again = evaluate(*ASKED, "--out", made[0])

    assert "draw:" not in again.stderr
    for way in WAYS:
        assert re.search(rf"^    {way} ", again.stdout, re.MULTILINE)


def test_both_directions_are_one_table_of_the_same_scenes(made):
    """Without a generator of pictures a crossing ends at the nearest real one; nothing is drawn again."""
    asked = ("--ways", "real,retrieval,untrained,caption", "--judges", "", "--rows", 6, "--gallery", 48)
    both = evaluate("--direction", "sound->picture,picture->text", *asked, "--out", made[0], "--json")
    table = json.loads(both.stdout)

    assert "draw:" not in both.stderr
    assert ["sound->picture", "picture->text"] == list(dict.fromkeys(row["direction"] for row in table))
    pages = [path.read_text() for path in made[0].glob("evaluations/sound-to-picture-*/report.html")]
    assert 1 == len(pages)
    # A picture of every way beside each of six sounds, whose spectrograms are pictures, too.
    assert (6, 30) == (pages[0].count("<audio"), pages[0].count("<img"))


def test_captions_are_judged_by_their_words(tmp_path):
    """Usually, where a direction ends in text: the true ones name what they show."""
    asked = ("--direction", "sound->text", "--ways", "real,caption", "--rows", 12, "--gallery", 32)
    table = json.loads(evaluate(*asked, "--out", tmp_path, "--json").stdout)
    shares = {row["score"]: row["value"] for row in pick(table, judge="words:miniature", way="real")}

    assert ["caption"] == list({row["output"] for row in pick(table, judge="words:miniature", way="caption")})
    assert {"kind", "ground", "size", "count", "colour"} == shares.keys()
    assert 1 == shares["kind"]
    assert 0 == shares["colour"]


def test_a_name_stands_for_one_request(tmp_path):
    """Another request under it is refused, and changes nothing."""
    asked = ("--direction", "picture->text", "--ways", "real,caption", "--judges", "", "--name", "mine")
    asked = (*asked, "--rows", 4, "--gallery", 16, "--out", tmp_path)
    evaluate(*asked)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.json") if path.name != "lease.json"}
    other = evaluate(*asked, "--seed", 1, check=False)

    assert 1 == other.returncode
    assert "evaluation mine was begun with" in other.stderr
    assert whole == {path: path.read_bytes() for path in whole}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--ways", "real,teleport"), "way 'teleport' is unknown"),
        (("--ways", "translator"), "write translator:NAME"),
        (("--ways", "real:me"), "real takes no name"),
        (("--ways", "real,real"), "names real twice"),
        (("--ways", ""), "names no way"),
        (("--ways", "translator:nobody"), "translator:nobody"),
        (("--ways", "tower:clap_image"), "tower:clap_image"),
        (("--ways", "generator:/no/such/folder"), "/no/such/folder"),
        (("--ways", "retrieval+generator:pocket"), "nothing is generated"),
        (("--ways", "caption+translator:pocket"), "only generator:NAME can"),
        (("--ways", "real", "--direction", "sound->picture", "--judges", "clap:pocket"), "looks at sounds"),
        (("--ways", "caption+generator:pocket", "--direction", "sound->picture"), "ends in a picture"),
        (("--ways", "real", "--judges", "nobody"), "there is no judge"),
        (("--ways", "real", "--judges", "no_such_module:Class"), "no module 'no_such_module'"),
        (("--ways", "real", "--direction", "sound->sound"), "--direction 'sound->sound' is unknown"),
        (("--ways", "real", "--only", "unicorn"), "no such kind"),
        (("--ways", "real", "--rows", 1), "give two rows"),
        (("--ways", "caption", "--param", "colour=red"), "no parameter 'colour'"),
        (("--ways", "caption", "--steps", 0), "steps"),
        (("--ways", "real", "--rows", 10**9), "more than the 240,000"),
        (("--ways", "real", "--gallery", 10**9), "more than the 240,000"),
        (("--ways", "real", "--all-rows"), "--all-rows is for a dataset"),
        (("--ways", "real", "--set", "other"), "--set is for a dataset"),
        (("--ways", "real", "--name", "../mine"), "--name: "),
        (("--ways", "real", "--rows", 0), "--rows 0 "),
        (("--ways", "real", "--seed", 2**63), "a seed from 0 to"),
        (("--ways", "real", "--labels", "vggsounder"), "nothing of picture->sound of miniature"),
        (("--ways", "real", "--workers", 0), "--workers 0 does nothing"),
        (("--ways", "real", "--direction", ""), "names none"),
        (("--ways", "real,generator:audioldm"), "ends in a picture"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_scored_is_one_sentence(arguments, told, tmp_path):
    """Before any work: nothing is written."""
    given = (*arguments, *(() if "--judges" in arguments else ("--judges", "")))
    ended = evaluate(*given, "--out", tmp_path / "none", check=False)

    assert 1 == ended.returncode
    assert told in ended.stderr
    assert 1 == len([line for line in ended.stderr.splitlines() if line.startswith("echolens: ")])
    assert "" == ended.stdout
    assert not (tmp_path / "none").exists()


def test_outputs_pair_by_name_for_other_tools(made, tmp_path):
    """A folder a way with a WAV of every row, as audioldm_eval and av-benchmark read it, and the captions."""
    import csv

    import soundfile

    into = tmp_path / "layout"
    evaluate(*ASKED, "--out", made[0], "--export", into)
    names = {way: {path.name for path in (into / way).iterdir()} for way in WAYS}
    with (into / "captions.csv").open() as file:
        captions = list(csv.DictReader(file))

    assert 6 == len(names["real"])
    assert all(names["real"] == each for each in names.values())
    assert names["real"] == {f"{row['name']}.wav" for row in captions}
    assert all(row["caption"] for row in captions)
    for way, rate_hz in (("real", 48_000), ("caption", 16_000)):
        wave, found_hz = soundfile.read(into / way / min(names[way]))
        assert (rate_hz, 5.12) == (found_hz, pytest.approx(len(wave) / found_hz, abs=0.01))
    again = evaluate(*ASKED, "--out", made[0], "--export", into, check=False)
    assert "nothing is overwritten" in again.stderr


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("v2a-mapper-vggsound", "real,caption"),
        ("audioldm-eval", None),
        ("imagehear", "untrained"),
        ("av-benchmark", "real,caption"),
    ],
)
def test_published_protocols_run_on_a_stand_in(name, ways, tmp_path):
    """From the preset to the table: its direction and rules, with what is small in place of the real."""
    tiny = ("--rows", 3, "--gallery", 16, "--steps", 1)
    given = ("--protocol", name, "--judges", "clap:pocket", *tiny, "--out", tmp_path, "--json")
    if name == "audioldm-eval":
        refused = evaluate(*given, check=False)
        assert "hears at 48000 Hz, and 16000 Hz were asked for" in refused.stderr
        given = (*given[:2], "--judges", "", *given[4:])
        refused = evaluate(*given, check=False)
        assert "Cnn14 of 16 kHz" in refused.stderr
        return
    ended = evaluate(*given, *(("--ways", ways) if ways else ()))
    table = json.loads(ended.stdout)

    assert set(ways.split(",")) == {row["way"] for row in table}
    assert f"evaluate: {name}: " in ended.stderr
    judged = {row["score"] for row in pick(table, judge="clap:pocket")}
    assert {"kind", "clap_score"} <= judged if name == "imagehear" else {"kind", "kl", "iis"} <= judged
    assert not (name == "imagehear" and judged & {"kl", "iis", "fd"})


def test_presets_say_what_deviates():
    """Each names its direction, what a person has to give, and where it is not what was published."""
    from pipelines.evaluate.protocol import list_protocols, read_protocol

    assert ["audioldm-eval", "av-benchmark", "imagehear", "v2a-mapper-vggsound"] == list_protocols()
    for name in list_protocols():
        assert len(read_protocol(name).deviations) >= 3
