"""What the verbs read of a root, called in this process without writing to it."""

import asyncio
import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.shared.evaluation import find_rows
from jobs.shared.funnel import format_funnel, read_state
from jobs.shared.job import load
from jobs.shared.trained import format_trained, list_trained
from jobs.status import compare_versions, format_history
from pipelines.errors import EcholensError
from pipelines.export.version import ExportedVersion
from pipelines.generate.output import find_card, read_rows, read_samples
from pipelines.index.files import find_shortfalls
from pipelines.lookup.search import Lookup
from pipelines.maintain.clean import clean
from pipelines.maintain.publish import publish
from pipelines.maintain.purge import purge
from pipelines.maintain.refresh import RefreshOptions, compare
from pipelines.maintain.verify import find_damage, read_all_versions
from pipelines.report.collect import collect_report
from pipelines.report.page import render
from pipelines.serve.replica import SearchReplica
from pipelines.serve.settings import ServiceSettings
from pipelines.source.database import DEFAULT_SIZE
from pipelines.store import dataset_file, lease, models, plans, versions
from pipelines.store.counts import compute_digest, count
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_candidates, read_media, read_stats
from pipelines.store.split_groups import read_groups
from pipelines.translate.translator import Translator, list_names, read_cards
from schemas.evaluation import EvaluationManifest
from schemas.query import Query, RowFilter
from schemas.strict import Trust
from schemas.training import SplitSettings

KEY = "0000200"


def read_dataset(root: Root) -> None:
    """As every verb begins, and what build checks of dataset.json."""
    dataset = load(root.url)
    dataset_file.check(root, dataset)
    dataset_file.check_planned(root, dataset)
    dataset_file.is_same(root, dataset)
    for name in dataset_file.list_sets(root):
        dataset_file.with_vector_set(root, dataset, name)
        dataset_file.check_spaces(root, dataset, dataset_file.read_spaces(root, name))


def read_status(root: Root) -> None:
    """`status`, `status --json`, `--digest`, `--changes`."""
    dataset = load(root.url)
    numbers, trained = read_state(root, dataset.encode.set), list_trained(root)
    json.dumps([numbers, trained, compute_digest(root, dataset_file.list_sets(root))])
    "\n".join([format_funnel(numbers), format_history(root), format_trained(trained)])
    compare_versions(*(versions.read_version(root, number) for number in versions.list_numbers(root)[-2:]))
    find_shortfalls(root, versions.read_current(root, dataset.encode.set))


def read_build(root: Root) -> None:
    """What a build under way reads: plans, candidates, media and outcomes."""
    dataset, folders = load(root.url), plans.list_folders(root)
    lease.read_lease(root)
    for folder in folders:
        plans.read_counts(root, folder)
    plans.read_superseded(root), plans.read_unlisted(root), plans.read_dead(root), plans.read_missing(root)
    shards = plans.list_shards(root)
    versions.find_unchanged(root, dataset.encode.set)
    count(root, dataset.encode.set, shards, folders[-1])
    for shard in shards:
        read_candidates(root, shard, dataset.shard_rows)
        if shard.kind != "text":
            read_stats(root, shard)
            list(read_media(root, shard, 10))


def read_lookup(root: Root) -> None:
    """`lookup` by key, with filters, through a translator, and the media of a row."""
    dataset = load(root.url)
    lookup = Lookup.open(root, dataset, versions.read_current(root, dataset.encode.set))
    lookup.answer(Query(key=KEY, into="clip_image", k=3, vectors=True)).model_dump_json()
    lookup.answer(Query(key=KEY, into="clip_text", of="clip_image", k=3, distinct=True))
    lookup.answer(Query(key=KEY, into="clip_image", k=3, only=RowFilter(sources=("folder",), min_side_px=8)))
    lookup.read_media(KEY)


def read_trained(root: Root) -> None:
    """Translators and models, their listings and their weights."""
    read_cards(root), models.read_models(root)
    for name in list_names(root):
        Translator.open(root, name)
    for name in models.list_models(root):
        models.find_model_folder(root, name)


def read_generated(root: Root) -> None:
    """The rows and samples of everything that was generated."""
    for name in root.list_folders("generated"):
        if card := find_card(root, name):
            shards = [Shard(number, "clip", "local", 1) for number in range(min(card.shards, 3))]
            list(read_rows(root, name, shards))
            [list(read_samples(root, name, shard)) for shard in shards]


