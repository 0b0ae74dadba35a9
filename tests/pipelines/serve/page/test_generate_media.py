"""A person makes pictures and texts on the page, which asks for what the generator reads."""

import base64
import hashlib
import io
import re
import shlex
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from jobs.shared.job import load
from pipelines.generate.params import make_params
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw
from pipelines.serve.generation import GenerationQueue
from pipelines.store.root import Root
from tests.commands import HOME
from tests.fixtures.generators_outside import outside
from tests.in_process import job_here
from tests.pipelines.serve.page.browser import CONTRAST, drop, keep, opened, serving

PICTURE = "#sound-of button[aria-dropeffect]"


@pytest.fixture(scope="module")
def root(outside_generators, tmp_path_factory):
    """A copy of a small root, into which the command generates what the page did."""
    folder = tmp_path_factory.mktemp("media")
    return shutil.copytree(HOME / "tests" / "data" / "root_2188a47" / "root", folder / "root")


@pytest.fixture
def served(browser, root, tmp_path):
    """Open the page with a generator, where it makes samples."""

    @contextmanager
    def serve(name, tab, **given):
        generator = outside(name)
        params = make_params(generator.spec.params, given, name)

        def queue(search):
            return GenerationQueue(load(str(root)), generator, params, 1, search.embed_picture)

        with serving(root, tmp_path, queue) as address, opened(browser, address) as page:
            page.get_by_role("tab", name=tab, exact=True).click()
            page.get_by_text(f"by outside_generators:{name}").wait_for()
            yield page

    return serve


def offers(page):
    """Return which of its inputs the page shows."""
    places = {"picture": "#sound-of", "words": "#sound-words", "via": "#sound-via", "length": "#sound-length"}
    return {name for name, place in places.items() if page.locator(place).is_visible()}


def download(page):
    """Keep the sample as a person does; the name of its file, and its bytes."""
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    return downloading.value.suggested_filename, Path(downloading.value.path()).read_bytes()


def make_by_command(page, root, name, *places):
    """Run the command that the page shows, and return the sha256 of what it makes."""
    page.get_by_text("The same bytes by command").click()
    words = shlex.split(page.locator("#sound-made code").inner_text())[2:]
    files = iter(places)
    filled = [{"ROOT": root}.get(word, next(files) if word == "FILE" else word) for word in words]
    job_here("generate", *filled, "--name", name)
    return Root.from_url(str(root)).read_table(f"generated/{name}/00000.parquet")["sha256"].to_pylist()


def test_a_dropped_picture_becomes_a_picture(served, root, tmp_path):
    """By its own vector, without a translator; it is shown, kept as a PNG, and the command's to the byte."""
    data = picture_file(draw(31, "heldout", 4))
    (tmp_path / "some thing.jpg").write_bytes(data)
    with served("Pattern", "Picture to picture", side=32) as page:
        offered = offers(page)
        drop(page, PICTURE, "some thing.jpg", "image/jpeg", data)
        page.locator("#sound-of img").wait_for()
        page.get_by_label("Seed").fill("7")
        page.get_by_role("button", name="Make the picture").click()
        shown = page.get_by_role("img", name="The picture", exact=True)
        shown.wait_for()
        size = shown.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        said = page.locator("#sound-made").inner_text()
        name, made = download(page)
        by_command = make_by_command(page, root, "page-picture", tmp_path / "some thing.jpg")
        weak = page.evaluate(CONTRAST)
        keep(page, "picture-made", tmp_path)

    assert {"picture", "words"} == offered
    assert [32, 32] == size
    assert ("some-thing-7.png", (32, 32)) == (name, Image.open(io.BytesIO(made)).size)
    assert re.search(r"seed 7, side 32, palette warm", said)
    assert [hashlib.sha256(made).hexdigest()] == by_command
    assert [] == weak


def test_a_sound_and_words_become_pictures_side_by_side(served, root, tmp_path):
    """The sound is seen as it is heard; four seeds stand beside each other, each with its own command."""
    data = sound_file(draw(31, "heldout", 4))
    (tmp_path / "some thing.wav").write_bytes(data)
    with served("Paint", "Sound and words to picture") as page:
        offered = offers(page)
        page.locator("#heard input[type=file]").set_input_files(str(tmp_path / "some thing.wav"))
        page.get_by_role("img", name="Spectrogram of the sound").wait_for()
        page.get_by_label("Words, beside").fill("a red bell")
        page.get_by_label("Warmth").first.fill("0.8")
        page.get_by_label("How many").click()
        page.get_by_role("option", name="4").click()
        page.get_by_role("button", name="Make the picture").click()
        page.wait_for_function("document.querySelectorAll('#sound-made img.sample').length === 4")
        tops = page.locator("#sound-made .made").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().top)"
        )
        links = page.locator("#sound-made a[download]").evaluate_all(
            "all => all.map(e => [e.download, e.href])"
        )
        page.locator("#sound-made summary").nth(2).click()
        command = page.locator("#sound-made code").nth(2).inner_text()
        weak = page.evaluate(CONTRAST)
        keep(page, "sound-and-words", tmp_path)
    made = base64.b64decode(links[2][1].partition(",")[2])
    filled = [
        {"ROOT": root, "FILE": tmp_path / "some thing.wav"}.get(word, word)
        for word in shlex.split(command)[2:]
    ]
    job_here("generate", *filled, "--name", "page-sound")
    by_command = (
        Root.from_url(str(root)).read_table("generated/page-sound/00000.parquet")["sha256"].to_pylist()
    )

    assert {"words"} == offered
    assert 1 == len(set(tops))
    assert [f"a-red-bell-{seed}.png" for seed in range(4)] == [name for name, _ in links]
    assert 4 == len({href for _, href in links})
    assert "--seed 2 --param warmth=0.8" in command
    assert [hashlib.sha256(made).hexdigest()] == by_command
    assert [] == weak


def test_words_become_a_text(served, root, tmp_path):
    """A generator that reads captions gets no picture; what it writes is text, and never markup."""
    words = "a <i>bell</i> & 'more'"
    with served("Sentence", "Words to text", shout=True) as page:
        offered = offers(page)
        page.get_by_role("button", name="Make the text").click()
        page.get_by_role("alert").filter(has_text="Nothing is written; say it in words.").wait_for()
        page.get_by_label("Words", exact=True).last.fill(words)
        page.get_by_role("button", name="Make the text").click()
        page.locator("#sound-made .words-made").wait_for()
        shown = page.locator("#sound-made .words-made").inner_text()
        name, made = download(page)
        by_command = make_by_command(page, root, "page-text")
        weak = page.evaluate(CONTRAST)
        keep(page, "text-made", tmp_path)

    assert {"words"} == offered
    assert shown.startswith(f"{words.upper()} <B>NO. ")
    assert ("a-i-bell-i-more-0.txt", shown) == (name, made.decode())
    assert [hashlib.sha256(made).hexdigest()] == by_command
    assert [] == weak


def test_a_prior_is_asked_for_by_its_seed(served, root):
    """It reads nothing, so there is nothing to give but a seed."""
    with served("Prior", "Make a sound") as page:
        offered = offers(page)
        page.get_by_label("Seed").fill("3")
        page.get_by_role("button", name="Make the sound").click()
        page.locator("#sound-made audio").wait_for()
        name, made = download(page)
        by_command = make_by_command(page, root, "page-prior")

    assert set() == offered
    assert "sound-3.flac" == name
    assert [hashlib.sha256(made).hexdigest()] == by_command
