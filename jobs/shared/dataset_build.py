"""Build a dataset, or the rows that a refresh has planned: run every shard through the steps and publish."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jobs.shared.progress import ReadProgress, RowProgress
from jobs.shared.trust import check_uses
from pipelines.errors import ConfigError
from pipelines.store.root import Root
from schemas.candidate import KINDS, Kind
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.encode.encoder import EncoderSpecs
    from pipelines.maintain.verify import DamagedFile
    from pipelines.run.build_steps import MediaStep, VectorStep
    from pipelines.source.listed.choice import ListedSet
    from pipelines.stage import Stage
    from pipelines.store.lease import Lease
    from schemas.families import Column
    from schemas.space import Space
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


@dataclass(frozen=True)
class VectorMakers:
    """What fills the set of a dataset.

    Attributes:
        specs: its encoders.
        listed: the vectors that its list brings in their place, if it does.
    """

    specs: EncoderSpecs
    listed: ListedSet | None = None

    @property
    def spaces(self) -> Mapping[Column, Space]:
        """The space of every column of the set."""
        from pipelines.encode.encoder import get_spaces

        return self.listed.spaces if self.listed else get_spaces(self.specs)


def make_vector_step(dataset: Dataset, root: Root, makers: VectorMakers) -> VectorStep:
    """Return the step media, or the captions of text candidates -> vectors."""
    from pipelines.encode.segment_stages import add_segment_stages
    from pipelines.encode.stages import DecodeStage, EncodeStage
    from pipelines.filter.captions import DetectLanguage
    from pipelines.filter.custom import make_custom_stages
    from pipelines.run.build_steps import VectorStep
    from pipelines.source.listed.stage import TakeListedVectors

    segment, specs = dataset.encode.segment, makers.specs
    # Of clips alone: other rows have no sound, and their stages stay what they were.
    windowed = _find_windowed(dataset, makers)
    kept = {"clip": windowed}
    encode: dict[Kind, tuple[Stage, ...]] = {
        # Without encoders a shard is done when its media are.
        kind: (DecodeStage(kind, specs, windowed=kept.get(kind)), EncodeStage(kind, specs, kept.get(kind)))
        if specs
        else ()
        for kind in KINDS
    }
    texts: tuple[Stage, ...] = (DetectLanguage(dataset.filter.language), *make_custom_stages(dataset)["text"])
    of_texts = (TakeListedVectors(makers.listed),) if makers.listed else encode["text"]
    segments: tuple[Stage, ...] = add_segment_stages(segment, specs, dataset.encode.trusted) if specs else ()
    return VectorStep(
        root,
        dataset.shard_rows,
        {
            "image": encode["image"],
            "clip": (*segments, *encode["clip"]),
            "text": (*texts, *of_texts),
        },
        dataset.encode.set,
        makers.spaces,
        _BATCH_ROWS,
        segment,
        windowed,
    )


def _find_windowed(dataset: Dataset, makers: VectorMakers) -> Column | None:
    from schemas.windows import find_windowed

    if not dataset.encode.windows:
        return None
    found = find_windowed(makers.spaces) if makers.specs else None
    if found is None:
        raise ConfigError(
            f"encode.windows: set {dataset.encode.set!r} has no encoder of sounds whose windows could be "
            "kept; name one, as in encode.clap, or leave encode.windows out"
        )
    return found


def build(dataset: Dataset, verify: bool = False) -> Version:
    """Process every row of the lists, publish a version if there is anything to publish, and return it.

    Args:
        dataset: its configuration.
        verify: whether the bytes of all files are compared with the version's hashes, not only their sizes.
    """
    from pipelines.maintain.verify import find_damage
    from pipelines.source.plan import make_plan
    from pipelines.store import dataset_file, versions
    from pipelines.store.lease import hold_lease

    root = Root.from_dataset(dataset)
    root.check()
    dataset = dataset_file.adopt_orientation(root, dataset)
    check_before(dataset, root)
    version = versions.find_unchanged(root, dataset.encode.set)
    damaged = find_damage(root, [version], verify) if version else []
    if version and not damaged and dataset_file.is_same(root, dataset):
        return version
    dataset_file.check_planned(root, dataset)
    makers = resolve_makers(dataset, root)
    with hold_lease(root, "build") as lease:
        with ReadProgress() as progress:
            counts = make_plan(dataset, root, progress.show_rows)
        for warning in counts.warnings:
            print(f"build: warning: {warning}", file=sys.stderr)
        dataset_file.pin(root, dataset, makers.spaces)
        return finish_build(dataset, root, makers, lease, damaged)


def check_before(dataset: Dataset, root: Root) -> None:
    """Refuse what a build or a refresh could not bring through, before it writes anything.

    Raises:
        ConfigError: a list, a filter or the way to its media cannot be, or only a root names it, or the root
            is of another dataset.
    """
    from pipelines.source.checks import check_sources
    from pipelines.store import dataset_file

    check_uses(dataset, "build")
    check_sources(dataset)
    make_media_step(dataset, root)
    dataset_file.check(root, dataset)


def resolve_makers(dataset: Dataset, root: Root) -> VectorMakers:
    """Return what fills the set of a dataset, once it is sure that its vectors stay in their spaces."""
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.encode.resolve import resolve_in_subprocess
    from pipelines.source.listed.choice import find_listed_set
    from pipelines.store import dataset_file

    specs = resolve_in_subprocess(dataset.encode, dataset_file.read_spaces(root, dataset.encode.set))
    # In a process of its own where encoders are loaded to be compared.
    is_listed = any((source.model_extra or {}).get("vectors") for source in dataset.sources)
    listed = run_in_subprocess(find_listed_set, dataset, specs) if is_listed else None
    makers = VectorMakers(specs, listed)
    dataset_file.check_spaces(root, dataset, makers.spaces)
    return makers


def check_vectors(dataset: Dataset, root: Root) -> None:
    """Refuse vectors of a list that a build would refuse; encoders are loaded if it claims the space of one.

    Raises:
        ConfigError: other lists are beside it, or it claims a space that it cannot have.
        SpaceError: its vectors are not in the space that it claims.
    """
    from pipelines.source.listed.choice import choose_listed

    chosen = choose_listed(dataset, dataset.encode.entries)
    if chosen is not None and chosen.claims is not None:
        resolve_makers(dataset, root)


def finish_build(  # noqa: PLR0913, PLR0917 - the state of a job by then
    dataset: Dataset,
    root: Root,
    makers: VectorMakers,
    lease: Lease,
    damaged: Sequence[DamagedFile] = (),
    job: str = "build",
) -> Version:
    """Process what remains of every plan and publish it, unless it is published already.

    Args:
        dataset: its configuration.
        root: where its plans are.
        makers: of the vectors.
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
        make_vector_step(dataset, root, makers),
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


