"""How the page looks: on a narrow screen, in light and dark, with hostile rows."""

import re

import pytest

from pipelines.serve.page.render import (
    ShownQuery,
    render_foot,
    render_head,
    render_hits,
    render_sentence,
)
from schemas.query import Query
from tests.pipelines.serve.page.browser import CONTRAST, NARROW, ask, keep, listening, opened, together
from tests.pipelines.serve.page.hostile import HOSTILE, Rows, make_about, make_answer


def test_a_narrow_screen_never_scrolls_sideways(browser, address, built, tmp_path):
    """At 360 px every state of the page fits, and two hits stand side by side."""
    with opened(browser, address, NARROW) as page:

        def is_wider():
            return page.evaluate("document.documentElement.scrollWidth > innerWidth")

        states = [is_wider()]
        ask(page, "a bell with a very long and unbreakable " + "word" * 60)
        states.append(is_wider())
        page.get_by_role("button", name="Filters").click()
        page.get_by_label("Languages").wait_for()
        states.append(is_wider())
        for kind in ("Picture", "Sound"):
            page.get_by_role("tab", name=kind).click()
            page.locator(f"#{kind.lower()}").wait_for()
            states.append(is_wider())
        left = page.locator(".hit").evaluate_all("all => all.slice(0, 2).map(hit => hit.offsetTop)")
        page.get_by_role("tab", name="Words").click()
        page.get_by_role("button", name="Filters").click()
        ask(page, "a bell")
        keep(page, "narrow", tmp_path)

    assert [False] * 5 == states
    assert left[0] == left[1]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_text_can_be_read(browser, address, scheme, tmp_path):
    """All text stands out from what is behind it by 4.5 to 1, in light and in dark; a screenshot is kept."""
    with opened(browser, address, color_scheme=scheme) as page:
        ask(page, "a bell")
        path = keep(page, scheme, tmp_path)
        weak = page.evaluate(CONTRAST)

    assert [] == weak
    assert 20_000 < path.stat().st_size


def test_the_dataset_and_its_report(page, address):
    """The page says which version answers and how well its indices find, and leads to the report."""
    about = page.get_by_role("region", name="Indices").inner_text()
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="Report").click()
    report = opening.value

    assert "clap_audio" in about
    assert "Version 1" in page.locator("header.top").inner_text()
    assert "this one" in page.get_by_role("region", name="Versions").inner_text()
    assert f"{address}/v1/report" == report.url
    assert report.locator("h1").is_visible()
    assert report.evaluate("window.opener") is None


def test_markup_of_a_list_is_escaped():
    """Before any browser sees it: no tag, attribute or address of a hostile row is in the HTML."""
    about = make_about()
    html = render_hits(make_answer(), ShownQuery("key", HOSTILE, HOSTILE, has_picture=True), Query(key="1"))
    html += render_head(about) + render_foot(about) + render_sentence(HOSTILE)

    assert "<script" not in html
    assert "<img src=x" not in html
    assert set(re.findall(r'href="(\w+:[^"]*)"', html)) == {"https://x.example/&#39;&#34;&gt;&lt;b&gt;"}


def test_hostile_rows_are_text(browser):
    """Markup, scripts and templates in what a list says are shown as they are; links are http(s)."""
    from pipelines.serve.page.app import make_page
    from pipelines.serve.settings import ServiceLimits

    with (
        listening(together(make_page(Rows(), "/page", ServiceLimits()))) as address,
        opened(browser, address) as shown,
    ):
        ask(shown, HOSTILE)
        links = shown.locator(".hit a").evaluate_all("all => all.map(a => [a.protocol, a.host, a.rel])")
        inside = shown.evaluate(
            "document.querySelectorAll('#found :is(script, iframe, b, [onerror], [src=x])').length"
        )
        caption = shown.locator(".says").first.text_content()
        name = shown.locator("h1").text_content()
        shown.locator(".more").first.click()
        shown.get_by_text("pictures like this one").wait_for()

    assert HOSTILE[:20] == caption[:20] == name[:20]
    assert "${alert(3)}{{constructor}}" in caption
    assert [["https:", "x.example", "noopener noreferrer nofollow"]] * 3 == links
    assert 0 == inside
