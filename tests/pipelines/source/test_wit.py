import csv
import gzip
import io

import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.wit import COLUMNS

PAGE = "https://en.wikipedia.org/wiki/Bell"


def row(number, **fields):
    """A row with a reference caption; every field can be another."""
    plain = {
        "language": "en",
        "page_url": PAGE,
        "image_url": f"https://upload.wikimedia.org/wikipedia/commons/a/ab/{number}.jpg",
        "caption_reference_description": f"picture {number}",
        "mime_type": "image/jpeg",
        "attribution_passes_lang_id": "false",
    }
    return [(plain | fields).get(column, "") for column in COLUMNS]


def tsv(*rows, header=COLUMNS):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    return text.getvalue().encode()


@pytest.mark.parametrize(
    ("fields", "caption"),
    [
        pytest.param({"caption_reference_description": " A bell. "}, "A bell.", id="reference"),
        pytest.param(
            {
                "caption_reference_description": "A bell",
                "caption_attribution_description": "English: Big Ben",
                "attribution_passes_lang_id": "true",
            },
            "A bell",
            id="reference-before-attribution",
        ),
        pytest.param(
            {
                "caption_reference_description": "  ",
                "caption_attribution_description": "English: Big Ben",
                "caption_alt_text_description": "alt",
                "attribution_passes_lang_id": "true",
            },
            "Big Ben",
            id="attribution-without-its-prefix",
        ),
        pytest.param(
            {
                "caption_reference_description": "",
                "caption_attribution_description": "Français : Une cloche: Big Ben",
                "attribution_passes_lang_id": "True",
            },
            "Une cloche: Big Ben",
            id="only-the-first-prefix",
        ),
        pytest.param(
            {
                "caption_reference_description": "",
                "caption_attribution_description": "London: Big Ben",
                "attribution_passes_lang_id": "true",
            },
            "London: Big Ben",
            id="a-place-is-no-language",
        ),
        pytest.param(
            {
                "caption_reference_description": "",
                "caption_attribution_description": "Deutsch: Eine Glocke",
                "caption_alt_text_description": "a bell",
            },
            "a bell",
            id="attribution-in-another-language",
        ),
        pytest.param(
            {
                "caption_reference_description": 'The "big\tone"\nof\r\nLondon',
                "context_page_description": 'Long\n"quoted" text\n' * 50,
            },
            'The "big one" of London',
            id="quotes-tabs-and-line-ends-inside",
        ),
    ],
)
def test_caption(plan, written, fields, caption):
    """Reference, else attribution in the row's language, else alt text."""
    done = plan({"kind": "wit", "list": written("wit.tsv", tsv(row(0, **fields)))})

    assert [caption] == done.column("caption")


def test_provenance_is_kept(plan, written):
    """Page, attribution and language stand as the list has them; the licence is not in the list."""
    fields = {"caption_attribution_description": "English: Big Ben", "mime_type": "image/svg+xml"}
    [found] = plan({"kind": "wit", "list": written("wit.tsv", tsv(row(7, **fields)))}).candidates

    assert (PAGE, "English: Big Ben", "en", "unknown", 0) == (
        found["page_url"],
        found["attribution"],
        found["language"],
        found["licence"],
        found["source_row"],
    )
    assert found["url"] == "https://upload.wikimedia.org/wikipedia/commons/a/ab/7.jpg"


WIKI = "https://upload.wikimedia.org/wikipedia/commons"


@pytest.mark.parametrize(
    ("url", "wide", "asked"),
    [
        (f"{WIKI}/a/ab/Bell.jpg", "5000", f"{WIKI}/thumb/a/ab/Bell.jpg/330px-Bell.jpg"),
        (f"{WIKI}/a/ab/Bell.jpg", "", f"{WIKI}/thumb/a/ab/Bell.jpg/330px-Bell.jpg"),
        (f"{WIKI}/a/ab/Bell.jpg", "331", f"{WIKI}/thumb/a/ab/Bell.jpg/330px-Bell.jpg"),
        (f"{WIKI}/a/ab/Bell.jpg", "330", None),
        (
            f"{WIKI}/0/0f/B%C3%A4r_(1).PNG",
            "900",
            f"{WIKI}/thumb/0/0f/B%C3%A4r_(1).PNG/330px-B%C3%A4r_(1).PNG",
        ),
        (f"{WIKI}/0/0f/Map.svg", "900", f"{WIKI}/thumb/0/0f/Map.svg/330px-Map.svg.png"),
        (f"{WIKI}/0/0f/A.webp", "900", f"{WIKI}/thumb/0/0f/A.webp/330px-A.webp.png"),
        (f"{WIKI}/0/0f/A.tif", "900", f"{WIKI}/thumb/0/0f/A.tif/lossy-page1-330px-A.tif.jpg"),
        (
            "http://upload.wikimedia.org/wikipedia/de/a/ab/B.gif",
            "900",
            "http://upload.wikimedia.org/wikipedia/de/thumb/a/ab/B.gif/330px-B.gif",
        ),
        (f"{WIKI}/thumb/a/ab/Bell.jpg/330px-Bell.jpg", "900", None),
        (f"{WIKI}/a/ab/Bell.jpg?x=1", "900", None),
        (f"{WIKI}/a/ab/Bell.ogg", "900", None),
        ("https://a.example/Bell.jpg", "900", None),
    ],
)
def test_thumbnails_are_asked_for(plan, written, url, wide, asked):
    """Under MediaWiki's names; never for a picture that is no wider, and the candidate is who it was."""
    list_ = written("wit.tsv", tsv(row(0, image_url=url, original_width=wide)))
    [found] = plan({"kind": "wit", "list": list_}).candidates
    [original] = plan({"kind": "wit", "list": list_}, fetch={"wikimedia_width_px": None}).candidates

    assert (url, asked or url) == (found["url"], found["media_url"])
    assert original == found | {"media_url": url}


