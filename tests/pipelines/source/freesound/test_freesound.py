import io
import itertools
import json
import logging

import numpy as np
import pytest
import soundfile

from pipelines.errors import ConfigError, ListError, StopJob
from pipelines.fetch.ratelimit.request_log import SystemClock
from pipelines.fetch.stages import FetchClips
from pipelines.source.freesound import answers, api
from pipelines.source.freesound.licences import is_of, name_licence
from pipelines.source.listed.choice import find_listed_set
from pipelines.source.listed.stage import TakeListedVectors
from pipelines.source.registry import find_origins, make_lists
from schemas.dataset import Dataset
from tests.pipelines.source.freesound.stand_in import KEY, StandIn, TurnedClock, make_sounds, served

DAY_S = 86_400


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FREESOUND_TOKEN", KEY)


@pytest.fixture
def clock(monkeypatch):
    """The clock of the server and of this machine."""
    turned = TurnedClock()
    monkeypatch.setattr(api, "SystemClock", lambda: turned)
    return turned


@pytest.fixture
def server(clock):
    with served(StandIn(clock, make_sounds(40), per_min=5, per_day=20)) as stand_in:
        stand_in.max_page = 10
        yield stand_in


@pytest.fixture
def keys(server, tmp_path):
    """The list, as a dataset's file has it, and how its host is asked."""

    def make(**more):
        source = {
            "kind": "freesound",
            "list": str(tmp_path / "dogs"),
            "query": "dog",
            "api": server.url,
        } | more
        limits = {"127.0.0.1": {"requests_per_min": 5, "requests_per_day": 20}}
        return {"sources": [source], "fetch": {"allow_private_hosts": True, "limits": limits}}

    return make


def make_dataset(keys, **more):
    return Dataset.model_validate({"name": "test", "root": "/tmp/none"} | keys | more)


def collect(keys, **more):
    """Ask for the list alone, without a plan; return the numbers of sounds that were reported."""
    dataset, reported = make_dataset(keys, **more), []
    make_lists(dataset)[0].prepare(dataset.fetch, dataset.contact, lambda _, count: reported.append(count))
    return reported


def count_most(times_s, length_s):
    """The most requests within any stretch of time, as the server counts them."""
    return max(sum(first <= time_s < first + length_s for time_s in times_s) for first in times_s)


def test_a_plan_of_sounds(plan, keys, server):
    """Pages are followed by `next`; licences are named; what is not for generative models is counted."""
    done = plan(*keys(label="dog")["sources"], fetch=keys()["fetch"])
    first = done.candidates[0]

    assert (40, 4) == (done.counts.rows_read, len(server.times_s))
    assert {"no_gen_ai": 4} == done.counts.sources[0].filtered
    assert ["CC0-1.0", "CC-BY-4.0", "CC-BY-NC-3.0"] == done.column("licence")[:3]
    assert first["caption"] == "Dog 0.wav. A dog barks 0 times & more"
    assert ("clip", "dog", "ann", 2.0) == tuple(
        first[name] for name in ("kind", "label", "attribution", "length_s")
    )
    assert first["url"].endswith("/1000-hq-ogg")
    assert json.loads(first["kept"])["gen_ai_preference"] == "no-additional-preferences"
    assert json.loads(first["kept"])["freesound_id"] == 1000


def test_licences_are_asked_for_and_looked_at(plan, keys, server):
    """The stand-in does not filter, so what it returns all the same is filtered here."""
    done = plan(
        *keys(licences=["CC0", "CC-BY"], filter="duration:[1 TO 99]")["sources"], fetch=keys()["fetch"]
    )

    assert {"licence": 12, "no_gen_ai": 4} == done.counts.sources[0].filtered
    assert "Creative+Commons+0" in server.seen[0][0]
    assert "Attribution" in server.seen[0][0]


def test_a_sound_on_two_pages(plan, keys, server):
    """A list that is sorted by score may shift between two requests; the second is a duplicate."""
    server.sounds.insert(10, server.sounds[9])
    server.sounds.append({"id": None, "previews": None})
    done = plan(*keys(gen_ai=["no-gen-ai", "no-additional-preferences"])["sources"], fetch=keys()["fetch"])

    assert (42, 40, 1, 1) == (
        done.counts.rows_read,
        done.counts.candidates,
        done.counts.duplicates,
        done.counts.rejects,
    )


