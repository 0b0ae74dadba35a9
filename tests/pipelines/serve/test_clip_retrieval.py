"""clip-retrieval's own client finds its rows here."""

import json
import subprocess

import httpx
import pytest

from tests.pipelines.serve.theirs import their_python

ASK = """
import json, sys
from clip_retrieval.clip_client import ClipClient, Modality

url, index, picture, vector = json.load(sys.stdin)
told = {}
for modality in (Modality.IMAGE, Modality.TEXT):
    client = ClipClient(url=url, indice_name=index, modality=modality, num_images=5, deduplicate=False)
    told[modality.value] = client.query(text="a bell")
client = ClipClient(url=url, indice_name=index, num_images=5)
told["picture"] = client.query(image=picture)
told["vector"] = client.query(embedding_input=vector)
told["no_index"] = ClipClient(url=url, indice_name="nothing").query(text="a bell")
told["no_urls"] = client.query(image="http://127.0.0.1/a.jpg")
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_their_client_finds_what_ours_does(served, tmp_path):
    """By text in both modalities, by a picture's file and by a vector; a refusal is a sentence."""
    with httpx.Client(base_url=served.url, timeout=60) as ours:
        asked = {"text": "a bell", "k": 5, "vectors": True}
        hits = {
            column: ours.post("/v1/lookup", json=asked | {"into": column}).json()["hits"]
            for column in ("clip_image", "clip_text")
        }
        best = hits["clip_image"][0]
        picture = tmp_path / "bell.jpg"
        picture.write_bytes(ours.get(f"/v1/media/{best['key']}").content)
        index = ours.get("/indices-list").json()[0]
    plan = [f"{served.url}/knn-service", index, str(picture), best["vector"]]
    ended = subprocess.run(
        [their_python(tmp_path), "-c", ASK],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr[-2000:]
    told = json.loads(ended.stdout)

    for modality, column in (("image", "clip_image"), ("text", "clip_text")):
        assert [(int(hit["key"]), hit["caption"], hit["url"]) for hit in hits[column]] == [
            (one["id"], one["caption"], one["url"]) for one in told[modality]
        ]
        assert [hit["score"] for hit in hits[column]] == pytest.approx(
            [one["similarity"] for one in told[modality]], abs=1e-5
        )
    assert int(best["key"]) == told["picture"][0]["id"] == told["vector"][0]["id"]
    assert "indices-list" in told["no_index"]["error"]
    assert "image_url is off" in told["no_urls"]["error"]
