import shutil

import pytest

from pipelines.doctor import checks
from schemas.dataset import Dataset
from schemas.plan import LaneCounts, PlanCounts


def dataset(**keys):
    source = {"kind": "vggsound", "list": "vggsound.csv"}
    return Dataset.model_validate({"name": "a", "root": "r", "sources": [source]} | keys)


@pytest.mark.parametrize(("answers", "state"), [(True, "warn"), (False, "missing")])
def test_weights_that_are_not_here(tmp_path, answers, state):
    """A hub that answers will bring them; nothing is downloaded by looking."""
    encode = dataset(encode={"clip": None, "clap": {"weights": str(tmp_path / "clap")}}).encode

    assert state == checks._check_weights(encode, hub_answers=answers).state


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        pytest.param({}, "missing", id="public-without"),
        pytest.param({"contact": "you@example.org"}, "ok", id="public-with"),
        pytest.param({"sources": [{"kind": "folder", "list": "f"}]}, "ok", id="local-without"),
    ],
)
def test_contact(keys, state):
    """Asked for where a public host is."""
    public = {"sources": [{"kind": "cc3m", "list": "cc3m.tsv"}]}

    assert state == checks._check_contact(dataset(**public | keys)).state


def test_room(tmp_path):
    """What a plan comes to is known before it is fetched: more than the disk has is a warning."""
    lanes = (
        LaneCounts(kind="image", lane="web", rows=1_000_000, shards=1),
        LaneCounts(kind="clip", lane="web", rows=1_000, shards=1),
    )
    nothing = {"rejects": 0, "duplicates": 0, "reject_reasons": {}, "filtered": {}, "sources": ()}
    plan = PlanCounts(rows_read=1, candidates=1, lanes=lanes, **nothing)
    needed = checks.estimate_bytes(dataset(), plan)
    root = checks.Root.from_url(str(tmp_path / "not" / "there"))
    free = shutil.disk_usage(tmp_path).free

    assert 43_000_000_000 == pytest.approx(needed, rel=0.01)
    assert ["ok", "warn"] == [checks._check_disk(root, wanted).state for wanted in (1000, 2 * free)]
    assert not (tmp_path / "not").exists()


def test_a_secret_that_is_not_set_is_said_of_the_headers(monkeypatch):
    """And not of the contact, which a dataset of this machine needs none of."""
    monkeypatch.delenv("TOK", raising=False)
    fetch = {"allow_private_hosts": True, "headers": {"a.example": {"Authorization": "Bearer $TOK"}}}
    wanted = dataset(sources=[{"kind": "cc3m", "list": "cc3m.tsv"}], fetch=fetch)
    headers, contact = checks._check_headers(wanted), checks._check_contact(wanted)

    assert ("headers", "missing") == (headers.name, headers.state)
    assert "$TOK" in headers.found
    assert ("contact", "ok") == (contact.name, contact.state)
    assert [] == [*checks._list_video_obstacles(wanted, [headers, contact])]
    monkeypatch.setenv("TOK", "x")
    assert "ok" == checks._check_headers(wanted).state