def read_evaluated(root: Root) -> None:
    """What was asked of an evaluation, its table, and the groups of near copies that its rows are of."""
    dataset = load(root.url)
    for name in root.list_folders("evaluations"):
        manifest = read_json(root, f"evaluations/{name}/wanted.json", EvaluationManifest, "evaluate again")
        find_rows(root, manifest.model_copy(update={"name": name}))
    read_groups(root, plans.list_shards(root), dataset.shard_rows, SplitSettings())


def read_report(root: Root) -> None:
    """`report`: everything of a version, and its page."""
    render(collect_report(root, load(root.url), ()))


def read_maintenance(root: Root) -> None:
    """`clean`, `clean --purge` and `status --verify`, which change nothing."""
    clean(root, 1, yes=False)
    purge(load(root.url), [KEY], yes=False)
    find_damage(root, read_all_versions(root), compare_hashes=True)


def read_export(root: Root) -> None:
    """`export`."""
    dataset = load(root.url)
    version = versions.read_current(root, dataset.encode.set)
    exported = ExportedVersion(root, dataset.shard_rows, version)
    for column in exported.columns:
        for _ in exported.read_shards([column]):
            pass


def read_service(root: Root) -> None:
    """The service's About."""
    replica = SearchReplica(load(root.url), ServiceSettings(page=False), Path(root.url).parent / "service")
    asyncio.run(replica.describe()).model_dump_json()


def read_publish(root: Root) -> None:
    """`build` at its end, in a copy."""
    with TemporaryDirectory(dir=Path(root.url).parent / "copies") as folder:
        copy = Root.from_url(f"{folder}/root")
        shutil.copytree(root.url, copy.url)
        (Path(copy.url) / "lease.json").unlink()
        publish(copy, load(copy.url))


def read_refresh(root: Root) -> None:
    """`refresh` up to its plan, in a copy."""
    with TemporaryDirectory(dir=Path(root.url).parent / "copies") as folder:
        copy = Root.from_url(f"{folder}/root")
        shutil.copytree(root.url, copy.url)
        # As with --trust-root: else its lists would not be read.
        dataset = load(copy.url, trust=Trust(whole_root=True))
        version = versions.find_current(copy, dataset.encode.set)
        compare(Path(folder), lambda *_: None, dataset, copy, version, RefreshOptions(), DEFAULT_SIZE)


READERS = {
    reader.__name__.removeprefix("read_"): reader
    for reader in (
        read_dataset, read_status, read_build, read_lookup, read_trained, read_generated, read_evaluated,
        read_report,
        read_maintenance, read_export, read_service, read_publish, read_refresh,
    )
}  # fmt: skip
# What reads a file, by the folder that it lies in.
_OF_FOLDER = {
    "dataset.json": tuple(READERS),
    "versions": tuple(READERS),
    "plan": ("status", "build", "report", "maintenance", "publish", "refresh"),
    "candidates": ("build", "lookup", "evaluated", "report", "export", "maintenance", "publish", "refresh"),
    "media": ("status", "build", "lookup", "report", "maintenance", "publish", "refresh"),
    "vectors": ("status", "build", "lookup", "report", "export", "maintenance", "publish", "refresh"),
    "indices": ("status", "lookup", "report", "service", "maintenance", "publish"),
    "translators": ("status", "trained", "report", "service"),
    "models": ("status", "trained", "report"),
    "generated": ("generated", "maintenance"),
    "evaluations": ("evaluated", "maintenance"),
    "splits": ("evaluated", "maintenance"),
    "runs": ("report",),
    "lease.json": ("build",),
}


def list_readers(file: str) -> tuple[str, ...]:
    """Return the names of the readers of a file."""
    return _OF_FOLDER[file.partition("/")[0]]


def run_reader(name: str, root: Root) -> str:
    """Return `ok`, `sentence` or `broken` with what went wrong."""
    try:
        with redirect_stdout(io.StringIO()):
            READERS[name](root)
    except EcholensError as error:
        torn = "\n" in str(error) or len(str(error)) > 12_000
        return f"torn: {error}" if torn else f"sentence: {error}"
    return "ok"
