import pytest

from pipelines.errors import ConfigError
from schemas.plan import HostCounts, PlanCounts

AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n"
ROWS = """---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,waterfall burbling,train
--56QUhyDQM,185,playing tennis,train
-5cKpGOs_ow,30,"bird chirping, tweeting",train
"""


def test_a_list_that_adds_nothing_is_worth_a_warning(plan, written):
    """A list named twice, for its captions and for its clips, gives the first only."""
    path = written("a.csv", AUDIOCAPS + "1,b,0,x\n")
    done = plan({"kind": "audiocaps", "list": path, "take": "text"}, {"kind": "audiocaps", "list": path})

    assert ["text"] == done.column("kind")
    assert [f"{path}: every row is in an earlier list, so none is taken from here"] == [*done.counts.warnings]


def test_every_row_is_accounted_for(plan, written, cc):
    """rows_read = candidates + rejects + duplicates, for every list and for all, and the tables agree."""
    done = plan(
        {"kind": "cc3m", "list": written("c.gz", cc(5000))},
        {"kind": "cc12m", "list": written("d.tsv", "http://a.example/1\ta\nhttp://a.example/2\t\nx\n")},
        shard_rows=777,
    )
    counts = done.counts

    assert [(5000, 50, 50, 4900), (3, 1, 0, 2)] == [
        (source.rows_read, source.rejects, source.duplicates, source.candidates) for source in counts.sources
    ]
    assert (5003, 51, 50, 4902) == (counts.rows_read, counts.rejects, counts.duplicates, counts.candidates)
    assert (counts.rejects, 1) == (len(done.rows("rejects")), len(done.rows("filtered")))
    assert counts.keys == counts.candidates - 1 == len(done.candidates)
    assert counts.shards == len(done.shards) == len(done.root.read_table("plan/shards.parquet"))
    assert counts == PlanCounts.model_validate_json(done.root.read("plan/counts.json"))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        pytest.param(
            {"labels": ["tweeting"]},
            r"'tweeting'.*nearest are 'bird chirping, tweeting' \(1 rows\)",
            id="part",
        ),
        pytest.param(
            {"labels": ["playing tenis"]}, r"nearest are 'playing tennis' \(1 rows\)", id="misspelt"
        ),
        pytest.param(
            {"labels": ["Playing Tennis"]}, r"nearest are 'playing tennis' \(1 rows\)", id="capitals"
        ),
        pytest.param({"split": "val"}, r"split 'val'.*'train' \(3 rows\), 'test' \(1 rows\)", id="split"),
    ],
)
def test_names_that_no_row_has(plan, written, named, message):
    """A name that no row has is an error that shows the nearest with their rows."""
    with pytest.raises(ConfigError, match=message):
        plan({"kind": "vggsound", "list": written("v.csv", ROWS)} | named)


def test_hosts_are_counted_with_their_rows_and_urls(plan, written):
    """The most rows first; a domain with a limit is one host, and stays in the list however few it has."""
    urls = ["http://a.example/1", "http://a.example/1", "http://b.example/1", "http://x.photos.test/1"]
    urls += [f"http://c{number}.example/{row}" for number in range(10) for row in range(3)]
    rows = [f"caption {number}\t{url}" for number, url in enumerate([*urls, "file:///local.jpg"])]
    limits = {"*.photos.test": {"connections": 4}}

    done = plan({"kind": "cc3m", "list": written("c.tsv", "\n".join(rows))}, fetch={"limits": limits})

    hosts = done.counts.asked
    assert (13, 33) == (hosts.hosts, hosts.urls)
    assert [(f"c{number}.example", 3, 3) for number in range(10)] == [
        (each.host, each.rows, each.urls) for each in hosts.largest[:10]
    ]
    assert HostCounts(host="*.photos.test", rows=1, urls=1) == hosts.largest[-1]
    assert 11 == len(hosts.largest)
