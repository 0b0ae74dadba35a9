import pytest

from pipelines.errors import ListError

ROWS = """---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,waterfall burbling,train
--56QUhyDQM,185,playing tennis,train
-5cKpGOs_ow,30,"bird chirping, tweeting",train
"""


def test_the_first_row_is_a_row(plan, written):
    """There is no header to skip, and a label in quotes may have commas. The label is the caption."""
    done = plan({"kind": "vggsound", "list": written("vggsound.csv", ROWS)})

    assert [
        "people marching",
        "waterfall burbling",
        "playing tennis",
        "bird chirping, tweeting",
    ] == done.column("label")
    assert done.column("label") == done.column("caption")
    assert [("clip", 1.0, 10.0, "test"), ("clip", 30.0, 10.0, "train")] == [
        (row["kind"], row["start_s"], row["length_s"], row["split"]) for row in done.candidates[:2]
    ]
    assert dict.fromkeys(done.column("label"), 1) == done.counts.sources[0].labels


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("abcdefghijk,30,bird chirping, tweeting,train", "columns", id="comma-without-quotes"),
        pytest.param("abcdefghijk,30,train", "columns", id="too-few-columns"),
        pytest.param("abcdefghijk,start,dog barking,train", "number", id="start-is-a-word"),
        pytest.param('abcdefghijk,30,"dog barking,train', "quotes", id="quote-that-never-closes"),
        pytest.param('abcdefghijk,30,dog,"train', "quotes", id="quote-in-the-last-field"),
        pytest.param(",30,dog barking,train", "no_url", id="no-youtube-id"),
    ],
)
def test_rejects(plan, written, line, reason):
    """A row that cannot be parsed is a reject, the rows behind it are not."""
    content = ROWS.replace("--56QUhyDQM,185,playing tennis,train", line)
    done = plan({"kind": "vggsound", "list": written("vggsound.csv", content)})

    assert [(3, reason, line)] == [(row["line"], row["reason"], row["text"]) for row in done.rows("rejects")]
    assert 3 == done.counts.candidates


def test_labels_and_split(plan, written):
    """What is not named is filtered, the label before the split."""
    source = {"kind": "vggsound", "list": written("v.csv", ROWS), "split": "train"}
    done = plan(source | {"labels": ["people marching", "bird chirping, tweeting"]})

    assert ["bird chirping, tweeting"] == done.column("label")
    assert {"label": 2, "split": 1} == done.counts.filtered
    assert [("people marching", "split"), ("waterfall burbling", "label"), ("playing tennis", "label")] == [
        (row["label"], row["reason"]) for row in done.rows("filtered")
    ]


def test_template(plan, written):
    """Id, start and label are filled in; the label is encoded, because it is in a URL."""
    template = "https://m.example/{label}/{youtube_id}_{start_s:06d}.mp4"
    done = plan({"kind": "vggsound", "list": written("v.csv", ROWS), "media": template})

    assert (
        "https://m.example/bird%20chirping%2C%20tweeting/-5cKpGOs_ow_000030.mp4"
        == done.column("media_url")[3]
    )
    assert "https://www.youtube.com/watch?v=-5cKpGOs_ow" == done.column("url")[3]


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        pytest.param(
            "audiocap_id,youtube_id,start_time,caption\n1,a,2,b\n", "say `kind: audiocaps`", id="audiocaps"
        ),
        pytest.param("a,b\nc,d\n", "give a vggsound list", id="another-csv"),
    ],
)
def test_wrong_format(plan, written, content, advice):
    """A list in another format is refused in a sentence that names the way out."""
    with pytest.raises(ListError, match=advice):
        plan({"kind": "vggsound", "list": written("v.csv", content)})
