"""Build a dataset, or the rows that a refresh has planned: run every shard through the steps and publish."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from jobs.shared.progress import ReadProgress, RowProgress
from pipelines.store.root import Root
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.encode.encoder import EncoderSpecs
    from pipelines.maintain.verify import DamagedFile
    from pipelines.run.build_steps import MediaStep, VectorStep
    from pipelines.store.lease import Lease
    from schemas.version import Version

# Rows read from a tar at a time: 10 MB of prepared pictures. The nets' batches are filled across them.
_BATCH_ROWS = 16
# Damaged files that a line names.
_FILES_NAMED = 3


def make_media_step(dataset: Dataset, root: Root) -> MediaStep:
    """Return the step candidates -> media."""
    from pipelines.fetch.stages import FetchClips, FetchImages
    from pipelines.filter.captions import DetectLanguage
    from pipelines.filter.custom import make_custom_stages
    from pipelines.filter.frames import FilterFrames
    from pipelines.filter.pictures import FilterPictures
    from pipelines.filter.sounds import FilterSounds
    from pipelines.run.build_steps import MediaStep
    from pipelines.source.registry import find_origins

    limits, own, origins = dataset.filter, make_custom_stages(dataset), find_origins(dataset)
    language = DetectLanguage(limits.language)
    return MediaStep(
        root,
        dataset.shard_rows,
        {
            "image": (
                language,
                FetchImages(dataset.fetch, dataset.contact, origins),
                FilterPictures(limits.min_side_px, limits.max_aspect),
                *own["image"],
            ),
            "clip": (
                language,
                FetchClips(dataset.fetch, dataset.contact, origins),
                FilterSounds(limits.min_length_s, limits.silence_dbfs, limits.max_full_scale_share),
                FilterFrames(limits.min_frame_change),
                *own["clip"],
            ),
        },
    )


def make_vector_step(dataset: Dataset, root: Root, specs: EncoderSpecs) -> VectorStep:
    """Return the step media, or the captions of text candidates -> vectors."""
    from pipelines.encode.encoder import get_spaces
    from pipelines.encode.segments import add_segment_stages
    from pipelines.encode.stages import DecodeStage, EncodeStage
    from pipelines.filter.captions import DetectLanguage
    from pipelines.filter.custom import make_custom_stages
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
                *make_custom_stages(dataset)["text"],
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
    """Process every row of the lists, publish a version if there is anything to publish, and return it.

    Args:
        dataset: its configuration.
        verify: whether the bytes of all files are compared with the version's hashes, not only their sizes.
    """
    from pipelines.encode.encoder import get_spaces
    from pipelines.maintain.verify import find_damage
    from pipelines.source.plan import make_plan
    from pipelines.store import dataset_file, versions
    from pipelines.store.lease import hold_lease

    root = Root.from_url(dataset.root)
    root.check()
    check_before(dataset, root)
    version = versions.find_unchanged(root, dataset.encode.set)
    damaged = find_damage(root, [version], verify) if version else []
    if version and not damaged and dataset_file.is_same(root, dataset):
        return version
    dataset_file.check_planned(root, dataset)
    specs = resolve_encoders(dataset, root)
    with hold_lease(root, "build") as lease:
        with ReadProgress() as progress:
            make_plan(dataset, root, progress.show_rows)
        dataset_file.pin(root, dataset, get_spaces(specs))
        return finish_build(dataset, root, specs, lease, damaged)


def check_before(dataset: Dataset, root: Root) -> None:
    """Refuse what a build or a refresh could not bring through, before it writes anything.

    Raises:
        ConfigError: a list, a filter or the way to its media cannot be, or the root is of another dataset.
    """
    from pipelines.source.checks import check_sources
    from pipelines.store import dataset_file

    check_sources(dataset)
    make_media_step(dataset, root)
    dataset_file.check(root, dataset)


def resolve_encoders(dataset: Dataset, root: Root) -> EncoderSpecs:
    """Return the encoders of a dataset, once it is sure that its vectors stay in their spaces."""
    from pipelines.encode.encoder import get_spaces
    from pipelines.encode.resolve import resolve_in_subprocess
    from pipelines.store import dataset_file

    specs = resolve_in_subprocess(dataset.encode, dataset_file.read_spaces(root, dataset.encode.set))
    dataset_file.check_spaces(root, dataset, get_spaces(specs))
    return specs


def finish_build(  # noqa: PLR0913, PLR0917 - the state of a job by then
    dataset: Dataset,
    root: Root,
    specs: EncoderSpecs,
    lease: Lease,
    damaged: Sequence[DamagedFile] = (),
    job: str = "build",
) -> Version:
    """Process what remains of every plan and publish it, unless it is published already.

    Args:
        dataset: its configuration.
        root: where its plans are.
        specs: the encoders.
        lease: of the root.
        damaged: files of the current version to make again.
        job: the verb, for progress.
    """
    from pipelines.maintain.publish import publish
    from pipelines.maintain.verify import find_rewritten, quarantine
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining
    from pipelines.store import plans, versions

    again = quarantine(root, damaged)
    if damaged:
        print(f"{job}: {_format_damage(damaged, again)}", file=sys.stderr)
    steps = PlanSteps(
        make_vector_step(dataset, root, specs),
        make_media_step(dataset, root),
        dataset.encode.workers,
        dataset.fetch.workers,
    )
    remaining = find_remaining(steps, plans.list_shards(root))
    with Session() as session, RowProgress(job, remaining.rows) as progress:

        def on_shard(result: ShardResult) -> None:
            lease.check()
            progress.add(result.shard.rows, result.outcomes)
            progress.add_seconds(result.seconds)

        session.run(steps, remaining, on_shard, progress.show_traffic)
        lease.check()
        version = versions.find_unchanged(root, dataset.encode.set)
        # Tables and indices of a version have no shard.
        from_scratch = any(file.shard is None for file in damaged)
        if version and not from_scratch and not find_rewritten(root, version, again):
            return version
        return session.run_task(partial(publish, root, dataset, again, from_scratch))


def _format_damage(damaged: Sequence[DamagedFile], again: Collection[int]) -> str:
    names = ", ".join(file.path for file in damaged[:_FILES_NAMED])
    names += ", ..." if len(damaged) > _FILES_NAMED else ""
    shards = (
        f"; shards made again: {len(again):,}, and what was whole of them stays in runs/" if again else ""
    )
    return f"files damaged or missing: {len(damaged):,} ({names}){shards}"


def warn_shortfalls(dataset: Dataset, version: Version) -> None:
    """Print which indices have a lower recall than the dataset's file asks for."""
    from pipelines.index.files import find_shortfalls

    for sentence in find_shortfalls(Root.from_url(dataset.root), version):
        print(f"echolens: {sentence}", file=sys.stderr)
