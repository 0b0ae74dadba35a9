"""Which values of a dataset name places or weaken guards, and how trust in them travels."""

import pickle

import pytest

from pipelines.encode.places import find_encoder_places
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError
from pipelines.generate.places import find_generator_places
from pipelines.store import places
from pipelines.store.places import find_fetch_keys
from schemas.dataset import STORED_BY, Dataset
from schemas.encoders import Encode
from schemas.fetch import Fetch, VideoSettings
from schemas.strict import Trust


@pytest.mark.parametrize(
    ("entry", "places"),
    [
        ({}, []),
        ({"clip": "pocket", "clap": "pocket"}, []),
        ({"clip": None, "clap": None}, []),
        ({"clip": {"model": "ViT-B-32", "weights": "laion2b_s34b_b79k"}}, []),
        ({"clip": {"model": "ViT-B-32", "weights": "LAION2B-s34b-b79k"}}, []),
        ({"clap": {"loader": "laion_clap", "weights": "lukewys/laion_clap/630k-audioset-best.pt"}}, []),
        (
            {
                "clap": {
                    "loader": "laion_clap",
                    "weights": "evil/laion_clap/630k-best.pt",
                    "tokenizer": "evil/t",
                }
            },
            ["encode.clap.weights", "encode.clap.tokenizer"],
        ),
        (
            {"clap": {"loader": "audioldm", "weights": "cvssp/audioldm", "audio": "x.ckpt"}},
            ["encode.clap.weights", "encode.clap.audio"],
        ),
        ({"ciap": {"loader": "theirs:Ciap", "bias": 1.0, "side": "left"}}, []),
        ({"ciap": {"loader": "theirs:Ciap", "file": "../../x"}}, ["encode.ciap.file"]),
        ({"clap_image": {"loader": "transformers", "weights": "x"}}, ["encode.clap_image.weights"]),
    ],
)
def test_places_that_everybody_knows(entry, places):
    """open_clip's tags, laion_clap's checkpoints, our defaults and what ships are nobody's choice."""
    encode = Encode.model_validate(entry)
    keys = frozenset(
        f"encode.{key}.{name}" for key, each in entry.items() if isinstance(each, dict) for name in each
    )
    of_root = encode.with_trust(Trust(root_keys=keys, source="it"))

    assert places == find_encoder_places(of_root)
    assert [] == find_encoder_places(encode)
    if places:
        with pytest.raises(ConfigError, match=f"it (names|gives {places[0]})"):
            resolve(of_root)


def test_generators_that_ship():
    """Or lie in the root's own models."""
    for entry in ({}, {"weights": "pocket"}, {"name": "audioldm:mine", "weights": "x"}, {"name": "vae:mine"}):
        dataset = Dataset.model_validate(
            {"name": "a", "root": "/a", "sources": [{"kind": "cc3m", "list": "x"}], "generator": entry}
        )
        assert [] == find_generator_places(dataset.generator)


WEAKER = [
    ({"allow_private_hosts": True}, ["fetch.allow_private_hosts"]),
    ({"timeout_s": 21}, ["fetch.timeout_s"]),
    ({"timeout_s": 5, "retries": 0, "connections": 1, "max_bytes": 1, "max_pixels": 1}, []),
    (
        {"retries": 2, "connections": 129, "workers": 1},
        ["fetch.workers", "fetch.retries", "fetch.connections"],
    ),
    ({"max_bytes": 10**12, "max_pixels": 10**12}, ["fetch.max_bytes", "fetch.max_pixels"]),
    ({"wikimedia_width_px": None}, ["fetch.wikimedia_width_px"]),
    ({"limits": {"a.example": {"connections": 1}}}, ["fetch.limits"]),
    ({"image_size": 4096, "resize_mode": "no"}, []),
    ({"video": {"timeout_s": 301}}, ["fetch.video.timeout_s"]),
    (
        {"video": {"max_bytes": 10**12, "connections": 5}},
        ["fetch.video.max_bytes", "fetch.video.connections"],
    ),
    ({"video": {"site": "http://x.example/{youtube_id}"}}, ["fetch.video.site"]),
    ({"video": {"cookies_file": "$HOME", "proxy": "$P"}}, ["fetch.video.cookies_file", "fetch.video.proxy"]),
]


@pytest.mark.parametrize(("fetch", "keys"), WEAKER)
def test_what_weakens_a_guard(fetch, keys):
    """Stricter limits, and how media are stored, are the root's to say."""
    dataset = Dataset.model_validate(
        {"name": "a", "root": "/a", "sources": [{"kind": "cc3m", "list": "x"}], "fetch": fetch}
    )

    assert keys == find_fetch_keys(dataset, asks_web=True)
    capped = {f"fetch.{key}" for key in ("timeout_s", "max_bytes", "max_pixels", "workers")}
    capped |= {"fetch.video.timeout_s", "fetch.video.max_bytes"}
    assert [key for key in keys if key in capped] == find_fetch_keys(dataset, asks_web=False)


def test_every_setting_of_fetching_is_decided_upon():
    """A new one is either the root's to say, or is checked."""
    harmless = {*STORED_BY, "video", "video.sections_below_s", "video.rate_limit"}
    fields = {*Fetch.model_fields, *(f"video.{name}" for name in VideoSettings.model_fields)}

    assert fields == harmless | {*places._CAPS, *places._POLITENESS, *places._WEB}


def test_the_trust_of_a_dataset_travels():
    """With copies and pickles, to its encoders; those of another set keep their own."""
    content = {"name": "a", "root": "/a", "sources": [{"kind": "cc3m", "list": "x"}]}
    trust = Trust(root_keys=frozenset({"encode.clip.weights", "contact"}), source="it", links=("/disk",))
    dataset = pickle.loads(pickle.dumps(Dataset.model_validate(content).with_trust(trust)))

    assert trust == dataset.given_trust == dataset.encode.given_trust == dataset.model_copy().given_trust
    assert ("/disk",) == dataset.links
    assert trust.root_keys == dataset.encode.select(["clip"]).given_trust.root_keys
    other = Trust(root_keys=frozenset({"encode.clip.model"}), source="another set")
    changed = dataset.model_copy(update={"encode": dataset.encode.with_trust(other)}).trust(["a:B"])
    assert other.root_keys == changed.encode.given_trust.root_keys
    assert "another set" == changed.encode.given_trust.source
    assert {"a:B"} == changed.encode.trusted
    assert "trust" not in changed.model_dump_json()


def test_places_among_the_arguments_of_own_classes():
    """Of a list and a filter, whose other keys only their classes know."""
    sources = [{"kind": "theirs:List", "list": "x", "mirror": "http://x.example", "rows": 3, "sort": "up"}]
    own = [{"filter": "theirs:Long", "words": "~/words.txt", "least": 3}, {"filter": "theirs:Short"}]
    dataset = Dataset.model_validate({"name": "a", "root": "/a", "sources": sources, "filter": {"own": own}})

    assert ["sources.0.list", "sources.0.mirror"] == places.find_list_keys(dataset)
    assert ["filter.own.0.words"] == places.find_filter_keys(dataset)
