"""The service as its clients see it: every path, and every way to ask it wrongly."""

import base64
import io
import json
import re

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from schemas.about import About
from schemas.query import Answer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def client(served):
    """Asks the service."""
    with httpx.Client(base_url=served.url, timeout=60) as asking:
        yield asking


@pytest.fixture(scope="session")
def bells(client):
    """What a text finds among the pictures."""
    return Answer.model_validate(client.post("/v1/lookup", json={"text": "a bell", "k": 5}).json())


def encoded(data):
    return base64.b64encode(data).decode()


def test_a_text_finds_what_it_says(bells):
    """Pictures of bells for the word, best first."""
    assert ("clip_image", 5) == (bells.column, len(bells.hits))
    assert 3 <= sum("bell" in hit.caption.lower() for hit in bells.hits)
    assert sorted((hit.score for hit in bells.hits), reverse=True) == [hit.score for hit in bells.hits]


def test_a_row_finds_others_like_it(client, bells):
    """Never itself."""
    key = bells.hits[0].key
    like = Answer.model_validate(client.post("/v1/lookup", json={"key": key, "k": 3}).json())

    assert 3 == len(like.hits)
    assert key not in [hit.key for hit in like.hits]


def test_a_picture_finds_itself(client, bells):
    """What /v1/media sends can be sent back as a question."""
    media = client.get(f"/v1/media/{bells.hits[0].key}")
    found = client.post("/v1/lookup", json={"image": encoded(media.content), "k": 1}).json()

    assert "image/jpeg" == media.headers["content-type"]
    assert bells.hits[0].key == found["hits"][0]["key"]
    assert 0.99 < found["hits"][0]["score"]


def test_a_sound_finds_itself(client):
    """Of a clip there is a frame and a sound, of which a player may ask for a part."""
    clip = client.post("/v1/lookup", json={"text": "a bell rings", "into": "clap_audio", "k": 1}).json()
    key = clip["hits"][0]["key"]
    sound = client.get(f"/v1/media/{key}", params={"medium": "sound"})
    a_part = client.get(f"/v1/media/{key}", params={"medium": "sound"}, headers={"Range": "bytes=4-7"})
    found = client.post("/v1/lookup", json={"sound": encoded(sound.content), "k": 1}).json()

    assert "audio/flac" == sound.headers["content-type"]
    assert (206, sound.content[4:8]) == (a_part.status_code, a_part.content)
    assert "image/jpeg" == client.get(f"/v1/media/{key}").headers["content-type"]
    assert ("clap_audio", key) == (found["column"], found["hits"][0]["key"])


@pytest.mark.parametrize("packed", [False, True], ids=["numbers", "base64"])
def test_a_vector_finds_its_row(client, bells, packed):
    """Given as numbers, or as the base64 of float32."""
    key = bells.hits[0].key
    own = client.post("/v1/lookup", json={"key": key, "k": 1, "vectors": True}).json()["hits"][0]
    vector = encoded(np.array(own["vector"], "<f4").tobytes()) if packed else own["vector"]
    found = client.post("/v1/lookup", json={"vector": vector, "k": 1}).json()

    assert own["key"] == found["hits"][0]["key"]


def test_about_says_what_is_served(client, served):
    """Versions, columns with their cards; and no path of this machine."""
    told = client.get("/v1/about")
    about = About.model_validate(told.json())

    assert ("miniature", about.versions[0].number) == (about.name, about.version)
    assert {"clip_image", "clip_text", "clap_text", "clap_audio"} == set(about.columns)
    assert served.root.url not in told.text


def test_health_and_metrics(client, bells):
    """Both probes answer, and Prometheus reads the counters of all replicas."""
    told = client.get("/metrics").text
    asked = re.search(r'echolens_requests_total\{path="/v1/lookup",status="200"\} (\S+)', told)

    assert client.get("/healthz").json() == client.get("/readyz").json()
    assert 1 <= float(asked[1])
    assert f"echolens_version {float(bells.version)}" in told
    assert 'echolens_answer_seconds_count{query="text"}' in told


