import pytest

from pipelines.errors import ConfigError, ListError

HEADER = "audiocap_id,youtube_id,start_time,caption\n"
FIRST = "1,---g-f_I2yQ,30,A dog barks\n"
LAST = "9,abcdefghijk,0,Rain falls\n"


@pytest.mark.parametrize(
    ("lines", "captions", "rejects"),
    [
        pytest.param(
            '2,b,5,"A man speaks, then ""hello"""\n', ['A man speaks, then "hello"'], [], id="quoted"
        ),
        pytest.param('2,bcdefghijkl,5,"A man\nspeaks"\n', ["A man speaks"], [], id="line-end-in-quotes"),
        pytest.param("2,b,5,A man, a dog\n", [], [(3, "columns")], id="comma-without-quotes"),
        pytest.param("2,b,A man\n", [], [(3, "columns")], id="too-few-columns"),
        pytest.param("2,b,soon,A man\n", [], [(3, "number")], id="start-is-a-word"),
        pytest.param("2,b,,A man\n", [], [(3, "number")], id="start-is-empty"),
        pytest.param("2,b,-3,A man\n", [], [(3, "number")], id="start-is-negative"),
        pytest.param("2,b,nan,A man\n", [], [(3, "number")], id="start-is-nan"),
        pytest.param("2,b,1e3,A man\n", [], [(3, "number")], id="start-is-no-plain-number"),
        pytest.param("2,b,12.5,A man\n", ["A man"], [], id="start-is-a-fraction"),
        pytest.param("2,,5,A man\n", [], [(3, "no_url")], id="no-youtube-id"),
        pytest.param('2,bcdefghijkl,5,"A man\n', [], [(3, "quotes")], id="quote-that-never-closes"),
        pytest.param("2,bcdefghijkl,5,A man\nand a dog\n", [], [(3, "columns")], id="broken-without-quotes"),
        pytest.param("2,b,5,A man, a\ndog\n", [], [(3, "columns")], id="broken-with-a-comma"),
        pytest.param("2,bcdefghijkl,5,.\n", [], [(3, "no_caption")], id="full-stop"),
        pytest.param("2,bcdefghijkl,5,\u00a0\u200b\n", [], [(3, "no_caption")], id="blanks-of-unicode"),
        pytest.param("2,bcdefghijkl,5,\U0001f514\n", ["\U0001f514"], [], id="a-picture-of-a-bell"),
    ],
)
def test_rows(plan, written, lines, captions, rejects):
    """Each row is a clip or a reject, and its neighbours do not notice."""
    done = plan({"kind": "audiocaps", "list": written("train.csv", HEADER + FIRST + lines + LAST)})

    assert ["A dog barks", *captions, "Rain falls"] == done.column("caption")
    assert rejects == [(row["line"], row["reason"]) for row in done.rows("rejects")]


@pytest.mark.parametrize(
    ("name", "more", "split"),
    [
        ("train.csv", {}, "train"),
        ("test.csv", {}, "test"),
        ("a.csv", {}, None),
        ("a.csv", {"split": "val"}, "val"),
    ],
    ids=["train", "test", "unnamed", "given"],
)
def test_the_file_names_the_split(plan, written, name, more, split):
    """As it is published, or as the dataset's file says."""
    done = plan({"kind": "audiocaps", "list": written(name, HEADER + FIRST), **more})

    assert [split] == done.column("split")


def test_a_clip_is_ten_seconds_of_youtube(plan, written):
    """Without a template a clip is fetched from YouTube."""
    [found] = plan({"kind": "audiocaps", "list": written("train.csv", HEADER + FIRST)}).candidates

    assert ("clip", 30.0, 10.0, None) == tuple(
        found[name] for name in ("kind", "start_s", "length_s", "label")
    )
    assert "https://www.youtube.com/watch?v=---g-f_I2yQ" == found["url"] == found["media_url"]


def test_take_text(plan, written):
    """Captions alone: nothing to fetch, no lane to fetch in, the same clip named."""
    path = written("train.csv", HEADER + FIRST)
    done = plan(
        {"kind": "audiocaps", "list": path, "take": "text"},
        {"kind": "cc3m", "list": written("c", "a\thttp://b.c/\n")},
    )
    [found] = [row for row in done.candidates if row["source"] == "audiocaps"]

    assert ("text", "none", None, "A dog barks") == (
        found["kind"],
        found["lane"],
        found["media_url"],
        found["caption"],
    )
    assert "https://www.youtube.com/watch?v=---g-f_I2yQ" == found["url"]
    assert [("image", 1), ("text", 1)] == [(lane.kind, lane.rows) for lane in done.counts.lanes]


def test_five_captions_of_a_clip_are_five_candidates(plan, written):
    """They are fetched once, so they lie in one shard; the clip at another time is another."""
    rows = "".join(f"{number},abcdefghijk,{30 + number // 5},caption {number}\n" for number in range(10))
    template = "http://mirror.example/{youtube_id}_{start_s:06d}.mp4"
    done = plan(
        {"kind": "audiocaps", "list": written("val.csv", HEADER + rows), "media": template}, shard_rows=5
    )

    assert 10 == done.counts.candidates
    assert [
        {"http://mirror.example/abcdefghijk_000030.mp4"},
        {"http://mirror.example/abcdefghijk_000031.mp4"},
    ] == sorted(({row["media_url"] for row in shard} for shard in done.shards), key=str)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        pytest.param(FIRST, "begins with the header audiocap_id", id="without-header"),
        pytest.param('---g-f_I2yQ,1,"a, b",test\n', "say `kind: vggsound`", id="vggsound"),
        pytest.param("a dog\thttp://a.example/\n", "say `kind: cc3m`", id="cc3m"),
        pytest.param(HEADER, "has no rows", id="header-alone"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("\n\n", "is empty", id="blank"),
    ],
)
def test_wrong_format(plan, written, content, advice):
    """A list in another format is refused in a sentence that names the way out."""
    with pytest.raises(ListError, match=advice):
        plan({"kind": "audiocaps", "list": written("train.csv", content)})


def test_a_template_has_no_label_here(plan, written):
    """AudioCaps has no labels to fill in."""
    with pytest.raises(ConfigError, match=r"has \{label\}, but a row has only \{youtube_id\}, \{start_s\}"):
        plan({"kind": "audiocaps", "list": written("a.csv", HEADER + FIRST), "media": "http://a/{label}.mp4"})
