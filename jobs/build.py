"""Build a dataset: source -> fetch -> filter -> encode -> index. What is there already is not done again.

echolens build animals.yaml
echolens build animals.yaml root=/tmp/try fetch.timeout_s=5
ray job submit --working-dir . -- python -m jobs.build animals.yaml
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from jobs.job import load, run
from jobs.progress import ReadProgress, RowProgress
from jobs.status import funnel, state
from pipelines.storage import Root
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.encode.encoder import Specs
    from pipelines.steps import MediaStep, VectorStep
    from schemas.version import Version

# Read from a tar at a time: two full batches of the usual encoder, 40 MB of prepared pictures.
_BATCH_ROWS = 64


def fetch(dataset: Dataset, root: Root) -> MediaStep:
    """Candidates -> media."""
    from pipelines.fetch.clips import FetchClips
    from pipelines.fetch.images import FetchImages
    from pipelines.filter.captions import DetectLanguage
    from pipelines.filter.pictures import FilterPictures
    from pipelines.filter.sounds import FilterSounds
    from pipelines.steps import MediaStep

    wanted = dataset.filter
    language = DetectLanguage(wanted.language)
    return MediaStep(
        root,
        dataset.shard_rows,
        {
            "image": (
                language,
                FetchImages(dataset.fetch, dataset.contact),
                FilterPictures(wanted.min_side_px, wanted.max_aspect),
            ),
            "clip": (
                language,
                FetchClips(dataset.fetch, dataset.contact),
                FilterSounds(wanted.min_length_s, wanted.silence_dbfs),
            ),
        },
    )


def encode(dataset: Dataset, root: Root, specs: Specs) -> VectorStep:
    """media, or the captions of text candidates -> vectors."""
    from pipelines.encode.encode import Prepare, Vectors
    from pipelines.encode.encoder import spaces_of_specs
    from pipelines.filter.captions import DetectLanguage
    from pipelines.steps import VectorStep

    return VectorStep(
        root,
        dataset.shard_rows,
        {
            "image": (Prepare("image", specs), Vectors("image", specs)),
            "clip": (Prepare("clip", specs), Vectors("clip", specs)),
            "text": (
                DetectLanguage(dataset.filter.language),
                Prepare("text", specs),
                Vectors("text", specs),
            ),
        },
        dataset.encode.set,
        spaces_of_specs(specs),
        _BATCH_ROWS,
    )


def build(dataset: Dataset) -> Version:
    """Bring every row of the lists through, publish a version if there is anything to publish, return it."""
    from pipelines import pin, versions
    from pipelines.encode.resolve import resolve_apart
    from pipelines.engine import Done, Flow, Session
    from pipelines.fetch.checks import check_sources
    from pipelines.shards import planned
    from pipelines.source.plan import make_plan

    root = Root.at(dataset.root)
    root.check()
    check_sources(dataset)
    if pin.is_same(root, dataset) and (version := versions.unchanged(root, dataset.encode.set)):
        return version
    specs = resolve_apart(dataset.encode, pin.spaces_of(root, dataset.encode.set))
    spaces = {family: spec.space for family, spec in specs.items()}
    pin.check(root, dataset, spaces)
    with ReadProgress() as reading:
        make_plan(dataset, root, reading.read)
    pin.pin(root, dataset, spaces)
    shards = planned(root)
    flow = Flow(
        fetch(dataset, root), encode(dataset, root, specs), dataset.fetch.workers, dataset.encode.workers
    )
    with Session() as session, RowProgress("build", sum(shard.rows for shard in shards)) as progress:

        def through(done: Done) -> None:
            progress.add(done.shard.rows, done.outcomes)
            progress.spent(done.seconds)

        session.run(flow, shards, through)
        progress.record(root)
        version = versions.unchanged(root, dataset.encode.set)
        return version or session.once(partial(versions.publish, root, dataset))


def main(argv: Sequence[str]) -> None:
    """Build, and show what became of every row."""
    parser = argparse.ArgumentParser(
        prog="echolens build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="the dataset's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    asked = parser.parse_args(argv)
    dataset = load(asked.file, asked.overrides)
    build(dataset)
    print(funnel(state(Root.at(dataset.root), dataset.encode.set)))


if __name__ == "__main__":
    run(main)
