import logging

import pytest

from pipelines.encode.loaders.hub import (
    download_file,
    download_repository,
    read_licence,
    report_licence,
)
from pipelines.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def snapshot(monkeypatch, tmp_path):
    """The folder of a repository in a hub's cache that is all there is: no network is asked."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--a--b" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "old.pt"):
        (folder / name).write_text("{}")
    return folder


def fetch_repository(repository, revision):
    return download_repository("encode.clip", repository, revision, ["*.json"], "*.safetensors", ["*.bin"])


def test_what_was_fetched_is_found_by_its_commit(snapshot):
    """A repository and a file of it come out of the cache, in a folder that the commit names."""
    assert snapshot == fetch_repository("a/b", COMMIT)
    assert snapshot / "old.pt" == download_file("encode.clip", "a/b/old.pt", COMMIT)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7]])
def test_a_name_that_may_move_is_refused(revision):
    """A branch, a tag and a short commit are no revisions: tomorrow they may be another model."""
    for fetch in (
        lambda: fetch_repository("a/b", revision),
        lambda: download_file("encode.clip", "a/b/c.pt", revision),
    ):
        with pytest.raises(ConfigError, match=rf"encode\.clip\.revision: '{revision}' may move.*of a/b"):
            fetch()


@pytest.mark.parametrize(
    ("fetch", "said"),
    [
        pytest.param(
            lambda: fetch_repository("a/c", None), "a/c is no folder here and could not", id="repository"
        ),
        pytest.param(
            lambda: download_file("encode.clip", "a/b/c.pt", None), "a/b/c.pt is no file here and", id="file"
        ),
        pytest.param(
            lambda: fetch_repository("./nowhere", None), "there is no folder ./nowhere", id="no-name"
        ),
        pytest.param(
            lambda: download_file("encode.clip", "a/c.pt", None), "nor is it OWNER/NAME/FILE.pt", id="no-file"
        ),
    ],
)
def test_what_cannot_be_had(snapshot, fetch, said):
    """One sentence says what was looked for and how to go on without."""
    with pytest.raises(ConfigError, match=f"{said}.*encode.clip=pocket"):
        fetch()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-sa-4.0\ntags: [audio]\n---\n# AudioLDM\n", "cc-by-nc-sa-4.0"),
        ("---\ntags: [audio]\n---\n# A model\n", None),
        ("# A model\n---\nlicense: mit\n---\n", None),
        ("---\n: [\n---\n", None),
        ("", None),
        (None, None),
    ],
    ids=["stated", "unstated", "in-the-text", "damaged", "empty", "no-card"],
)
def test_the_licence_is_the_cards(tmp_path, card, licence):
    """It is read from the head of the model's card, and from nowhere else."""
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence == read_licence(tmp_path)


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("cc-by-nc-sa-4.0", "cvssp/audioldm is under cc-by-nc-sa-4.0: no commercial use"),
        ("apache-2.0", "cvssp/audioldm is under apache-2.0"),
        (None, "cvssp/audioldm states no licence; ask"),
    ],
    ids=["non-commercial", "free", "none"],
)
def test_the_licence_is_said(tmp_path, caplog, licence, said):
    """As a warning, which every log shows."""
    if licence:
        (tmp_path / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    with caplog.at_level(logging.WARNING):
        sentence = report_licence("cvssp/audioldm", tmp_path)
    assert sentence.startswith(said)
    assert sentence in caplog.text
