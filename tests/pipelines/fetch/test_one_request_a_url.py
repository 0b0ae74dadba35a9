from collections import Counter

from jobs.shared.dataset_build import make_media_step
from pipelines.run.runner import Runner
from pipelines.source.plan import make_plan
from pipelines.store.root import Root
from pipelines.store.shards import list_planned
from schemas.dataset import Dataset


def test_a_url_is_asked_for_once_a_run(server, tmp_path):
    """However many rows of however many lists name it, and whatever it answers."""
    urls = [server.url(f"put/plain.jpg?{n}") for n in range(30)]
    urls += [server.url(f"status/404?{n}") for n in range(5)]
    for name in ("one.tsv", "two.tsv"):
        lines = [f"{name} caption {c} of {url}\t{url}\n" for c in range(3) for url in urls]
        (tmp_path / name).write_text("".join(lines))
    dataset = Dataset.model_validate(
        {
            "name": "once",
            "root": str(tmp_path / "data"),
            "shard_rows": 50,
            "sources": [{"kind": "cc3m", "list": str(tmp_path / name)} for name in ("one.tsv", "two.tsv")],
            "fetch": {"allow_private_hosts": True, "retries": 0},
        }
    )
    root = Root.from_url(dataset.root)
    make_plan(dataset, root)
    step = make_media_step(dataset, root)
    runner, shards = Runner(step), list_planned(root)
    for shard in shards:
        assert runner.run(shard)
    found = sum((step.count_outcomes(shard) for shard in shards), Counter())

    assert len(shards) > 1
    assert {"ok": 180, "dead/http_404": 30} == dict(found)
    assert 35 == server.asked.total()
