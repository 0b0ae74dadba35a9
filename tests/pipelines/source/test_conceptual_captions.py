import pytest

from pipelines.errors import ListError

GOOD = b"a dog runs\thttp://a.example/1.jpg\n"
LAST = b"a cat sleeps\thttp://a.example/2.jpg\n"


@pytest.mark.parametrize(
    ("lines", "captions", "rejects"),
    [
        pytest.param(b"", [], [], id="nothing-between"),
        pytest.param(b"\n\r\n\n", [], [], id="blank-lines-are-no-rows"),
        pytest.param(b"no tab here\n", [], [(2, "columns")], id="one-column"),
        pytest.param(b"a\tb\tc\n", [], [(2, "columns")], id="three-columns"),
        pytest.param(b"a bell\t\n", [], [(2, "no_url")], id="no-url"),
        pytest.param(b"a bell\t   \n", [], [(2, "no_url")], id="url-of-spaces"),
        pytest.param(b"\t\n", [], [(2, "no_url")], id="nothing-but-a-tab"),
        pytest.param(b"a bell\xff\thttp://b.example/\n", [], [(2, "encoding")], id="not-utf8"),
        pytest.param(b"\xff\xfe\xfd\n", [], [(2, "encoding")], id="not-utf8-and-too-short"),
        pytest.param(
            b"a\xc3\tb\n\xa4 c\td\n", [], [(2, "encoding"), (3, "encoding")], id="letter-cut-in-two"
        ),
        pytest.param(b"a\0b\thttp://b.example/\n", [], [(2, "nul")], id="nul"),
        pytest.param(b"a" * 3_000_000 + b"\thttp://b.example/\n", [], [(2, "too_long")], id="3-MB"),
        pytest.param(b"a" * 9_000_000 + b"\n\n" + b"x\n", [], [(2, "too_long"), (4, "columns")], id="9-MB"),
        pytest.param(b"a " * 500_000 + b"\thttp://b.example/\n", [], [(2, "long_caption")], id="1-MB"),
        pytest.param(b"a " * 16_000 + b"\thttp://b.example/\n", ["a " * 15_999 + "a"], [], id="32-kB"),
        pytest.param(
            b"a bell\thttp://b.example/" + b"x" * 8200 + b"\n", [], [(2, "long_url")], id="long-url"
        ),
        pytest.param(b'"a bell\thttp://b.example/\n', ['"a bell'], [], id="bare-quote"),
        pytest.param(b'12" x ""y"" \thttp://b.example/\n', ['12" x ""y""'], [], id="quotes-are-letters"),
        pytest.param(b"a bell\thttp://b.example/\r\n", ["a bell"], [], id="crlf-among-lf"),
        pytest.param(b"a\rbell\thttp://b.example/\n", ["a bell"], [], id="stray-carriage-return"),
        pytest.param("größer 鐘\thttp://b.example/ü\n".encode(), ["größer 鐘"], [], id="beyond-ascii"),
        pytest.param(b" a bell \t http://b.example/ \n", ["a bell"], [], id="spaces-around"),
        pytest.param(b"a bell\tftp://b.example/\n", ["a bell"], [], id="ftp-is-left-to-the-fetcher"),
        pytest.param(b"a bell\tnot a url\n", ["a bell"], [], id="no-scheme-is-left-to-the-fetcher"),
    ],
)
def test_a_broken_row_stays_alone(plan, written, lines, captions, rejects):
    """Whatever a row is like, the rows around it are read and every row is accounted for."""
    done = plan({"kind": "cc3m", "list": written("list.tsv", GOOD + lines + LAST)})

    assert ["a dog runs", *captions, "a cat sleeps"] == done.column("caption")
    assert rejects == [(row["line"], row["reason"]) for row in done.rows("rejects")]
    assert 2 + len(captions) + len(rejects) == done.counts.rows_read


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(b"\xef\xbb\xbf" + GOOD + LAST, 2, id="byte-order-mark"),
        pytest.param((GOOD + LAST).replace(b"\n", b"\r\n"), 2, id="crlf"),
        pytest.param(GOOD + LAST.strip(), 2, id="no-last-line-end"),
        pytest.param(b"caption\turl\n" + GOOD + LAST, 2, id="header-of-img2datasets-recipe"),
    ],
)
def test_ends_and_beginnings(plan, written, content, rows):
    """Byte order marks, line ends and a header change nothing."""
    done = plan({"kind": "cc3m", "list": written("list.tsv", content)})

    assert ["a dog runs", "a cat sleeps"][:rows] == done.column("caption")
    assert ["http://a.example/1.jpg", "http://a.example/2.jpg"] == done.column("url")
    assert (rows, 0) == (done.counts.rows_read, done.counts.rejects)


