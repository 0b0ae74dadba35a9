"""Samples of every medium without a page: what leads to a generator follows from what it reads."""

import shutil

import pytest

from jobs.shared.job import load
from pipelines.errors import ConfigError
from pipelines.generate.params import make_params
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.serve.generation import GenerationQueue
from pipelines.serve.generation_messages import GeneratedSample, GenerationForm, PageRequest, StepCount
from pipelines.serve.replica import SearchReplica
from pipelines.serve.settings import ServiceSettings
from tests.commands import HOME
from tests.fixtures.generators_outside import outside

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def root(outside_generators, tmp_path_factory):
    """A small root with a translator from CLIP to CLAP."""
    folder = tmp_path_factory.mktemp("media")
    return shutil.copytree(HOME / "tests" / "data" / "root_2188a47" / "root", folder / "root")


@pytest.fixture(scope="module")
def search(root, tmp_path_factory):
    """What gives pictures their vectors."""
    return SearchReplica(load(str(root)), ServiceSettings(), tmp_path_factory.mktemp("metrics"))


@pytest.fixture
def make_queue(root, search):
    """Return a queue for a generator of the module."""

    def make(name, **keys):
        generator = outside(name, **keys)
        params = make_params(generator.spec.params, {}, name)
        return GenerationQueue(load(str(root)), generator, params, 1, search.embed_picture)

    return make


async def run(queue, **given):
    """Return all that is said of a sample."""
    return [event async for event in queue.generate(PageRequest(**given))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Pattern", GenerationForm("picture", takes_pictures=True, takes_words=True, length_s=None)),
        ("Sentence", GenerationForm("text", takes_pictures=False, takes_words=True, length_s=None)),
        ("Both", GenerationForm("text", takes_pictures=True, takes_words=True, length_s=None)),
        ("Prior", GenerationForm("sound", takes_pictures=False, takes_words=False, length_s=None)),
    ],
)
async def test_the_form_is_what_the_generator_reads(make_queue, name, expected):
    """Pictures where a vector leads to it, words where a text tower or a caption does."""
    assert expected == make_queue(name).form


async def test_a_picture_takes_a_translator_to_another_family(make_queue):
    """To a generator of CLAP's vectors; one of its own family needs none."""
    picture = picture_file(draw(31, "heldout", 4))
    direct, translated = make_queue("Pattern"), make_queue("Pattern", column="clap_audio")
    (via,) = (await translated.describe()).translators
    made = await run(translated, picture=picture, file="a.jpg", via=via)

    assert (True, ()) == ((await direct.describe()).is_direct, (await direct.describe()).translators)
    assert isinstance(made[-1], GeneratedSample)
    assert via == made[-1].translator.name
    assert f"--via {via} --column clip_image --images FILE" in made[-1].command
    assert any(isinstance(event, StepCount) for event in made[:-1])
    with pytest.raises(ConfigError, match="take one of: "):
        await run(translated, picture=picture, file="a.jpg")
    with pytest.raises(ConfigError, match="no such translator leads to pictures"):
        await run(direct, picture=picture, file="a.jpg", via=via)


async def test_a_vector_and_a_caption_are_both_given(make_queue):
    """Of words: their vector by the dataset's tower, and themselves; of a picture: the name of its file."""
    queue = make_queue("Both")
    words = (await run(queue, text="a bell rings"))[-1]
    (via,) = (await queue.describe()).translators
    picture = picture_file(draw(31, "heldout", 4))
    named = (await run(queue, picture=picture, file="red_bell.jpg", via=via))[-1]

    assert b"a bell rings at 1.00" == words.data
    assert b"red bell at 1.00" == named.data


async def test_nothing_given_is_a_sentence(make_queue):
    """But to a prior."""
    with pytest.raises(ConfigError, match="nothing is written"):
        await run(make_queue("Sentence"))

    assert isinstance((await run(make_queue("Prior")))[-1], GeneratedSample)
