import json

import pytest

from jobs.shared.job import load
from pipelines.errors import ConfigError
from pipelines.index.factory import parse_memory

FILE = """
name: animals
root: data
contact: you@example.org
sources:
  - {kind: wit, list: lists/wit.tsv.gz, languages: [en]}
  - {kind: vggsound, list: "https://lists.example.org/vggsound.csv", labels: [dog barking], split: train}
encode: {clip: pocket, clap: pocket}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "animals.yaml"
    path.write_text(FILE)
    return path


def test_paths_are_relative_to_the_file(file):
    """A file means the same from wherever it is used; URLs stay as they are."""
    dataset = load(str(file))

    assert str(file.parent / "data") == dataset.root
    assert str(file.parent / "lists/wit.tsv.gz") == dataset.sources[0].list
    assert dataset.sources[1].list == "https://lists.example.org/vggsound.csv"


def test_overrides_reach_every_key(file):
    """key.path=value sets nested keys, list items by number, and parses values as YAML."""
    overrides = ["shard_rows=100", "fetch.timeout_s=2.5", "sources.0.languages=[de]", "encode.clap=null"]
    dataset = load(str(file), overrides)

    assert dataset.shard_rows == 100
    assert dataset.fetch.timeout_s == 2.5
    assert dataset.sources[0].languages == ("de",)
    assert dataset.encode.clap is None


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        pytest.param("shardrows=3", r"unknown key 'shardrows'; .* 'shard_rows'", id="misspelt"),
        pytest.param("fetch.timout_s=3", r"unknown key 'fetch.timout_s'; .* 'fetch.timeout_s'", id="nested"),
        pytest.param(
            "sources.0.lang=3", r"unknown key 'sources.0.lang'; .* 'sources\[\].languages'", id="list"
        ),
        pytest.param(
            "sources.0.kind=wiki", r"sources.0.kind: input should be 'audiocaps', 'cc12m'", id="kind"
        ),
        pytest.param("shard_rows=0", r"shard_rows: input should be greater than .* \(found 0\)", id="range"),
        pytest.param("encode.clip=poket", r"encode.clip: .*'pocket'.*poket", id="union"),
        pytest.param("encode.clip.modl=x", r"encode.clip.modl|leads nowhere", id="into-a-word"),
        pytest.param(
            "encode.clip={modl: x}",
            r"unknown key 'encode.clip.modl'; .* 'encode.clip.model'",
            id="of-a-loader",
        ),
        pytest.param(
            "encode.clap={loader: laion_clap, weight: x}",
            r"nearest known one is 'encode.clap.weights'",
            id="laion",
        ),
        pytest.param(
            "encode.clap={loader: 3}",
            r"encode.clap: loader must be one of transformers, laion_clap",
            id="loader",
        ),
        pytest.param(
            "encode.clapp={weights: x}",
            r"unknown key 'encode.clapp'; the nearest known one is 'encode.clap', and an encoder of your own",
            id="family",
        ),
        pytest.param(
            "encode.clap_audio={loader: laion_clap}",
            r"clap_audio is a column of clap; name its encoder there",
            id="column",
        ),
        pytest.param(
            "encode.Ciap=pocket", r"unknown key 'encode.Ciap'; the nearest known one is", id="capital"
        ),
        pytest.param(
            "encode.clpi=null",
            r"unknown key 'encode.clpi'; the nearest known one is 'encode.clip'",
            id="null",
        ),
        pytest.param(
            "encode.my-family={loader: laion_clap}",
            r"'my-family' names neither a family",
            id="name",
        ),
        pytest.param(
            "encode.clap={revision: main}",
            r"encode.clap.revision: a branch .* commit \(found 'main'\)",
            id="branch",
        ),
        pytest.param("encode.clip={loader: transformers}", r"'encode.clip.weights' is missing", id="weights"),
        pytest.param(
            "encode.clip={loader: 'a-b:C'}",
            r"encode.clip.loader: it names neither a loader of ours nor a class",
            id="module",
        ),
        pytest.param("sources.0.split=train", r"a wit list has no 'split'", id="not-of-this-kind"),
        pytest.param("sources.9.kind=wit", r"sources.9.kind in .* leads nowhere", id="beyond-the-list"),
        pytest.param("shard_rows", r"'shard_rows' is not an override; write key.path=value", id="no-value"),
        pytest.param(
            "name=My Animals", r"name: a name has lower-case letters a to z.*: my-animals \(found", id="name"
        ),
        pytest.param("encode.set=Ä", r"encode.set: a name has .*: animals \(found 'Ä'\)", id="set"),
        pytest.param(
            "name=2024", r"name: .* text \(found 2024\); put it in quotes", id="a-number-for-a-word"
        ),
        pytest.param("filter.language=no", r"the override .* has no without quotes", id="no"),
        pytest.param("shard_rows=0100", r"the override .* has the number 0100", id="octal"),
        pytest.param("fetch.max_bytes=50 apples", r"fetch.max_bytes: a size is a number .* 50MB", id="size"),
        pytest.param("fetch.max_bytes=0MB", r"fetch.max_bytes: .* greater than or equal to 1", id="no-bytes"),
        pytest.param(
            "fetch.video.rate_limit='" + "9" * 400 + "MB'", r"rate_limit: a size is", id="too-large"
        ),
        pytest.param("index.memory=4 apples", r"index.memory: a size is a number .* 4GiB", id="memory"),
    ],
)
def test_a_wrong_key_or_value_is_one_sentence(file, override, sentence):
    """The sentence says what was found and what was wanted."""
    with pytest.raises(ConfigError, match=sentence) as caught:
        load(str(file), [override])

    assert "\n" not in str(caught.value)


def test_sizes_are_written_as_people_do(file):
    """Wherever bytes are meant; what is stored is the number."""
    overrides = [
        "fetch.max_bytes=50MB",
        "fetch.video.max_bytes=1.5 GiB",
        "fetch.video.rate_limit=2000",
        "fetch.limits={a.example: {bytes_per_s: 3kb}}",
        "index.memory=500000000",
    ]
    dataset = load(str(file), overrides)

    assert (50_000_000, 3 * 2**29, 2000) == (
        dataset.fetch.max_bytes,
        dataset.fetch.video.max_bytes,
        dataset.fetch.video.rate_limit,
    )
    assert 3000 == dataset.fetch.limits["a.example"].bytes_per_s
    assert 500_000_000 == parse_memory(dataset.index.memory)
    assert {"max_bytes": 50_000_000, "video": 3 * 2**29} == {
        key: value if key == "max_bytes" else value["max_bytes"]
        for key, value in json.loads(dataset.model_dump_json())["fetch"].items()
        if key in ("max_bytes", "video")
    }


@pytest.mark.parametrize(
    "contact",
    [
        "|\n  me@example.org",
        ">\n  me@example.org\n",
        r'"me@example.org\r\nX-Evil: 1"',
        r'"a\x85b"',
        r'"a\Lb"',
        '""',
    ],
    ids=ascii,
)
def test_a_contact_is_one_line(file, contact):
    """A line break would begin another header of every request; the sentence is one line, too."""
    file.write_text(file.read_text().replace("you@example.org", contact))
    with pytest.raises(ConfigError, match=r"contact: a contact is one line .* \(found '") as caught:
        load(str(file))

    assert 1 == len(str(caught.value).splitlines())
    assert "[^" not in str(caught.value)


def test_a_list_in_place_of_the_file(tmp_path):
    """Gigabytes are not read to say so, nor are bytes that are no text."""
    path = tmp_path / "list.tsv"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match=r"has 1,099,511,627,776 bytes and is no dataset file"):
        load(str(path))
    path.write_bytes("name: animals".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 0\); save it as UTF-8"):
        load(str(path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "holds no keys", id="empty"),
        pytest.param("name: [", "is not YAML", id="broken"),
        pytest.param("name: a\nroot: b", "key 'sources' is missing", id="missing-key"),
        pytest.param("name: a\nroot: b\nsources: []", "sources: ", id="no-sources"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path, text, sentence):
    """What cannot be a dataset file is said so."""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load(str(path))


def test_neither_file_nor_root(tmp_path):
    """A target that is not there names both things that it could be."""
    with pytest.raises(ConfigError, match="neither a dataset file nor the root of a dataset"):
        load(str(tmp_path / "nothing"))
