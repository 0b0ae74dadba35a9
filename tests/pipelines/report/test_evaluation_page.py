"""The page of an evaluation: what lists say is text, and media lie in it."""

import io

import numpy as np
from PIL import Image

from pipelines.generate.media import encode_sound
from pipelines.report.evaluation_page import ComparedRow, make_blocks, make_cell, render_evaluation
from schemas.evaluation import EvaluationManifest, EvaluationRow, ScoreInterval

HOSTILE = "<script>alert(1)</script>\u202e"


def row(**given):
    usual = {
        "direction": "picture->sound", "way": "caption", "judge": None, "score": "r1",
        "value": 0.5, "low": 0.25, "high": 0.75, "n": 4, "output": "vector", "independent": None, "groups": 4,
    }  # fmt: skip
    return EvaluationRow.model_validate(usual | given)


MANIFEST = EvaluationManifest(
    name="mine", target=HOSTILE, direction="picture->sound", ways=("real", "caption"), judges=(), models=(),
    rows=4, rows_sha256="", seed=0, split="heldout", source="clip_image", target_column="clap_audio",
)  # fmt: skip


def picture():
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def test_what_others_wrote_is_text():
    """A caption, a dataset's name and a judge's cannot become markup, and nothing is loaded."""
    cells = [make_cell(HOSTILE.encode(), "text"), make_cell(None, "sound")]
    compared = [ComparedRow(make_cell(picture(), "picture"), HOSTILE, cells)]
    gap = ScoreInterval(value=-0.1, low=-0.2, high=0.0, n=4)
    judged = row(
        judge=HOSTILE, score="fd", floor=gap, too_few=True, independent=False, differences={"real": gap}
    )
    page = render_evaluation(MANIFEST, [row(), judged], compared)

    assert "<script" not in page
    assert 5 == page.count("&lt;script&gt;")
    assert "default-src 'none'" in page
    assert "data:image/jpeg;base64," in page
    assert "nothing to show" in page
    assert "-0.1 on real" in page


def test_sounds_of_any_rate_can_be_played():
    """One that no MP3 can hold is there as it is; bytes that are no sound are left out."""
    wave = 0.1 * np.sin(np.arange(4000) / 9)
    usual, odd = (make_cell(encode_sound(wave, hz, "flac"), "sound") for hz in (16_000, 1_600))

    assert usual.uri.startswith("data:audio/mpeg")
    assert odd.uri.startswith("data:audio/flac")
    assert usual.drawn.startswith("data:image/png")
    assert make_cell(b"no sound", "sound").uri is None


def test_a_block_for_each_judge_has_every_score_of_every_way():
    """What a way does not have is empty."""
    rows = [row(way="real"), row(), row(score="r5"), row(judge="one", score="kind")]
    vectors, judged = make_blocks(rows)

    assert (None, ["r1", "r5"], {"real": [rows[0], None], "caption": [rows[1], rows[2]]}) == (
        vectors.judge, vectors.scores, vectors.lines,
    )  # fmt: skip
    assert ("one", {"caption": [rows[3]]}) == (judged.judge, judged.lines)
