import pytest

from pipelines.fetch.worker_pools import WorkerPool, make_pools
from pipelines.store.shards import Shard


def shards(**lanes):
    names = [lane for lane, number in lanes.items() for _ in range(number)]
    return [Shard(number, "image", lane, 100) for number, lane in enumerate(names)]


def lanes_of(pool):
    return [shard.lane for shard in pool.shards]


def test_a_small_plan_needs_one_worker_a_pool():
    """Where one worker has all limited shards in flight, another would only take memory."""
    web, limited = make_pools(shards(web=3), shards(a=3, b=2), 2, None)

    assert (3, 1, 0.5) == (len(web.shards), web.workers, web.cpus_each)
    assert ["a", "b", "a", "b", "a"] == lanes_of(limited)


def test_the_slowest_hosts_have_a_worker_each():
    """The rest take turns in one, so that none of them has all of what is in flight."""
    found = make_pools([], shards(few=2, most=30, many=20, some=9, less=5), 16, None)

    assert [["most"] * 30, ["many"] * 20, ["some"] * 9] == [lanes_of(pool) for pool in found[:3]]
    assert ["less", "few", "less", "few", "less", "less", "less"] == lanes_of(found[3])
    assert {1} == {pool.workers for pool in found}


@pytest.mark.parametrize(
    ("cpus", "workers", "expected"), [(2, None, 1), (16, None, 8), (2, 4, 4), (2, 99, 50)]
)
def test_workers_leave_room_to_encode(cpus, workers, expected):
    """However many workers are asked for, all fit beside one that encodes."""
    found = make_pools(shards(web=50), shards(a=20, b=20, c=20, d=20, e=20), cpus, workers)

    assert expected == found[0].workers
    assert 5 == len(found)
    assert cpus - 1 >= sum(pool.workers * pool.cpus_each for pool in found)
    assert all(pool.cpus_each > 0 for pool in found)


def test_no_shard_is_lost():
    """Every shard is in exactly one pool."""
    limited = shards(a=1, b=40, c=3, d=3, e=8, f=1)
    found = make_pools(shards(web=7), limited, 4, None)

    assert 7 + len(limited) == sum(len(pool.shards) for pool in found)
    assert {shard.number for shard in limited} == {s.number for pool in found[1:] for s in pool.shards}


@pytest.mark.parametrize(
    ("kind", "count", "rows", "workers", "expected"),
    [
        pytest.param("image", 100, 1000, 2, 8, id="many"),
        pytest.param("image", 100, 100, 2, 8, id="small-ones"),
        pytest.param("image", 100, 2500, 2, 3, id="large-ones"),
        pytest.param("image", 100, 10_000, 2, 2, id="as-large-as-img2dataset's"),
        pytest.param("clip", 100, 100, 2, 4, id="clips"),
        pytest.param("image", 10, 1000, 2, 5, id="half-of-few"),
        pytest.param("image", 3, 10_000, 3, 1, id="one-each"),
    ],
)
def test_shards_in_flight(kind, count, rows, workers, expected):
    """As many as memory allows, and no worker takes what another could begin."""
    assert (
        expected
        == WorkerPool([Shard(number, kind, "web", rows) for number in range(count)], workers, 1).in_flight
    )


def test_nothing_to_fetch():
    """Nothing needs no workers."""
    assert [] == make_pools([], [], 2, None)
