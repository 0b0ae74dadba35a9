"""A Ray of our own is reached by nobody else: loopback alone, its own token, a private folder."""

import os
import stat
from pathlib import Path

import pytest

from pipelines.run import local_ray
from pipelines.run.ray_plan import Session
from tests.listeners import call_all, call_harmless, find_listeners, get_all

_RAY_NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")


@pytest.fixture(scope="module")
def others():
    """The ports at which servers of other tests listen already."""
    return {one.port for one in find_listeners(os.getpid())}


@pytest.fixture(scope="module")
def session(others):
    """A Ray, although the environment asks for one that anybody may use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_AUTH_TOKEN", "known to others")
        with Session() as session:
            session.run_task(os.getpid)
            yield session


@pytest.fixture(scope="module")
def listeners(session, others):
    """What listens, of this process and all that it started for Ray."""
    return [one for one in find_listeners(os.getpid()) if one.port not in others]


def _read_token():
    return Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()


def test_nothing_listens_to_other_machines(listeners):
    """The controller, the raylet, the agents, the workers and the driver."""
    assert {"raylet", "gcs_server"} <= {Path(one.owner).name for one in listeners}
    assert [] == [one for one in listeners if not one.is_loopback]


@pytest.mark.parametrize("token", [None, "wrong", "known to others"], ids=["none", "wrong", "environment"])
def test_no_port_works_without_the_token(listeners, token):
    """No call is carried out, and HTTP is refused; counters for Prometheus are all that is read."""
    calls = {one: call_all(one.port, token) for one in listeners}
    answers = {one: get_all(one.port, token) for one in listeners}
    told = [text for each in answers.values() for status, text in each.values() if status == 200]

    assert {"UNAUTHENTICATED"} == {status for each in calls.values() for status in each.values()}
    assert {200, 401 if token is None else 403} >= {
        status for each in answers.values() for status, _ in each.values()
    }
    assert [] == [text for text in told if not text.startswith("# HELP")]


def test_with_the_token_they_work(listeners):
    """Or the refusals above would say nothing."""
    calls = [call_harmless(one.port, _read_token()) for one in listeners]

    assert 4 <= sum("OK" in each.values() for each in calls)


def test_its_folder_and_its_token_are_private(session):
    """No other user enters it, and its path leaves room for a socket's."""
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])

    assert 0o600 == stat.S_IMODE(token.stat().st_mode)
    assert 0o700 == stat.S_IMODE(token.parent.stat().st_mode)
    assert 60 >= len(os.fsencode(token.parent / "ray"))
    assert list(token.parent.glob("ray/session_*/sockets/plasma_store"))
    assert 64 == len(_read_token())


def test_what_it_set_is_taken_back(monkeypatch):
    """A later session may be one of a cluster, with a token of its own."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    before = {name: os.environ.get(name) for name in _RAY_NAMES}
    with local_ray._make_private_folder() as folder, local_ray._set_environment(folder):
        during = {name: os.environ.get(name) for name in _RAY_NAMES}

    assert before == {name: os.environ.get(name) for name in _RAY_NAMES}
    assert ("token", None) == (during["RAY_AUTH_MODE"], during["RAY_AUTH_TOKEN"])
    assert not folder.exists()
