"""What a client of the page may have its server do: read uploads, and nothing else of its machine."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw
from pipelines.serve.generation_messages import Capabilities, GenerationForm
from pipelines.serve.page.app import make_page
from pipelines.serve.settings import ServiceLimits
from schemas.generated import GeneratorInfo
from tests.pipelines.serve.page.browser import listening, together
from tests.pipelines.serve.page.events import post_event, read_result
from tests.pipelines.serve.page.hostile import Rows

FILE_DATA = {"_type": "gradio.FileData"}


class MediaRecorder(Rows):
    """A service with pictures and sounds that keeps the media of its queries."""

    def __init__(self, media):
        self.media = media

    async def describe(self):
        about = await super().describe()
        card = about.columns["clip_image"]
        return about.model_copy(update={"columns": {"clip_image": card, "clap_audio": card}})

    async def answer(self, query):
        self.media.append(query.image or query.sound)
        return await super().answer(query)


class PictureRecorder:
    """A generator that keeps the pictures of its requests, and generates nothing."""

    form = GenerationForm("sound", takes_pictures=True, takes_words=True, length_s=5.0)

    def __init__(self, media):
        self.media = media

    async def describe(self):
        info = GeneratorInfo(name="any", weights_sha256="", medium="sound", reads=("clap_audio",))
        return Capabilities(info, ("any",))

    async def generate(self, request):
        self.media.append(request.picture)
        for event in ():
            yield event


@pytest.fixture(scope="module")
def media():
    """The media that reached the service."""
    return []


@pytest.fixture(scope="module")
def web(media):
    """A client of the running page."""
    page = make_page(MediaRecorder(media), "/page", ServiceLimits(), PictureRecorder(media))
    with listening(together(page)) as address, httpx.Client(base_url=f"{address}/page", timeout=20) as client:
        yield client


# Where a file can be given: what it is given to, and the event that has it read.
PLACES = {
    "picture": ("picture", "picture", "upload"),
    "sound": ("sound", "sound", "upload"),
    "picture-of-a-sound": ("sound-of", "make", "click"),
}


def make_file(place):
    """Return a file that the page takes there."""
    scene = draw(31, "heldout", 4)
    return sound_file(scene, 1.0) if place == "sound" else picture_file(scene)


@pytest.mark.parametrize(("place", "component", "event"), PLACES.values(), ids=PLACES)
def test_an_upload_is_read(web, media, place, component, event):
    """What a browser uploads first, and names then, reaches the service."""
    media.clear()
    data, session = make_file(place), uuid4().hex
    (path,) = web.post("/gradio_api/upload", files={"files": ("mine", data)}).raise_for_status().json()
    post_event(web, component, event, {place: {"path": path, "meta": FILE_DATA}}, session).raise_for_status()
    result = read_result(web, session)

    assert result["success"], result
    assert 1 == len(media)


@pytest.mark.parametrize(("place", "component", "event"), PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("meta", [{"meta": FILE_DATA}, {"meta": {}}, {}], ids=["file", "other", "bare"])
def test_a_file_of_the_machine_is_not_read(web, media, place, component, event, meta, tmp_path):
    """A path that a client names in place of an upload is refused, and nothing of the file is copied."""
    from gradio.utils import get_upload_folder

    media.clear()
    session = uuid4().hex
    secret = tmp_path / f"{uuid4().hex}.svg"
    secret.write_bytes(make_file(place))
    for path in (str(secret), f"{get_upload_folder()}/../../{secret}"):
        named = {"path": path, **meta}

        assert 422 == post_event(web, component, event, {place: named}, session).status_code
        assert [] == media
        assert 403 == web.get(f"/gradio_api/file={path}").status_code
    assert [] == list(Path(get_upload_folder()).rglob(secret.name))


def test_an_address_in_place_of_an_upload_is_not_fetched(web, monkeypatch):
    """Gradio would fetch the address that a browser gives as the path of a picture; here nobody does."""
    fetched = []

    async def fetch(url, **_):
        fetched.append(url)
        return url

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    hostile = {"path": "https://example.org/a.jpg", "meta": FILE_DATA}

    assert 422 == post_event(web, "picture", "upload", {"picture": hostile}, "hostile").status_code
    assert [] == fetched


def test_a_full_queue_says_so():
    """Beyond 64 waiting questions the next one is refused at once, and the page goes on."""

    class Stuck(Rows):
        async def answer(self, query):
            await asyncio.Event().wait()

    app = together(make_page(Stuck(), "/page", ServiceLimits()))
    with listening(app) as address, httpx.Client(base_url=f"{address}/page", timeout=20) as web:
        answers = [
            post_event(web, "words", "submit", {"words": "a bell"}, f"s{number}") for number in range(80)
        ]
        refused = [answer for answer in answers if answer.status_code != 200]

        assert 64 <= 80 - len(refused) < 80
        assert {503} == {answer.status_code for answer in refused}
        assert "full" in refused[0].text
        assert 200 == web.get("/").status_code
