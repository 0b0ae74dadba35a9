"""What cannot be served is said before anything is started."""

import socket

import pytest

from tests.commands import echolens


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("NOT_SET is not set", ["--token-env", "NOT_SET"]),
        ("16 are the least", ["--token-env", "SHORT"]),
        ("contact", ["--allow-image-urls"]),
        ("has no set 'other'", ["--set", "other"]),
        ("from 1 to 65535", ["--port", "70000"]),
        ("at least one", ["--replicas", "0"]),
        ("no token is set", ["--host", "0.0.0.0"]),
        ("a network as in", ["--proxy-headers", "*"]),
        ("at least 1", ["--streams", "0"]),
        ("is no folder here; give pocket", ["--generator", "nowhere"]),
        ("drop one of the two", ["--generator", "pocket", "--no-page"]),
        ("give 1 to 1,000", ["--steps", "0"]),
        ("give 1 to 1,000", ["--steps", "1001"]),
        ("has no parameter 'side'", ["--generator", "pocket", "--param", "side=3"]),
        ("audioldm: length_s: ", ["--generator", "audioldm", "--length-s", "0"]),
    ],
    ids=[
        "no_token",
        "short_token",
        "no_contact",
        "no_set",
        "port",
        "replicas",
        "no_token_beyond_loopback",
        "any_proxy",
        "streams",
        "generator",
        "no_page",
        "steps",
        "too_many_steps",
        "unknown_param",
        "param",
    ],
)
def test_what_cannot_be_is_refused_at_once(built, monkeypatch, said, options):
    """One sentence, and no Ray."""
    monkeypatch.setenv("SHORT", "guess me")
    monkeypatch.delenv("NOT_SET", raising=False)
    ended = echolens("serve", built.root, *options, check=False)

    assert 1 == ended.returncode
    assert said in ended.stderr


def test_a_root_without_a_version_is_refused(tmp_path):
    """There is nothing to search."""
    ended = echolens("serve", tmp_path, check=False)

    assert 1 == ended.returncode
    assert "neither a dataset file nor the root" in ended.stderr


@pytest.mark.parametrize(
    ("said", "host"), [("another --port", "127.0.0.1"), ("--host", "192.0.2.1")], ids=["taken", "not_ours"]
)
def test_an_address_that_cannot_be_listened_at_is_refused(built, said, host):
    """Before Serve tries it for minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = echolens("serve", built.root, "--host", host, "--port", port, check=False)

    assert 1 == ended.returncode
    assert said in ended.stderr
