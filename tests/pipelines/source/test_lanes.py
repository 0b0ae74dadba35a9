from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import ConfigError
from pipelines.source import lanes
from pipelines.source.lanes import cut_shards


@given(sizes=st.lists(st.integers(1, 30), max_size=60), limit=st.integers(1, 12))
def test_cut(sizes, limit):
    """No shard is overfull, none is empty, and no group that fits into a shard lies in two."""
    shards = cut_shards(np.array(sizes, np.int64), limit)
    borders = {sum(shards[:number]) for number in range(1, len(shards))}
    starts = [sum(sizes[:number]) for number in range(len(sizes))]

    assert sum(sizes) == sum(shards)
    assert all(1 <= rows <= limit for rows in shards)
    for start, size in zip(starts, sizes, strict=True):
        inside = sum(start < border < start + size for border in borders)
        assert inside == -(-size // limit) - 1


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_cut_is_greedy(sizes):
    """A shard is closed only because the next group does not fit."""
    shards = cut_shards(np.array(sizes, np.int64), 5)
    at = 0
    for rows in shards[:-1]:
        group = next(number for number in range(len(sizes)) if sum(sizes[:number]) == at + rows)
        assert rows + sizes[group] > 5
        at += rows


def test_nothing_to_cut():
    """No groups, no shards."""
    assert [] == cut_shards(np.array([], np.int64), 5)


def rows(hosts):
    """Return a CC3M list: one row a host name, as often as it says."""
    lines = [
        f"caption {number}\thttp://{host}/{number}.jpg"
        for host, times in hosts.items()
        for number in range(times)
    ]
    return "\n".join(lines)


def lanes_of(done):
    return {lane.lane: lane.rows for lane in done.counts.lanes}


def test_a_host_with_many_rows_is_a_lane(plan, written):
    """More than 5 % of the rows make a lane, 5 % do not; a limited host is one with a single row."""
    hosts = {f"h{number}.example": 20 for number in range(29)} | {
        "large.example": 41,
        "middle.example": 40,
        "upload.wikimedia.org": 1,
    }
    hosts["h29.example"] = 800 - sum(hosts.values())
    done = plan({"kind": "cc3m", "list": written("cc3m.tsv", rows(hosts))})

    assert 800 == done.counts.candidates
    assert {"web": 620, "h29.example": 138, "large.example": 41, "upload.wikimedia.org": 1} == lanes_of(done)
    assert all(row["lane"] in row["url"] for row in done.candidates if row["lane"] != "web")


def test_lanes_follow_the_limits_of_the_file(plan, written):
    """A host, all hosts of a domain together, and none for a host whose limit is lifted."""
    hosts = {
        "a.example": 1,
        "farm1.photos.test": 2,
        "farm2.photos.test": 3,
        "photos.test": 4,
        "own.photos.test": 5,
    }
    hosts |= {"upload.wikimedia.org": 6, "commons.wikimedia.org": 7, "notphotos.test": 8}
    limits = {
        "*.photos.test": {"connections": 4},
        "own.photos.test": {"delay_s": 1},
        "upload.wikimedia.org": None,
    }
    done = plan(
        {"kind": "cc3m", "list": written("cc3m.tsv", rows(hosts))}, fetch={"limits": limits}, shard_rows=1000
    )

    assert {"web": 15, "*.photos.test": 9, "own.photos.test": 5, "*.wikimedia.org": 7} == lanes_of(done)


def test_few_rows_are_one_lane(plan, written):
    """Where there is little to fetch, only limits count."""
    done = plan({"kind": "cc3m", "list": written("c", rows({"a.example": 499}))})
    assert {"web": 499} == lanes_of(done)

    done = plan({"kind": "cc3m", "list": written("c", rows({"a.example": 500}))})
    assert {"a.example": 500} == lanes_of(done)


@pytest.mark.parametrize(
    ("url", "lane"),
    [
        pytest.param("https://upload.wikimedia.org/a.jpg", "upload.wikimedia.org", id="plain"),
        pytest.param(
            "HTTP://UPLOAD.Wikimedia.org:8080/a.jpg", "upload.wikimedia.org", id="capitals-and-port"
        ),
        pytest.param("https://me:pw@upload.wikimedia.org/a.jpg", "web", id="user-which-nobody-is-asked-as"),
        pytest.param("https://upload%2Ewikimedia.org/a.jpg", "upload.wikimedia.org", id="escaped"),
        pytest.param("https://upload\uff0ewikimedia.org/a.jpg", "upload.wikimedia.org", id="wide-dot"),
        pytest.param("https://upload.wikimedia.org:99999/a.jpg", "web", id="no-port"),
        pytest.param("https://upload.wikimedia.org\\@a.example/", "web", id="backslash"),
        pytest.param("https://upload.wikimedia.org./a.jpg", "upload.wikimedia.org", id="final-dot"),
        pytest.param("https://upload.wikimedia.org", "upload.wikimedia.org", id="no-path"),
        pytest.param("https://upload.wikimedia.org?x", "upload.wikimedia.org", id="query"),
        pytest.param("https://a.example/https://upload.wikimedia.org/", "web", id="in-the-path"),
        pytest.param("https://upload.wikimedia.org@a.example/", "web", id="as-user"),
        pytest.param("https://[::1]:80/a.jpg", "web", id="ipv6"),
        pytest.param("https:///a.jpg", "web", id="no-host"),
        pytest.param("https://local/a.jpg", "web", id="host-named-as-a-lane"),
        pytest.param("no url", "web", id="no-url-at-all"),
        pytest.param("file:///a.jpg", "local", id="file"),
        pytest.param("s3://bucket/a.jpg", "local", id="s3"),
    ],
)
def test_host(plan, written, url, lane):
    """The host is what would be connected to."""
    assert [lane] == plan({"kind": "cc3m", "list": written("c", f"a\t{url}\nb\tfile:///b\n")}).column("lane")[
        :1
    ]


@pytest.fixture
def many(plan, written):
    """Plan 700 pictures of 350 URLs on 90 hosts, 300 on a limited host and 250 clips."""

    def make(**keys):
        cc = [f"{number}\thttp://h{number // 2 % 90}.example/{number // 2}.jpg" for number in range(700)]
        cc += [f"{number}\thttps://upload.wikimedia.org/{number}.jpg" for number in range(300)]
        clips = [f"abcdefgh{number % 125:03d},{number % 2},dog,train" for number in range(250)]
        return plan(
            {
                "kind": "vggsound",
                "list": written("v.csv", "\n".join(clips)),
                "media": "file:///m/{youtube_id}.mp4",
            },
            {"kind": "cc3m", "list": written("c.tsv", "\n".join(cc))},
            **keys,
        )

    return make


def test_shards(many):
    """One kind and one lane a shard; clips and limited lanes in shards of 100; one URL, one shard."""
    done = many(shard_rows=300)
    found = [
        (shard[0]["kind"], shard[0]["lane"], len(shard), len({(row["kind"], row["lane"]) for row in shard}))
        for shard in done.shards
    ]
    table = done.root.read_table("plan/shards.parquet").to_pylist()

    assert [
        ("image", "web", 300, 1),
        ("image", "web", 300, 1),
        ("image", "web", 100, 1),
        *[("image", "upload.wikimedia.org", 100, 1)] * 3,
        *[("clip", "local", 100, 1)] * 2,
        ("clip", "local", 50, 1),
    ] == found
    assert [(number, *row[:3]) for number, row in enumerate(found)] == [tuple(row.values()) for row in table]
    homes = Counter(url for shard in done.shards for url in {row["media_url"] for row in shard})
    assert {1} == set(homes.values())


def test_small_shards(many):
    """A shard is never larger than shard_rows."""
    assert {30} >= {len(shard) for shard in many(shard_rows=30).shards} - {10, 20}


def test_order(many):
    """`web` is shuffled by the seed, with the rows of a URL side by side; other lanes keep their order."""
    first, again, other = ([row for shard in many(seed=seed).shards for row in shard] for seed in (0, 0, 1))
    web = [row["media_url"] for row in first if row["lane"] == "web"]
    wiki = [int(row["caption"]) for row in first if row["lane"] == "upload.wikimedia.org"]
    hosts = [url.split("/")[2] for url in web]

    assert first == again
    assert web != [row["media_url"] for row in other if row["lane"] == "web"]
    assert web[::2] == web[1::2]
    assert web[::2] != sorted(web[::2])
    assert wiki == sorted(wiki)
    assert 5 > max(Counter(hosts[at : at + 40]).most_common(1)[0][1] / 2 for at in range(0, 640, 40))


def test_more_shards_than_names(plan, written, monkeypatch):
    """A plan whose shards could not be named is refused with the rows that would do."""
    monkeypatch.setattr(lanes, "SHARD_DIGITS", 1)
    with pytest.raises(
        ConfigError, match="20 shards, but their names have room for 10; set shard_rows to 15"
    ):
        plan({"kind": "cc3m", "list": written("c", rows({"a.example": 100}))}, shard_rows=5)


def test_many_slow_rows_make_larger_shards(plan, written, monkeypatch):
    """Limited hosts with millions of rows get larger shards rather than more."""
    monkeypatch.setattr(lanes, "MAX_SLOW_SHARDS", 2)
    done = plan({"kind": "cc3m", "list": written("c", rows({"upload.wikimedia.org": 301}))})

    assert [151, 150] == [len(shard) for shard in done.shards]


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(urls=st.lists(st.integers(0, 12), min_size=1, max_size=80), shard_rows=st.integers(5, 20))
def test_any_list(plan, written, urls, shard_rows):
    """Whatever repeats in a list: every row is in one shard, no URL that fits into a shard is in two."""
    lines = "\n".join(f"{number}\thttp://a.example/{url}.jpg" for number, url in enumerate(urls))
    done = plan({"kind": "cc3m", "list": written("c", lines)}, shard_rows=shard_rows)
    homes = Counter(url for shard in done.shards for url in {row["media_url"] for row in shard})
    times = Counter(done.column("media_url"))

    assert len(urls) == len(done.column("id")) == len(set(done.column("id")))
    assert all(len(shard) <= shard_rows for shard in done.shards)
    assert [] == [url for url in times if times[url] <= shard_rows and homes[url] > 1]
