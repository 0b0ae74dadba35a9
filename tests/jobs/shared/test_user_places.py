"""`~` and $NAME in a dataset's file."""

import pytest

from jobs.shared.user_places import expand_places
from pipelines.errors import ConfigError


def test_every_place_of_a_list_is_expanded(monkeypatch):
    """The list, the folder of its media and the list that it joins; a root's own file learns nothing."""
    monkeypatch.setenv("HOME", "/home/ada")
    source = {"list": "$HOME/a.csv", "files": "~/clips", "join": {"list": "${HOME}/b.csv", "on": "url"}}
    expanded = expand_places({"sources": [source]})

    wanted = {"list": "/home/ada/b.csv", "on": "url"}
    assert [{"list": "/home/ada/a.csv", "files": "/home/ada/clips", "join": wanted}] == expanded["sources"]
    assert "${HOME}/b.csv" == source["join"]["list"]
    for key in ("files", "join"):
        with pytest.raises(ConfigError, match=f"sources.0.{key}.* not told to a file inside of a root"):
            expand_places({"sources": [{key: source[key]}]}, given=())
