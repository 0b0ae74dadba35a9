import hashlib

import pytest

from pipelines.errors import StopJob
from schemas.candidate import make_candidate_id

AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n"


def test_first_in_list_order_wins(plan, written):
    """Rows equal in URL, start and caption are one candidate, over all lists; the first one stands."""
    one = written(
        "one.tsv", "a dog\thttp://a.example/1\na dog \t http://a.example/1\na cat\thttp://a.example/1\n"
    )
    two = written("two.tsv", "http://a.example/1\ta dog\nhttp://a.example/2\ta dog\n")
    clips = written("a.csv", AUDIOCAPS + "1,b,0,x\n2,b,10,x\n3,b,10.0004,x\n4,b,10,y\n")
    done = plan(
        {"kind": "cc3m", "list": one}, {"kind": "cc12m", "list": two}, {"kind": "audiocaps", "list": clips}
    )

    assert [(3, 1, 2), (2, 1, 1), (4, 1, 3)] == [
        (source.rows_read, source.duplicates, source.candidates) for source in done.counts.sources
    ]
    assert [("cc3m", 0), ("cc3m", 2), ("cc12m", 1), ("audiocaps", 0), ("audiocaps", 1), ("audiocaps", 3)] == [
        (row["source"], row["source_row"]) for row in done.candidates
    ]


def test_an_unwanted_row_does_not_hide_a_wanted_one(plan, written):
    """Of equal rows the first that its list does not rule out is the candidate."""
    rows = "abcdefghijk,1,dog,test\nabcdefghijk,1,dog,train\nabcdefghijk,1,dog,test\n"
    done = plan({"kind": "vggsound", "list": written("v.csv", rows), "split": "train"})

    assert [1] == done.column("source_row")
    assert (1, 2, {}) == (done.counts.candidates, done.counts.duplicates, done.counts.filtered)


def test_no_room(plan, written, cc):
    """Too little memory and no room to spill is one sentence, and nothing is written."""
    with pytest.raises(StopJob, match=r"do not fit into .*set TMPDIR to a larger disk"):
        plan({"kind": "cc3m", "list": written("c.gz", cc(30_000))}, memory="4MiB")


def test_ids_say_what_a_row_is(plan, written):
    """The id in the table is that of `make_candidate_id`, and no two candidates share one."""
    clips = written("a.csv", AUDIOCAPS + "1,b,0,größer \n2,b,12.3456,x\n")
    pictures = written("c.tsv", "a dog\thttp://a.example/ü\n")
    done = plan({"kind": "audiocaps", "list": clips}, {"kind": "cc3m", "list": pictures})
    expected = [
        make_candidate_id(row["source"], row["url"], row["start_s"], row["caption"])
        for row in done.candidates
    ]

    assert expected == done.column("id")
    assert 3 == len(set(expected))
    assert hashlib.sha256(b"cc3m\0http://a.example/\xc3\xbc\0\0a dog").hexdigest()[:32] == expected[2]
