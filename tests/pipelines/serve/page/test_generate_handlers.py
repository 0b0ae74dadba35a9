"""What is entered becomes a request, and its events become HTML."""

from pathlib import Path

import pytest

from pipelines.errors import RequestRefusedError
from pipelines.serve.generation_messages import GeneratedSample, GenerationForm, QueuePosition, StepCount
from pipelines.serve.page.generate_handlers import GenerateHandlers
from pipelines.serve.page.uploads import UploadFolder
from pipelines.serve.settings import ServiceLimits
from schemas.generated import GeneratorInfo

pytestmark = pytest.mark.anyio

INFO = GeneratorInfo(name="any", weights_sha256="", medium="sound", reads=("clap_audio",), rate_hz=8000)
LIMITS = ServiceLimits()
SOUND = GeneratedSample(b"fLaC", 2.5, INFO, None, 7, {"steps": 6}, "echolens generate ROOT")


class Script:
    """A generator that yields given events, and keeps its requests."""

    form = GenerationForm("sound", takes_pictures=True, takes_words=True, length_s=5.0)

    def __init__(self, *events):
        self.events, self.requests = events, []

    async def generate(self, request):
        self.requests.append(request)
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


async def run(sounds, words="a bell!", seed=7, count=1):
    """Enter words; what the handler yields."""
    handlers = GenerateHandlers(sounds, LIMITS, UploadFolder(Path("/nowhere"), LIMITS))
    return [update async for update in handlers.on_generate(None, None, words, None, 2.5, seed, count)]


async def test_a_sound_grows_and_can_be_kept():
    """Progress, then a player and a download with a safe name; Stop is on until the end."""
    sounds = Script(QueuePosition(1), StepCount(3, 6), SOUND)
    updates = await run(sounds)
    html = [update[0] for update in updates]

    assert "1 sound before" in html[1]
    assert "Step 3 of 6" in html[2]
    assert 'download="a-bell-7.flac"' in html[-1]
    assert updates[0][1].interactive
    assert not updates[-1][1].interactive
    assert sounds.requests[0].job == updates[0][2]
    assert updates[-1][2] is None


async def test_a_stopped_sound_is_said_to_be_stopped():
    """A generator that ends without a sound was stopped."""
    assert "Stopped." in (await run(Script(StepCount(1, 6))))[-1][0]


@pytest.mark.parametrize(
    ("sentence", "words", "seed", "events"),
    [
        ("nothing is written", " ", 0, ()),
        ("Seed", "a bell", -1, ()),
        (
            "As many sounds are waiting.",
            "a bell",
            0,
            (RequestRefusedError(503, "as many sounds are waiting"),),
        ),
        ("Something went wrong in the service", "a bell", 0, (ValueError("/secret/path"),)),
    ],
    ids=["nothing", "seed", "busy", "fault"],
)
async def test_an_error_is_one_sentence(sentence, words, seed, events):
    """In place of the sound, and Stop is off."""
    (*_, last) = await run(Script(*events), words, seed)

    assert sentence in last[0]
    assert "/secret" not in last[0]
    assert not last[1].interactive


async def test_several_seeds_stand_side_by_side():
    """Each is made after the other; what is there stays while the next one comes."""
    sounds = Script(StepCount(3, 6), SOUND)
    updates = await run(sounds, count=3)
    html = [update[0] for update in updates]

    assert [7, 8, 9] == [request.seed for request in sounds.requests]
    assert 3 == len({request.job for request in sounds.requests})
    assert any("Step 3 of 6" in each and 2 == each.count("making made") for each in html)
    assert 3 == html[-1].count("making made")


async def test_stop_ends_the_seeds_that_are_left():
    """What was made before stays, and no further one is asked for."""

    class Stopping(Script):
        async def generate(self, request):
            self.requests.append(request)
            if len(self.requests) == 1:
                yield SOUND

    sounds = Stopping()
    last = (await run(sounds, count=4))[-1]

    assert 2 == len(sounds.requests)
    assert 1 == last[0].count("making made")
    assert "Stopped." not in last[0]