def test_limits_are_kept(keys, server, clock):
    """As the server counts: never more than 5 in a minute, none refused, and 20 in a day."""
    server.sounds = list(make_sounds(300))
    with pytest.raises(StopJob, match=r"limit of 20 requests a day is reached, and 200 sounds .* tomorrow"):
        collect(keys())

    assert len(server.times_s) == 20
    assert count_most(server.times_s, 60) <= 5
    assert server.refused == []

    clock.now_s += DAY_S
    assert collect(keys())[-1] == 300
    assert len(server.times_s) == 30
    assert count_most(server.times_s, DAY_S) <= 20
    assert collect(keys()) == []


def test_another_list_shares_the_limits(keys, server):
    """The requests of a key are counted together, whichever list or process makes them."""
    collect(keys())
    collect(keys(list=keys()["sources"][0]["list"] + "2", query="cat"))

    assert len(server.times_s) == 8
    assert count_most(server.times_s, 60) <= 5
    assert server.refused == []


def test_throttled_for_a_minute(keys, server, clock):
    """Without a Retry-After the text says which limit it is; somebody else has used up this minute."""
    server.times_s = [clock.now_s] * 5
    collect(keys())

    assert set(server.refused) == {"minute"}
    assert 60.0 in clock.slept_s
    assert len(server.times_s) == 9


def test_throttled_for_a_day(keys, server, clock):
    """Nobody sleeps until tomorrow."""
    server.times_s = [clock.now_s - 3600] * 20
    with pytest.raises(StopJob, match="limit of 20 requests a day is reached, and 0 sounds"):
        collect(keys())

    assert server.refused == ["day"]
    assert clock.slept_s == []


def test_killed_and_resumed(keys, server, monkeypatch, plan):
    """At every write: the pages that came are not asked for again, and the rows are those of a whole run."""
    whole = plan(*keys(list=keys()["sources"][0]["list"] + "-whole")["sources"], fetch=keys()["fetch"])
    asked = len(server.times_s)
    steps = ("_write_table", "_write_json", "_remove_pages")
    for number in itertools.count(1):
        count = itertools.count()

        def killed(step, *args, count=count, number=number):
            step(*args)
            if next(count) == number - 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            for name in steps:
                step = getattr(answers.AnswerFolder, name)
                patch.setattr(answers.AnswerFolder, name, lambda *args, step=step: killed(step, *args))
            try:
                collect(keys())
                break
            except KeyboardInterrupt:
                server.clock.now_s += DAY_S
    resumed = plan(*keys()["sources"], fetch=keys()["fetch"])

    assert number > 2
    assert len(server.times_s) == asked + 4
    assert whole.candidates == resumed.candidates


def test_more_of_a_list(plan, keys, server):
    """`most` is asked for and no more; raised, the list goes on where it stopped."""
    few = plan(*keys(most=12)["sources"], fetch=keys()["fetch"])
    requests = len(server.times_s)
    more = plan(*keys(most=25)["sources"], fetch=keys()["fetch"])

    assert (12, 25) == (few.counts.rows_read, more.counts.rows_read)
    assert (2, 3) == (requests, len(server.times_s))
    assert few.candidates == more.candidates[: len(few.candidates)]


def test_the_key_is_in_the_header_alone(keys, server, tmp_path, caplog):
    """Neither in a URL, nor in any file that is written, nor in a log; not even if the server repeats it."""
    caplog.set_level(logging.DEBUG)
    make_page = server.make_page

    def repeat(asked):
        page = make_page(asked)
        return page | {"next": page["next"] and f"{page['next']}&token={KEY}"}

    server.make_page = repeat
    collect(keys())

    assert all(KEY not in path for path, _ in server.seen)
    assert all(headers["Authorization"] == f"Token {KEY}" for _, headers in server.seen)
    assert [
        path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
    ] == []
    assert KEY not in caplog.text
    assert KEY not in make_dataset(keys()).model_dump_json()


def test_a_next_page_elsewhere(keys, server):
    """The token goes to the API alone."""
    server.make_page = lambda asked: {"next": "http://localhost:9/apiv2/search/?page=2", "results": []}
    with pytest.raises(ListError, match="leads to http://localhost:9/apiv2/search/, which is not below it"):
        collect(keys())


