"""The sounds of the page without a page: their line, their steps, their end, and the command's bytes."""

import asyncio
import io
import pickle
import shutil
from contextlib import aclosing

import numpy as np
import pytest
import soundfile
from PIL import Image

from jobs.shared.job import load
from pipelines.errors import EcholensError, RequestRefusedError
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.serve.generation import GenerationQueue
from pipelines.serve.generation_messages import GeneratedSample, PageRequest, QueuePosition, StepCount
from pipelines.serve.replica import SearchReplica
from pipelines.serve.settings import ServiceSettings
from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.translate import translator
from tests.commands import echolens
from tests.fixtures.generators import TINY_RATE_HZ
from tests.pipelines.generate.making_sounds import speaking
from tests.pipelines.serve.paced import Pace, paced
from tests.pipelines.serve.page.browser import member
from tests.saving import save_translator

STEPS = 6
PARAMS = AudioLdmParams(steps=STEPS)


@pytest.fixture
def pace():
    """Of the generator; a test may hold it."""
    return Pace()


@pytest.fixture(scope="module")
def root(root_with_translator, tmp_path_factory):
    """A copy, into which the command writes sounds."""
    return shutil.copytree(root_with_translator, tmp_path_factory.mktemp("translated") / "data")


@pytest.fixture(scope="module")
def search(root, tmp_path_factory):
    """What gives pictures their vectors."""
    return SearchReplica(load(str(root)), ServiceSettings(), tmp_path_factory.mktemp("metrics"))


@pytest.fixture
def maker(root, search, tiny, pace):
    """A maker of sounds with room for one that waits."""
    return GenerationQueue(load(str(root)), paced(tiny, pace), PARAMS, 1, search.embed_picture)


@pytest.fixture(scope="module")
def picture():
    """The file of a picture that nobody has seen."""
    return picture_file(draw(31, "heldout", 4))


async def told(maker, order):
    """Return all that is told of a sound."""
    return [one async for one in maker.generate(order)]


async def until(what):
    """Wait for something to become true."""
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110 - it happens in a thread
            await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_a_picture_becomes_a_sound_step_by_step(maker, picture):
    """The steps come in their order, and then a sound of the length that was asked for, again and again."""
    order = PageRequest(picture=picture, file="a.jpg", via="toy", length_s=2.5, seed=7)
    first, again = await told(maker, order), await told(maker, order)
    other = await told(maker, order.model_copy(update={"seed": 8}))
    steps = [one.done for one in first[:-1] if isinstance(one, StepCount)]
    wave_T, rate_hz = soundfile.read(io.BytesIO(first[-1].data))

    assert sorted(set(steps)) == steps
    assert set(steps) <= {*range(STEPS + 1)}
    assert (2.5, TINY_RATE_HZ) == (len(wave_T) / rate_hz, rate_hz) == (first[-1].length_s, rate_hz)
    assert first[-1].data == again[-1].data != other[-1].data
    assert "toy" == first[-1].translator.name


@pytest.mark.anyio
async def test_words_become_a_sound(maker):
    """They need no translator: the generator has a text tower of its own."""
    sound = (await told(maker, PageRequest(text="a dog's bark", length_s=2.5)))[-1]

    assert sound.translator is None
    assert sound.command.startswith(
        "echolens generate ROOT --text 'a dog'\"'\"'s bark' --seed 0 --length-s 2.5"
    )


@pytest.mark.anyio
async def test_one_at_a_time(maker, pace):
    """The second waits for the first and is told so; a third is one too many and is told that, at once."""
    pace.free.clear()
    first = asyncio.create_task(told(maker, PageRequest(text="a bell", length_s=2.5)))
    await until(lambda: pace.made)
    second = asyncio.create_task(told(maker, PageRequest(text="a bell", length_s=2.5)))
    await asyncio.sleep(0)
    with pytest.raises(RequestRefusedError, match=r"as many sounds are waiting as may \(1\)") as refused:
        await told(maker, PageRequest(text="a bell", length_s=2.5))
    pace.free.set()
    one, two = await first, await second

    assert not any(isinstance(each, QueuePosition) for each in one)
    assert QueuePosition(1) == two[0]
    assert one[-1].data == two[-1].data
    assert (503, str(refused.value)) == (pickle.loads(pickle.dumps(refused.value)).status, str(refused.value))
    assert isinstance((await told(maker, PageRequest(text="a bell", length_s=2.5)))[-1], GeneratedSample)


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["stop", "close"])
async def test_a_sound_is_stopped_between_two_steps(maker, pace, how):
    """By its name or by no longer listening: no further step is made, and the next sound begins at once."""
    pace.free.clear()
    order = PageRequest(text="a bell", length_s=2.5)
    async with aclosing(maker.generate(order)) as making:
        assert StepCount(0, STEPS) == await anext(making)
        await until(lambda: pace.made)
        if how == "stop":
            await maker.stop(order.job)
            pace.free.set()
            assert [] == [one async for one in making if isinstance(one, GeneratedSample)]
    pace.free.set()
    after = await told(maker, PageRequest(text="a dog", length_s=2.5))

    assert [1, *range(1, STEPS + 1)] == pace.made
    assert isinstance(after[-1], GeneratedSample)