def test_openapi_has_examples_that_are_answered(client):
    """What the document shows can be sent as it is."""
    document = client.get("/v1/openapi.json").json()
    examples = document["paths"]["/v1/lookup"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    asked = [one["value"] for one in examples.values() if "key" not in one["value"]]

    assert 2 <= len(asked)
    assert {200} == {client.post("/v1/lookup", json=value).status_code for value in asked}


def test_clip_retrievals_paths(client, bells):
    """Names of indices, neighbours whose first ones say what they are, and rows by their numbers."""
    names = client.get("/indices-list").json()
    asked = {"text": "a bell", "indice_name": names[0], "num_images": 2, "num_result_ids": 4}
    found = client.post("/knn-service", content=json.dumps(asked)).json()
    said = client.post("/metadata", json={"ids": [found[0]["id"]], "indice_name": names[0]}).json()

    assert ["miniature", "clip_image"] == names[:2]
    assert [int(hit.key) for hit in bells.hits[:4]] == [one["id"] for one in found]
    assert [True, True, False, False] == ["caption" in one for one in found]
    assert found[0]["caption"] == said[0]["metadata"]["caption"]


def png(width, height):
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def wav(seconds):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(int(8000 * seconds), dtype=np.int16), 8000, format="WAV")
    return file.getvalue()


WRONG = {
    "not_json": (400, b"{", "not JSON"),
    "not_utf8": (400, b'{"text": "\xff"}', "not JSON"),
    "no_object": (422, b"[]", "object"),
    "nothing": (422, b"{}", "none of them was given"),
    "two": (422, b'{"text": "a", "key": "1"}', "text and key was given"),
    "unknown_key": (422, b'{"txt": "a"}', "txt: there is no such field; /v1/openapi.json names"),
    "blank": (422, b'{"text": " "}', "empty"),
    "long": (422, json.dumps({"text": "a" * 5001}).encode(), "5000"),
    "k": (422, b'{"text": "a", "k": 0}', "k: "),
    "k_large": (422, b'{"text": "a", "k": 1001}', "1000"),
    "column": (422, b'{"text": "a", "into": "clip"}', "into"),
    "short_vector": (422, b'{"vector": [1, 2]}', "512 finite"),
    "null_vector": (422, json.dumps({"vector": [0] * 512}).encode(), "not all zero"),
    "endless_vector": (422, b'{"vector": [' + b"1e999," * 511 + b"1]}", "finite"),
    "odd_base64": (422, b'{"vector": "AAAAA"}', "float32"),
    "no_picture": (422, json.dumps({"image": encoded(b"<html>")}).encode(), "JPEG, PNG or WebP"),
    "no_base64": (422, b'{"image": "%"}', "picture"),
    "many_pixels": (413, json.dumps({"image": encoded(png(7000, 6000))}).encode(), "pixels"),
    "long_sound": (413, json.dumps({"sound": encoded(wav(121))}).encode(), "longer than 120 s"),
    "large_body": (413, b" " * (16 * 2**20 + 1), "larger than"),
    "no_row": (404, b'{"key": "999999999"}', "no row"),
    "odd_key": (404, b'{"key": "../../etc"}', "no row"),
    "no_translator": (422, b'{"text": "a", "via": "../x"}', "translator"),
    "other_space": (422, json.dumps({"image": encoded(png(8, 8)), "into": "clap_audio"}).encode(), "space"),
    "image_url": (403, b'{"image_url": "http://127.0.0.1/"}', "off"),
    "deep": (400, b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize(("status", "body", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_question_is_told_what_is_wrong(client, served, status, body, said):
    """One sentence in JSON, and nothing of the machine in it."""
    told = client.post("/v1/lookup", content=body)

    assert (status, ["error"]) == (told.status_code, list(told.json()))
    assert said in told.json()["error"]
    assert served.root.url not in told.text
    assert "/work" not in told.text


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (404, "GET", "/v2"),
        (404, "GET", "/v1/media/1e3"),
        (404, "GET", "/v1/media/..%2f..%2fdataset.json"),
        (404, "GET", "/v1/report"),
        (405, "GET", "/v1/lookup"),
        (422, "GET", "/v1/media/000?medium=smell"),
        (400, "POST", "/knn-service"),
        (400, "POST", "/metadata"),
    ],
    ids=["path", "key", "traversal", "no_report", "method", "medium", "knn_body", "metadata_body"],
)
def test_a_wrong_address_is_told_so(client, status, method, path):
    """In JSON as well."""
    told = client.request(method, path)

    assert (status, ["error"]) == (told.status_code, list(told.json()))


def test_a_body_of_unknown_length_is_refused_as_it_grows(client):
    """By the limit, in JSON, though nothing said how long it would be."""
    told = client.post("/v1/lookup", content=(bytes(2**20) for _ in range(17)))

    assert (413, ["error"]) == (told.status_code, list(told.json()))


def test_only_this_machine_is_asked_by_name(client, served):
    """The gate stands before the real service, too."""
    assert 421 == client.get("/healthz", headers={"Host": "rebound.example"}).status_code
    assert 403 == client.get("/healthz", headers={"Origin": "http://evil.example"}).status_code
