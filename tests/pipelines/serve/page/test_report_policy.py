"""A report is HTML of whoever made the dataset: it is shown, and runs and asks for nothing."""

import httpx

from jobs.report import write_report
from jobs.shared.job import load

POLICY = "sandbox; default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def test_the_policy_is_sent(address):
    """As one header, in these words."""
    assert [POLICY] == httpx.get(f"{address}/v1/report").headers.get_list("content-security-policy")


def test_a_script_in_a_report_does_not_run(browser, address):
    """Nor does anything else in it ask the service or another server, or lead away; the rest is shown."""
    context = browser.new_context()
    page = context.new_page()
    answered = []
    # A browser tells of requests, too, that it then does not make.
    page.on("response", lambda answer: answered.append(answer.url))
    page.goto(f"{address}/v1/report")
    page.get_by_text("a link").click()
    page.get_by_role("button").click()
    page.wait_for_timeout(500)
    title, colour = page.title(), page.locator("h1").evaluate("each => getComputedStyle(each).color")
    width = page.locator("#inline").evaluate("image => image.naturalWidth")
    origin = page.evaluate("window.origin")
    pages = len(context.pages)
    context.close()

    assert "miniature" == title
    assert [f"{address}/v1/report"] == [url for url in answered if not url.startswith("data:")]
    assert ("rgb(1, 2, 3)", 1) == (colour, width)
    assert ("null", 1) == (origin, pages)


def test_a_report_of_ours_is_shown_whole(browser, address, built, tmp_path):
    """Under the same policy: its pictures and sounds are in it, and it needs no script."""
    write_report(load(str(built.root)), out=tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    context = browser.new_context()
    page = context.new_page()
    refused = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    page.route("**/v1/report", lambda route: route.fulfill(response=route.fetch(), body=html))
    page.goto(f"{address}/v1/report")
    shown = page.evaluate(
        """async () => {
            const images = [...document.images];
            await Promise.all(images.map((image) => image.decode()));
            const sounds = [...document.querySelectorAll('audio')];
            for (const sound of sounds) sound.preload = 'metadata';
            return [images.map((image) => image.naturalWidth), sounds.map((sound) => sound.src.slice(0, 11))];
        }"""
    )
    context.close()
    widths, sounds = shown

    assert 10 <= len(widths)
    assert all(widths)
    assert sounds
    assert {"data:audio/"} == set(sounds)
    assert [] == refused
