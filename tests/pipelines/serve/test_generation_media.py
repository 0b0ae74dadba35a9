"""Samples of every medium without a page: what leads to a generator follows from what it reads."""

import io
import shutil

import numpy as np
import pytest
import soundfile

from jobs.shared.job import load
from pipelines.errors import ConfigError
from pipelines.generate.params import make_params
from pipelines.generate.stable_diffusion.params import StableDiffusionParams
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw
from pipelines.serve.generation import GenerationQueue
from pipelines.serve.generation_messages import (
    FormSlider,
    GeneratedSample,
    GenerationForm,
    PageRequest,
    StepCount,
)
from pipelines.serve.replica import SearchReplica
from pipelines.serve.settings import ServiceSettings
from tests.commands import HOME
from tests.fixtures.generators_outside import outside

pytestmark = pytest.mark.anyio

WARMTH = FormSlider("warmth", 0.0, 1.0, 0.05, 0.5)


def make_wave(samples_T):
    """Return a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples_T, 16_000, format="WAV")
    return file.getvalue()


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
        ("Both", GenerationForm("text", True, True, None, takes_sounds=True)),
        ("Paint", GenerationForm("picture", False, True, None, takes_sounds=True, sliders=(WARMTH,))),
        ("Prior", GenerationForm("sound", takes_pictures=False, takes_words=False, length_s=None)),
    ],
)
async def test_the_form_is_what_the_generator_reads(make_queue, name, expected):
    """Pictures where a vector leads to it, words where a text tower or a caption does."""
    assert expected == make_queue(name).form


async def test_a_picture_takes_a_translator_to_another_family(make_queue):
    """To a generator of CLAP's vectors; one of its own family needs none."""
    picture = picture_file(draw(31, "heldout", 4))
    direct, translated = make_queue("Pattern"), make_queue("Both")
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


def test_a_slider_of_steps_gives_whole_ones(outside_generators):
    """Requests carry floats; a count takes the nearest whole number, guidance its own fraction."""
    params = StableDiffusionParams()
    sliders = GenerationForm.from_generator(outside("Paint"), params).sliders
    asked = PageRequest(text="a bell", params={"steps": 25.4, "guidance": 2.5}).params
    made = StableDiffusionParams(**{each.name: each.convert(asked[each.name]) for each in sliders})

    assert (25, 2.5) == (made.steps, made.guidance)
    assert all(np.isnan(each.convert(float("nan"))) for each in sliders)


async def test_a_sound_takes_words_beside_it_and_sliders(make_queue):
    """Its vector is the dataset's own encoder's; the command names both; a slider changes the picture."""
    queue, sound = make_queue("Paint"), sound_file(draw(31, "heldout", 4))
    alone = (await run(queue, sound=sound, file="a.wav"))[-1]
    told = (await run(queue, sound=sound, file="a.wav", text="a red bell"))[-1]
    warm = (await run(queue, sound=sound, file="a.wav", params={"warmth": 1.0}))[-1]

    assert 3 == len({each.data for each in (alone, told, warm)})
    assert alone.data == (await run(queue, sound=sound, file="b.wav"))[-1].data
    assert "--audio FILE --text 'a red bell' --seed 0" in told.command
    assert "--text" not in alone.command
    assert "--param warmth=1.0" in warm.command


@pytest.mark.parametrize(
    ("sentence", "given"),
    [
        ("no sound and nothing is written", {}),
        ("the sound cannot be read", {"sound": b"RIFF"}),
        ("the sound is silent", {"sound": make_wave(np.zeros(16_000))}),
        ("too short to hear", {"sound": make_wave(np.ones(100))}),
        ("the page sets no 'words'", {"text": "a bell", "params": {"words": 0.0}}),
        ("warmth: .*less than or equal to 10", {"text": "a bell", "params": {"warmth": 11.0}}),
    ],
    ids=["nothing", "no sound", "silent", "short", "unknown", "beyond"],
)
async def test_what_no_picture_is_made_of_is_a_sentence(make_queue, sentence, given):
    """Before the generator runs."""
    with pytest.raises(ConfigError, match=sentence):
        await run(make_queue("Paint"), **given)


async def test_nothing_given_is_a_sentence(make_queue):
    """But to a prior."""
    with pytest.raises(ConfigError, match="nothing is written"):
        await run(make_queue("Sentence"))

    assert isinstance((await run(make_queue("Prior")))[-1], GeneratedSample)