def test_rejects_are_kept_as_they_stood(plan, written):
    """A reject has its list, its line and its text, shortened and with broken bytes spelt out."""
    path = written("list.tsv", GOOD + b"bell\xff" + b"x" * 2000 + b"\n" + b"b" * 2000 + b"\n" + LAST)
    rejects = plan({"kind": "cc3m", "list": path}).rows("rejects")

    assert [("cc3m", path, 2, "encoding"), ("cc3m", path, 3, "columns")] == [
        (row["source"], row["list"], row["line"], row["reason"]) for row in rejects
    ]
    assert ["bell\\xff" + "x" * 992, "b" * 1000] == [row["text"] for row in rejects]


def test_cc12m_has_the_url_first(plan, written):
    """CC12M's columns are in the other order, and names of people are replaced."""
    done = plan({"kind": "cc12m", "list": written("cc12m.tsv", b"http://a.example/1.jpg\t<PERSON> sings\n")})

    assert [("http://a.example/1.jpg", "<PERSON> sings")] == [
        (row["media_url"], row["caption"]) for row in done.candidates
    ]


@pytest.mark.parametrize(
    ("kind", "content", "advice"),
    [
        pytest.param("cc3m", b"http://a.example/1.jpg\ta dog\n" * 3, "columns: [url, caption]", id="cc3m"),
        pytest.param("cc12m", GOOD * 3, "columns: [caption, url]", id="cc12m"),
        pytest.param("cc12m", b"caption\turl\n" + GOOD, "columns: [caption, url]", id="by-its-header"),
        pytest.param("cc3m", b"youtube_ID1,30,dog,train\n", "kind: vggsound", id="vggsound"),
        pytest.param("cc3m", b"a dog\ta cat\n", "give a cc3m list", id="no-urls"),
        pytest.param("cc3m", b"PK\x03\x04\xff\xfe\x00\n", "no UTF-8 text", id="zip"),
        pytest.param("cc3m", "a dog\thttp://a.example/\n".encode("utf-16"), "no UTF-8 text", id="utf-16"),
    ],
)
def test_wrong_format(plan, written, kind, content, advice):
    """A list in another format is refused in a sentence that names the way out."""
    with pytest.raises(ListError, match=advice.replace("[", r"\[")):
        plan({"kind": kind, "list": written("list.tsv", content)})


def test_swapped_columns_are_read_as_told(plan, written):
    """What the sentence about swapped columns advises works."""
    path = written("list.tsv", b"http://a.example/1.jpg\ta dog\n")
    done = plan({"kind": "cc3m", "list": path, "columns": ("url", "caption")})

    assert ["a dog"] == done.column("caption")
    assert ["http://a.example/1.jpg"] == done.column("url")


def test_no_caption_is_filtered(plan, written):
    """A row without a caption counts as a candidate, and gets no key."""
    done = plan({"kind": "cc3m", "list": written("list.tsv", GOOD + b" \thttp://a.example/3.jpg\n")})

    assert {"no_caption": 1} == done.counts.filtered
    assert 2 == done.counts.candidates
    assert [("http://a.example/3.jpg", "filtered", "no_caption")] == [
        (row["url"], row["outcome"], row["reason"]) for row in done.rows("filtered")
    ]
    assert ["a dog runs"] == done.column("caption")