def test_the_width_is_one_of_wikimedias(plan, written):
    """Any other is answered 429 there, so it is refused here."""
    wit = {"kind": "wit", "list": written("wit.tsv", tsv(row(0, original_width="9000")))}

    assert [f"{WIKI}/thumb/a/ab/0.jpg/960px-0.jpg"] == plan(wit, fetch={"wikimedia_width_px": 960}).column(
        "media_url"
    )
    with pytest.raises(ValueError, match="20, 40, 60, 120, 250, 330, 500, 960"):
        plan(wit, fetch={"wikimedia_width_px": 300})


def test_no_caption_in_any_column(plan, written):
    """A row whose only description is in another language has no caption."""
    fields = {"caption_reference_description": "", "caption_attribution_description": "Deutsch: Glocke"}
    counts = plan({"kind": "wit", "list": written("wit.tsv", tsv(row(0), row(1, **fields)))}).counts

    assert {"no_caption": 1} == counts.filtered


def test_only_the_languages_named(plan, written):
    """`en` is en exactly; uk is Ukrainian and not in it."""
    languages = ["en", "uk", "en-gb", "simple", "EN", "de"]
    rows = [row(number, language=language) for number, language in enumerate(languages)]
    done = plan({"kind": "wit", "list": written("wit.tsv", tsv(*rows)), "languages": ["en"]})

    assert ["en"] == done.column("language")
    assert {"language": 5} == done.counts.filtered
    assert dict.fromkeys(languages, 1) == done.counts.sources[0].languages
    assert () == done.counts.warnings


@pytest.mark.parametrize(
    ("languages", "warned"),
    [
        pytest.param(("uk",), True, id="uk-alone"),
        pytest.param(("en", "uk"), True, id="uk-beside-en"),
        pytest.param(("en",), False, id="en"),
        pytest.param((), False, id="all"),
    ],
)
def test_uk_is_worth_a_warning(plan, written, languages, warned):
    """Who writes uk most often means British English, which WIT does not have."""
    path = written("wit.tsv", tsv(row(0), row(1, language="uk")))
    counts = plan({"kind": "wit", "list": path, "languages": languages}).counts

    assert warned == any("Ukrainian" in warning and "'en'" in warning for warning in counts.warnings)


def test_a_language_that_is_not_there(plan, written):
    """One absent language is a warning; only absent ones are an error with the nearest names."""
    path = written("wit.tsv", tsv(row(0), row(1, language="de")))

    counts = plan({"kind": "wit", "list": path, "languages": ["en", "fr"]}).counts
    assert [f"{path}: no row has the language 'fr'"] == list(counts.warnings)

    with pytest.raises(ConfigError, match=r"no row .* language 'english'.* 'en' \(1 rows\)"):
        plan({"kind": "wit", "list": path, "languages": ["english"]})


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        pytest.param("\t".join(row(9)[:9]), "columns", id="too-few-columns"),
        pytest.param("\t".join([*row(9), "", "true"]), "columns", id="too-many-columns"),
        pytest.param("\t".join(row(9, image_url="")), "no_url", id="no-url"),
        pytest.param("\t".join(row(9, page_title='"Bell')), "quotes", id="quote-that-never-closes"),
        pytest.param(
            "\t".join(row(9, context_section_description='"Bell')), "quotes", id="the-same-at-the-end"
        ),
        pytest.param("something else", "columns", id="no-row-at-all"),
        pytest.param("\t".join(row(9, page_title="\udcff")), "encoding", id="not-utf8"),
        pytest.param("\t".join(row(9, page_title="x" * 3_000_000)), "too_long", id="3-MB"),
    ],
)
@pytest.mark.parametrize("quoted", [False, True], ids=["plain-neighbours", "quoted-neighbours"])
def test_a_broken_row_stays_alone(plan, written, damaged, reason, quoted):
    """A broken row takes none of its neighbours with it, even when a quote in it never closes."""
    text = 'a "big" one\nof two lines' if quoted else "plain"
    first, last = tsv(row(0, page_title=text)), tsv(row(1, page_title=text), header=None)
    content = first + damaged.encode("utf-8", "surrogateescape") + b"\n" + last
    done = plan({"kind": "wit", "list": written("wit.tsv", content)})

    assert ["picture 0", "picture 1"] == done.column("caption")
    assert [(4 if quoted else 3, reason)] == [(row["line"], row["reason"]) for row in done.rows("rejects")]
    assert 3 == done.counts.rows_read


def test_records_over_many_blocks(plan, written):
    """Gzipped, of several blocks, quoted fields with line ends across their borders: nothing is lost."""
    about = 'He said "x"\nand\tleft.\n' * 100
    rows = [row(number, context_page_description=about if number % 3 else "") for number in range(9000)]
    content = tsv(*rows)
    done = plan({"kind": "wit", "list": written("wit.tsv.gz", gzip.compress(content, 1))})

    assert len(content) > 3 * 4_194_304
    assert [f"picture {number}" for number in range(9000)] == done.column("caption")
    assert 9000 == done.counts.rows_read


def test_without_its_header(plan, written):
    """A list without the 17 names on top is refused, also if it has them in another order."""
    for header in (None, COLUMNS[::-1], COLUMNS[:-1]):
        with pytest.raises(ListError, match="begins with the header language, page_url"):
            plan({"kind": "wit", "list": written("wit.tsv", tsv(row(0), header=header))})
