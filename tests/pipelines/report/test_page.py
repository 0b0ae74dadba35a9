"""The page as a stranger gets it: read with a parser, as a browser would."""

import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest

from pipelines.report.collect import collect_report
from pipelines.report.page import render
from pipelines.store.root import Root
from pipelines.translate.translator import read_card

VOID = {"meta", "link", "img", "br", "path", "rect", "line"}


@dataclass
class Page(HTMLParser):
    """What a browser would find: tags with their attributes, what it would load or follow, and the text."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    open: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += f" {data}"

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def read(page: str) -> Page:
    parsed = Page()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


@pytest.fixture(scope="module")
def html(root, dataset) -> str:
    return render(collect_report(root, dataset))


@pytest.fixture
def page(html) -> Page:
    return read(html)


def test_nothing_is_loaded_from_anywhere(html, page):
    """Whatever a browser loads is in the page, and its own policy forbids all else; there are no scripts."""
    loaded = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
    loaded += [attributes["href"] for attributes in page.all("link")]
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    known = {"html", "head", "body", "meta", "title", "link", "style", "header", "main", "section", "footer"}
    known |= {
        "h1",
        "h2",
        "h3",
        "p",
        "span",
        "code",
        "strong",
        "time",
        "bdi",
        "a",
        "div",
        "dl",
        "dt",
        "dd",
        "ol",
        "li",
    }
    known |= {
        "small",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "svg",
        "path",
        "rect",
        "line",
        "img",
    }

    assert len(loaded) > 50
    assert [address[:80] for address in loaded if not address.startswith("data:")] == []
    assert {tag for tag, _ in page.tags} - known == {"audio"}
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"url\(|@import|srcset|<script", html) == []


def test_translators_show_how_they_learned(root, dataset, saved):
    """A line of the validation cosine, said in words too; a baseline, which never learned, has none."""
    card = read_card(saved[0], "toy").model_copy(update={"curve": (0.125, 0.5, 0.25), "epoch": 2})
    baseline = card.model_copy(update={"name": "toy-ridge", "curve": ()})
    page = read(render(replace(collect_report(root, dataset), translators=[card, baseline])))
    (curve,) = [attributes for attributes in page.all("svg") if attributes["class"] == "curve"]

    assert (
        "of toy over 3 epochs, from 0.125 to 0.250; the weights are those of epoch 2" in curve["aria-label"]
    )
    assert {"d": "M0.0 22.0L50.0 2.0L100.0 15.3"} in page.all("path")
    assert "toy-ridge" in page.words


def test_links_are_those_of_the_rows(page):
    """Only http(s) addresses of the lists are links, and the page that is left stays unnamed."""
    links = page.all("a")

    assert len(links) > 20
    assert {re.sub(r"\d", "n", link["href"]) for link in links} <= {
        "https://pages.example/n", "https://media.example/n/n",
    }  # fmt: skip
    assert {link["rel"] for link in links} == {"noopener noreferrer nofollow"}


def test_texts_of_lists_stay_texts(part):
    """A caption that is markup is shown as it is written, in the text and in the label of its picture."""
    dataset = part(0)
    page = read(render(collect_report(Root.from_url(dataset.root), dataset)))
    handlers = {name for _, attributes in page.tags for name in attributes if name.startswith("on")}

    assert (
        '</p><script src="https://evil.example/x.js">alert(1)</script><img src=//evil.example' in page.words
    )
    assert any(img["alt"].startswith("</p><script") for img in page.all("img"))
    assert "Ada & <b>Bo</b>" in page.words
    assert handlers == set()
    assert page.all("script") == []


@pytest.mark.parametrize(
    "said",
    [
        "Echolens dataset animals 48 rows of 4 lists became 11 pictures, 7 sounds and 5 captions",
        "You can search them by text, picture or sound.",
        "rows read 48",
        "candidates 36 8 rejects and 4 duplicates left out",
        "ok 23 64 % of the candidates",
        "What became of the other 13 candidates. Shares are of all 36.",
        "dead gone; asking again will not bring it back 2 5.6 %",
        "http_404 HTTP Error 404: Not Found 1 2.8 %",
        "language language not wanted 7 19 %",
        "duplicate_media duplicate media 1 2.8 %",
        "wit 20 2 1 17 8 47 %",
        "cc3m 9 2 1 6 3 50 %",
        "audiocaps 8 2 1 5 5 100 %",
        "en 17 47 %",
        "fr 7 19 %",
        "not said 6 17 %",
        "not sure 12 50 %",
        "Pictures clip_image · 12 vectors of 8 numbers",
        "10 least",
        "19 most",
        "clap_audio Flat 7",
        "1.000 1.000 1.000",
        "29 rows in 5.0 s, 5.8 rows a second, over 2 runs.",
        "encode 9.0 s 69 %",
        "fetch 4.0 s 31 %",
    ],
)
def test_the_numbers_are_those_of_the_version(page, said):
    """Name, funnel, reasons and shares, as counted by hand."""
    assert said in page.words


def test_pocket_models_say_what_they_are_for(page):
    """Vectors of the pocket models are for the demo, and the page says so before all else."""
    assert "were made by Echolens' pocket models. These are for the demo and for tests" in page.words


def test_a_shared_page_names_nobody(html):
    """Of where the dataset lies only the last part is told; paths of lists are not."""
    assert "<code>animals</code>" in html
    assert "private-person" not in html


def test_equal_versions_make_equal_pages(html, root, dataset):
    """The page depends on the dataset alone, not on the time."""
    assert html == render(collect_report(root, dataset))


def test_players_and_pictures_are_named(page):
    """Who cannot see a picture or a player hears what it is; every table and section has a name."""
    assert {bool(img["alt"]) for img in page.all("img")} == {True}
    assert {audio["aria-label"].startswith("Sound: ") for audio in page.all("audio")} == {True}
    assert {bool(svg["aria-label"]) for svg in page.all("svg")} == {True}
    ids = {heading["id"] for heading in page.all("h2")}
    assert ids == {section["aria-labelledby"] for section in page.all("section")}


@pytest.mark.parametrize(
    ("shards", "there", "absent"),
    [
        pytest.param(
            [0, 1], ["Text finds pictures", "by text or picture."], ["Text finds sounds"], id="pictures"
        ),
        pytest.param([2], ["Text finds sounds", "7 sounds."], ["Pictures find captions"], id="sounds"),
        pytest.param([3], ["5 captions", "by text."], ["Neighbours", "As detected", "Sounds"], id="texts"),
    ],
)
def test_what_is_not_there_takes_no_room(part, shards, there, absent):
    """A version without pictures, sounds or media has a page without them."""
    dataset = part(*shards)
    root = Root.from_url(dataset.root)
    page = read(render(collect_report(root, dataset)))

    assert [words for words in there if words not in page.words] == []
    assert [words for words in [*absent, "Where the time went"] if words in page.words] == []


def test_own_queries_come_first(encodable):
    """A text that a person asks is asked of pictures and of sounds, before the sample queries."""
    report = collect_report(Root.from_url(encodable.root), encodable, ["a <b>bell</b>"])
    firsts = [(panel.way.into, panel.queries[0]) for panel in report.panels]
    asked = {into: question for into, question in firsts if question.row is None}

    assert set(asked) == {"clip_image", "clap_audio"}
    assert {question.text for question in asked.values()} == {"a <b>bell</b>"}
    assert {len(question.hits) for question in asked.values()} == {5}
    assert "a <b>bell</b>" in read(render(report)).words
