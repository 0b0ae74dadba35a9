"""Build a dataset: source -> fetch -> filter -> encode -> index. What is there already is not done again.

echolens build animals.yaml
echolens build animals.yaml root=/tmp/try fetch.timeout_s=5
echolens build animals.yaml --verify
echolens build animals.yaml --address http://head:8265
ray job submit --working-dir . -- python -m jobs.build animals.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress, RowProgress
from jobs.shared.submit import add_address, submit
from jobs.status import format_funnel, read_state
from pipelines.store.root import Root
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.encode.encoder import EncoderSpecs
    from pipelines.maintain.verify import DamagedFile
    from pipelines.run.build_steps import MediaStep, VectorStep
    from pipelines.store.lease import Lease
    from schemas.version import Version

# Read from a tar at a time: 10 MB of prepared pictures. The nets' batches are filled across them.
_BATCH_ROWS = 16
# Of the damaged files, that a line names.
_NAMED = 3


def fetch(dataset: Dataset, root: Root) -> MediaStep:
    """Candidates -> media."""
    from pipelines.fetch.stages import FetchClips, FetchImages
    from pipelines.filter.captions import DetectLanguage
    from pipelines.filter.frames import FilterFrames
    from pipelines.filter.pictures import FilterPictures
    from pipelines.filter.sounds import FilterSounds
    from pipelines.run.build_steps import MediaStep

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
                FilterSounds(wanted.min_length_s, wanted.silence_dbfs, wanted.max_full_scale_share),
                FilterFrames(wanted.min_frame_change),
            ),
        },
    )


def encode(dataset: Dataset, root: Root, specs: EncoderSpecs) -> VectorStep:
    """media, or the captions of text candidates -> vectors."""
    from pipelines.encode.encoder import get_spaces
    from pipelines.encode.segments import add_segment_stages
    from pipelines.encode.stages import DecodeStage, EncodeStage
    from pipelines.filter.captions import DetectLanguage
    from pipelines.run.build_steps import VectorStep

    segment = dataset.encode.segment
    return VectorStep(
        root,
        dataset.shard_rows,
        {
            "image": (DecodeStage("image", specs), EncodeStage("image", specs)),
            "clip": (
                *add_segment_stages(segment, specs),
                DecodeStage("clip", specs),
                EncodeStage("clip", specs),
            ),
            "text": (
                DetectLanguage(dataset.filter.language),
                DecodeStage("text", specs),
                EncodeStage("text", specs),
            ),
        },
        dataset.encode.set,
        get_spaces(specs),
        _BATCH_ROWS,
        segment,
    )


def build(dataset: Dataset, verify: bool = False) -> Version:
    """Bring every row of the lists through, publish a version if there is anything to publish, return it.

    Args:
        dataset: what is wanted.
        verify: whether the bytes of all files are compared with what the version says, not only their sizes.
    """
    from pipelines.fetch.checks import check_sources
    from pipelines.maintain.verify import find_damage
    from pipelines.source.plan import make_plan
    from pipelines.store import dataset_file, lease, versions

    root = Root.from_url(dataset.root)
    root.check()
    check_sources(dataset)
    dataset_file.check(root, dataset)
    version = versions.find_unchanged(root, dataset.encode.set)
    damaged = find_damage(root, [version], verify) if version else []
    if version and not damaged and dataset_file.is_same(root, dataset):
        return version
    dataset_file.check_planned(root, dataset)
    specs = resolve(dataset, root)
    with lease.hold_lease(root, "build") as held:
        with ReadProgress() as reading:
            make_plan(dataset, root, reading.read)
        dataset_file.pin(root, dataset, {family: spec.space for family, spec in specs.items()})
        return finish(dataset, root, specs, held, damaged)


def resolve(dataset: Dataset, root: Root) -> EncoderSpecs:
    """Return the encoders of a dataset, once it is sure that its vectors stay in their spaces."""
    from pipelines.encode.resolve import resolve_apart
    from pipelines.store import dataset_file

    specs = resolve_apart(dataset.encode, dataset_file.read_spaces(root, dataset.encode.set))
    dataset_file.check_spaces(root, dataset, {family: spec.space for family, spec in specs.items()})
    return specs


def finish(  # noqa: PLR0913, PLR0917 - what a job has made by then
    dataset: Dataset,
    root: Root,
    specs: EncoderSpecs,
    held: Lease,
    damaged: Sequence[DamagedFile] = (),
    job: str = "build",
) -> Version:
    """Bring every shard of every plan through and publish what there is, unless it is published.

    Args:
        dataset: what is wanted.
        root: where its plan lies.
        specs: the encoders.
        held: the lease of the root.
        damaged: files of the current version that are made again.
        job: the verb, for progress.
    """
    from pipelines.maintain.publish import publish
    from pipelines.maintain.verify import find_rewritten, quarantine
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining
    from pipelines.store import plans, versions

    again = quarantine(root, damaged)
    if damaged:
        print(f"{job}: {_mended(damaged, again)}", file=sys.stderr)
    flow = PlanSteps(
        encode(dataset, root, specs), fetch(dataset, root), dataset.encode.workers, dataset.fetch.workers
    )
    left = find_remaining(flow, plans.list_shards(root))
    with Session() as session, RowProgress(job, left.rows) as progress:

        def through(done: ShardResult) -> None:
            held.check()
            progress.add(done.shard.rows, done.outcomes)
            progress.spent(done.seconds)

        session.run(flow, left, through, progress.traffic)
        held.check()
        version = versions.find_unchanged(root, dataset.encode.set)
        torn = any(damage.shard is None for damage in damaged)
        if version and not torn and not find_rewritten(root, version, again):
            return version
        return session.run_task(partial(publish, root, dataset, again, torn))


def _mended(damaged: Sequence[DamagedFile], again: Collection[int]) -> str:
    names = ", ".join(damage.path for damage in damaged[:_NAMED]) + (", ..." if len(damaged) > _NAMED else "")
    shards = (
        f"; shards made again: {len(again):,}, and what was whole of them stays in runs/" if again else ""
    )
    return f"files damaged or missing: {len(damaged):,} ({names}){shards}"


def warn(dataset: Dataset, version: Version) -> None:
    """Say which indices find less than was wanted."""
    from pipelines.index.files import find_shortfalls

    for said in find_shortfalls(Root.from_url(dataset.root), version):
        print(f"echolens: {said}", file=sys.stderr)


def main(argv: Sequence[str]) -> None:
    """Build, and show what became of every row."""
    parser = argparse.ArgumentParser(
        prog="echolens build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="the dataset's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--verify", action="store_true", help="read all files; make damaged ones again")
    add_address(parser)
    asked = parser.parse_intermixed_args(argv)
    if asked.address:
        flags = ["--verify"] if asked.verify else []
        sys.exit(submit(asked.address, "build", asked.file, asked.overrides, flags))
    dataset = load(asked.file, asked.overrides)
    warn(dataset, build(dataset, asked.verify))
    print(format_funnel(read_state(Root.from_url(dataset.root), dataset.encode.set)))


if __name__ == "__main__":
    run(main)