@pytest.mark.anyio
async def test_one_that_waits_can_be_stopped(maker, pace):
    """It leaves the line without a step."""
    pace.free.clear()
    first = asyncio.create_task(told(maker, PageRequest(text="a bell", length_s=2.5)))
    await until(lambda: pace.made)
    order = PageRequest(text="a dog", length_s=2.5)
    second = asyncio.create_task(told(maker, order))
    await asyncio.sleep(0)
    await maker.stop(order.job)

    assert [QueuePosition(1)] == await second
    pace.free.set()
    assert isinstance((await first)[-1], GeneratedSample)
    assert [*range(1, STEPS + 1)] == pace.made


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"picture": b"no picture", "via": "toy"}, "the picture cannot be read"),
        ({"picture": b"no picture", "via": "other"}, "take one of: toy"),
        ({"picture": b"no picture", "via": "captions"}, "take one of: toy"),
        ({"picture": b"no picture"}, "take one of: toy"),
    ],
    ids=["no-picture", "no-such-translator", "captions", "no-translator"],
)
async def test_what_cannot_be_made_is_a_sentence(maker, pace, given, sentence):
    """And whoever comes next is served."""
    with pytest.raises(EcholensError, match=sentence):
        await told(maker, PageRequest(**given))

    assert [] == pace.made
    assert isinstance((await told(maker, PageRequest(text="a bell", length_s=2.5)))[-1], GeneratedSample)


@pytest.mark.anyio
async def test_only_translators_to_the_generators_own_clap_are_offered(root, search, tiny, tmp_path):
    """One that leads elsewhere is not; where none leads there, a sentence says which one to train."""
    none = tmp_path / "none"
    shutil.copytree(root, none, ignore=shutil.ignore_patterns("translators"))
    other = speaking(lambda texts: np.eye(len(texts), 512, dtype=np.float32))

    async def describe(place, generator):
        return await GenerationQueue(load(str(place)), generator, PARAMS, 1, search.embed_picture).describe()

    bare = await describe(none, paced(tiny, Pace()))
    stranger = await describe(root, other)
    own = await describe(root, paced(tiny, Pace()))

    assert (("toy",), "") == (own.translators, own.why_not)
    assert () == bare.translators == stranger.translators
    assert "train one from clip_image to clap_audio" in bare.why_not
    assert "is not the CLAP of generator other" in stranger.why_not
    assert "train a translator to its clap_audio" in stranger.why_not


@pytest.mark.anyio
async def test_the_best_translator_is_offered_first(root, search, tiny, tmp_path):
    """By the cosine of the validation pairs, closed forms among them; test pairs decide nothing."""
    several = tmp_path / "several"
    shutil.copytree(root, several)
    there = Root.from_url(str(several))
    (card,) = translator.read_cards(there)
    weights = next(several.glob("translators/toy/*.safetensors")).read_bytes()
    for name, cosine, cell in (("worse", 0.1, card.cell), ("better", 0.9, card.cell), ("ridge", 0.95, None)):
        found = {"validation": {}, "validation_cosine": cosine, "cell": cell}
        scores = card.scores.model_copy(update={"cosine": 1 - cosine})
        save_translator(there, card.model_copy(update={"name": name, "scores": scores, **found}), weights)
    offer = await GenerationQueue(
        load(str(several)), paced(tiny, Pace()), PARAMS, 1, search.embed_picture
    ).describe()

    assert ("ridge", "better", "toy", "worse") == offer.translators


@pytest.mark.anyio
async def test_a_pictures_vector_is_the_stored_one(search, root, built):
    """To the last bit: computed in a whole batch and on one core, as the build did."""
    found = {}
    there = Root.from_url(str(root))
    for shard in versions.read_shards(there, versions.read_version(there)):
        if shard.kind == "image":
            rows = there.read_table(
                f"vectors/main/{shard.name}.parquet", columns=["key", "clip_image"]
            ).to_pylist()
            found |= {row["key"]: row["clip_image"] for row in rows}
    for nth in (0, 7):
        key, data = member(built, "jpg", nth)

        assert np.array_equal(np.array(found[key], np.float16), await search.embed_picture(data))


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_command_makes_the_same_bytes(maker, picture, root, tiny, tmp_path):
    """The same pictures (one is stored as it is, one is resized first), words, seed and settings."""
    (tmp_path / "a.jpg").write_bytes(picture)
    Image.open(io.BytesIO(picture)).resize((700, 500)).save(tmp_path / "b.png")
    how = ("--generator", tiny, "--batch-rows", 1, "--steps", STEPS, "--length-s", 3, "--seed", 9)
    images = [tmp_path / "a.jpg", tmp_path / "b.png"]

    def command():
        echolens("generate", root, "--name", "files", "--via", "toy", "--images", *images, *how)
        echolens("generate", root, "--name", "words", "--text", "a bell", *how)

    await asyncio.to_thread(command)
    there = Root.from_url(str(root))
    made = there.read_table("generated/files/00000.parquet").to_pylist()
    words = there.read_table("generated/words/00000.parquet").to_pylist()
    expected = {row["url"].rpartition(".")[2]: row["sha256"] for row in made} | {"words": words[0]["sha256"]}
    orders = {
        file.suffix[1:]: PageRequest(picture=file.read_bytes(), file=file.name, via="toy", length_s=3, seed=9)
        for file in images
    } | {"words": PageRequest(text="a bell", length_s=3, seed=9)}
    found = {name: (await told(maker, order))[-1] for name, order in orders.items()}

    assert expected == {name: sha256(sound.data) for name, sound in found.items()}


def sha256(data):
    """Return the hash of a file as the tables have it."""
    import hashlib

    return hashlib.sha256(data).hexdigest()