def check_samples(dataset: Dataset, version: Version) -> None:
    """Refuse to call a version done that has not one sample.

    Raises:
        NoSampleError: it has none, with the reason that most rows have.
    """
    from pipelines.errors import NoSampleError
    from pipelines.source.row_warnings import get_advice
    from pipelines.store import plans

    if version.outcomes.get("ok"):
        return
    root = Root.from_dataset(dataset)
    rejects = plans.read_counts(root, plans.list_folders(root)[-1]).reject_reasons
    reasons = Counter({reason: rows for reason, rows in version.reasons.items() if rows})
    reasons.update({f"reject/{reason}": rows for reason, rows in rejects.items()})
    reason, rows = min(reasons.items(), key=lambda item: (-item[1], item[0]), default=("duplicate", 0))
    raise NoSampleError(
        f"version {version.number} of {root.url} has not one sample of {version.rows_read:,} rows: {rows:,} "
        f"are {reason!r}; {get_advice(reason)}"
    )


def warn_shortfalls(dataset: Dataset, version: Version) -> None:
    """Print which indices have a lower recall than the dataset's file asks for."""
    from pipelines.index.files import find_shortfalls

    for sentence in find_shortfalls(Root.from_dataset(dataset), version):
        print(f"echolens: {sentence}", file=sys.stderr)
