import pytest

from pipelines.lookup.search import Lookup
from pipelines.store.root import Root
from schemas.query import Query


@pytest.fixture
def bucket(root, object_store, tmp_path, monkeypatch):
    """The root in a bucket; what is kept of it on this machine goes with the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bucket = Root.from_url(f"{object_store}/tiny")
    bucket.fs.put(root.get_path(""), bucket.get_path(""), recursive=True)
    return bucket


def test_a_bucket_answers_as_the_folder_does(bucket, lookup, dataset, version):
    """Indices are fetched once and mapped; rows, filters, vectors and media are read from the bucket."""
    remote = Lookup.open(bucket, dataset, version)
    asked = [
        Query(key="000004"),
        Query(key="000004", distinct=True, vectors=True, k=1000),
        Query(key="000023", into="clap_audio", only={"languages": ["en"], "min_side_px": 64}),
    ]

    assert lookup.answer_many(asked) == remote.answer_many(asked)
    for key, medium in (("000004", "picture"), ("000022", "sound")):
        assert lookup.read_media(key, medium) == remote.read_media(key, medium)
