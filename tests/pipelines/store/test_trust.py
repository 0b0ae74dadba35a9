import pickle

import pytest
from pydantic import ValidationError

from pipelines.encode.resolve import resolve, resolve_in_subprocess
from pipelines.errors import ConfigError
from pipelines.store.trust import check_classes, check_trust, find_classes, find_enclosing_root
from schemas.encoders import Encode

# What comes near to a class that is trusted, and is another.
NEAR = (
    "trap:trap",
    "Trap:Trap",
    "trap:Trap2",
    "trap.trap:Trap",
    "os:system",
    "subprocess:Popen",
)
# What is no name of a class at all: nothing could be meant by it.
NAMELESS = (
    *("", ":", "trap:", ":Trap", ".trap:Trap", "trap.:Trap", "tr..ap:Trap", "..trap:Trap"),
    *("trap:Trap.attr", "trap:Trap:Trap", "trap:Trap()", "a-b:C", "trap:1", "tr/ap:Trap", "trap :Trap"),
    *(
        "trap:Trap\n",
        " trap:Trap",
        "trap:Trap ",
        "tr\u0430p:Trap",
        "\uff54rap:Trap",
        "trap:Tr\u200bap",
        "\x1b[1m:T",
    ),
)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A file that the module `trap` writes as soon as it is imported."""
    (tmp_path / "trap.py").write_text(
        f"open({str(tmp_path / 'written')!r}, 'w').close()\nclass Trap:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "written"


def encode(loader="trap:Trap"):
    return Encode.model_validate({"clip": {"loader": loader}, "clap": None})


@pytest.mark.parametrize("trusted", [(), NEAR])
def test_a_class_that_nobody_named_is_not_imported(written, trusted):
    """One sentence says the class and how to trust it, whoever asks; names that are near do not count."""
    with pytest.raises(ConfigError, match=r"encode\.clip names trap:Trap .* add --trust trap:Trap, or"):
        resolve(encode().trust(trusted))

    assert not written.exists()


def test_a_class_that_was_named_is_imported(written):
    """What it lacks is said then."""
    with pytest.raises(ConfigError, match=r"encode\.clip: trap:Trap is no encoder, it has no space\(\)"):
        resolve(encode().trust(["trap:Trap"]))

    assert written.exists()


@pytest.mark.parametrize("loader", ["os:system", "subprocess:Popen", "builtins:print", "json:decoder"])
def test_only_encoders_are_called(loader):
    """A function, a module or a class of another kind is not, even if a person names it."""
    with pytest.raises(ConfigError, match=rf"{loader} is (a \w+; name a class|no encoder)"):
        resolve(encode(loader).trust([loader]))


def test_trust_goes_where_the_encoders_go(written):
    """A process that encodes is given what its driver trusts, and trusts nothing by itself."""
    with pytest.raises(ConfigError, match=r"encode\.clip names trap:Trap"):
        resolve_in_subprocess(encode())
    assert not written.exists()

    trusting = encode().trust(["trap:Trap"])
    copied = trusting.model_copy(update={"set": "other"})
    assert {"trap:Trap"} == copied.trusted == pickle.loads(pickle.dumps(trusting)).trusted
    assert set() == Encode.model_validate(trusting.model_dump()).trusted


@pytest.mark.parametrize("key", ["trusted", "_trusted"])
def test_nothing_that_is_read_trusts_itself(key):
    """No key of a file or of a root says what is trusted."""
    content = encode().model_dump() | {key: ["trap:Trap"]}

    with pytest.raises(ValidationError, match="extra_forbidden"):
        Encode.model_validate(content)


@pytest.mark.parametrize("name", NAMELESS, ids=ascii)
def test_what_names_no_class_is_refused(name):
    """By `--trust`, and as the encoder of a dataset; letters that look like others are none."""
    with pytest.raises(ConfigError, match=r"names no class; write module:Class"):
        check_trust([name])
    with pytest.raises(ValidationError):
        encode(name)


def test_a_name_without_a_colon_is_a_loader_of_ours():
    """It is looked up among our own loaders, and never as a module."""
    with pytest.raises(ConfigError, match=r"names no class; write module:Class"):
        check_trust(["trap"])
    with pytest.raises(ConfigError, match=r"encode.clip: 'trap' is no loader that it can have"):
        resolve(encode("trap"))


def test_all_classes_are_named_at_once():
    """A dataset of two encoders of one's own needs no second try."""
    both = Encode.model_validate({"clip": {"loader": "a:B"}, "clap": {"loader": "c.d:E", "weights": "x"}})

    content = {"encode": both.model_dump()}
    assert {"a:B": "encoder", "c.d:E": "encoder"} == find_classes(content)
    with pytest.raises(ConfigError, match=r"here names a:B and c.d:E .*--trust a:B --trust c.d:E"):
        check_classes(content, (), "here")
    with pytest.raises(ConfigError, match=r"here names c.d:E .*--trust c.d:E"):
        check_classes(content, ["a:B"], "here")
    check_classes(content, both.trust(["a:B"]).trust(["c.d:E"]).trusted, "here")


def test_a_class_is_found_wherever_a_dataset_may_name_one():
    """In a dataset, valid or not, and in overrides alone; a colon elsewhere names none."""
    content = {
        "name": "not:This",
        "sources": [{"kind": "a:List", "list": "file:///not"}, {"kind": "wit", "media": "not:This"}, 3],
        "filter": {"own": [{"filter": "a:Filter", "word": "not:This"}], "language": "not:This"},
        "encode": {"clip": {"loader": "a:Clip"}, "clap": "pocket", "set": "not:This"},
    }
    overrides = {"sources": {"0": {"kind": "b:List"}}, "filter": {"own": {"1": {"filter": "b:Filter"}}}}

    assert {"a:List": "list", "a:Filter": "filter", "a:Clip": "encoder"} == find_classes(content)
    assert {"b:List": "list", "b:Filter": "filter"} == find_classes(overrides)
    assert {} == find_classes({"sources": "x:Y", "filter": None, "encode": ["x:Y"]})
    with pytest.raises(ConfigError, match="names a:Clip as encoder, a:Filter as filter, a:List as list, and"):
        check_classes(content, (), "here")


def test_a_file_in_a_root_is_the_roots(tmp_path):
    """By its path, or behind a link; a dataset.json of something else makes no root."""
    (tmp_path / "root" / "inner").mkdir(parents=True)
    (tmp_path / "root" / "dataset.json").write_text('{"dataset": {}}')
    (tmp_path / "root" / "inner" / "a.yaml").touch()
    (tmp_path / "dataset.json").write_text("[]")
    (tmp_path / "own.yaml").symlink_to("root/inner/a.yaml")
    (tmp_path / "other.yaml").touch()
    (tmp_path / "root" / "out.yaml").symlink_to("../other.yaml")

    found = [
        find_enclosing_root(tmp_path / name)
        for name in ("root/inner/a.yaml", "own.yaml", "root/out.yaml", "other.yaml")
    ]

    assert [tmp_path / "root"] * 3 + [None] == found