@pytest.mark.parametrize(
    ("token", "error", "says"),
    [
        pytest.param("", ConfigError, r"\$FREESOUND_TOKEN is not set", id="missing"),
        pytest.param(
            "wrong", ConfigError, r"refuses the token of \$FREESOUND_TOKEN \(401: Inv", id="refused"
        ),
        pytest.param("a b", ConfigError, "has a blank", id="blank"),
    ],
)
def test_a_token_that_is_none(keys, monkeypatch, token, error, says):
    """One sentence, without the token."""
    monkeypatch.setenv("FREESOUND_TOKEN", token)
    with pytest.raises(error, match=says) as raised:
        collect(keys())

    assert token != "wrong" or "wrong" not in str(raised.value)


def test_a_search_that_is_refused(keys):
    """What Freesound says of it is passed on."""
    with pytest.raises(ListError, match=r"400: Bad filter\.\); check `query` and `filter`"):
        collect(keys(filter="duration:[1 30]"))


def test_a_server_that_is_down(keys, server):
    """Asked again, a few times."""
    server.broken = 2
    collect(keys())
    server.broken = 100

    with pytest.raises(StopJob, match=r"did not answer 4 times \(503\)"):
        collect(keys(list=keys()["sources"][0]["list"] + "2"))


def test_a_folder_of_something_else(keys, tmp_path):
    """Answers to two searches are not mixed, and nothing is written among the files of a person."""
    collect(keys())
    with pytest.raises(ListError, match="holds answers to query 'dog', and 'cat' is asked for"):
        collect(keys(query="cat"))

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(ListError, match="is a folder with other files"):
        collect(keys(list=str(tmp_path / "mine")))


def test_vectors_come_with_the_sounds(plan, keys):
    """As those of a table do: a set of their own, in a space of its name, and nothing is fetched."""
    more = keys(vectors={"column": "sim_laion_clap", "space": "laion_clap"})
    done = plan(*more["sources"], fetch=more["fetch"], encode={"clip": None, "clap": None})
    dataset = make_dataset(more, encode={"clip": None, "clap": None})
    listed = find_listed_set(dataset, {})
    rows = done.candidates[:3]
    batch = {name: [row[name] for row in rows] for name in ("source_row", "url")}
    vectors = TakeListedVectors(listed).open()(batch | {"outcome": ["ok"] * 3, "reason": [""] * 3})
    expected = [sound["sim_laion_clap"] for sound in make_sounds(3)]

    assert {"text"} == set(done.column("kind"))
    assert list(vectors["listed_audio"][2]) == pytest.approx(expected[2], abs=1e-3)
    assert vectors["listed_audio_norm"] == pytest.approx([1.0] * 3)


def test_previews_are_fetched(plan, keys, server):
    """As clips of their own length, without the token; one that is gone is dead."""
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sin(np.arange(2 * 44_100) / 20), 44_100, format="OGG", subtype="VORBIS")
    home = server.url.removesuffix("/apiv2")
    for number in range(2):
        server.sounds[number]["previews"]["preview-hq-ogg"] = f"{home}/previews/{number}.ogg"
    server.files["/previews/0.ogg"] = file.getvalue()
    more = keys(most=2)
    done = plan(*more["sources"], fetch=more["fetch"])
    dataset = make_dataset(more)
    work = FetchClips(dataset.fetch, None, find_origins(dataset)).open()
    try:
        columns = ("outcome", "reason", "media_url", "url", "source", "start_s", "length_s", "expected_hash")
        rows = [row | {"outcome": "ok", "reason": "", "expected_hash": None} for row in done.candidates[:2]]
        fetched = work({name: [row[name] for row in rows] for name in columns})
    finally:
        work.close()

    assert [("ok", ""), ("dead", "http_404")] == list(zip(fetched["outcome"], fetched["reason"], strict=True))
    assert fetched["sound_s"][0] == pytest.approx(2.0, abs=0.05)


def test_names_of_licences():
    """By their deeds, in any version; what is not known stays an address."""
    assert name_licence("https://creativecommons.org/licenses/sampling+/1.0/") == "CC-Sampling+-1.0"
    assert name_licence("https://example.org/mine") == "https://example.org/mine"
    assert is_of("CC-BY-4.0", "CC-BY")
    assert not is_of("CC-BY-NC-4.0", "CC-BY")


def test_the_clock_of_this_machine():
    """Goes on."""
    before = SystemClock().get_time_s()
    SystemClock().wait(0.01)

    assert SystemClock().get_time_s() > before
