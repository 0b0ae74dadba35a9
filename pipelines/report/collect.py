"""Everything that a report shows, from the files of a version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.lookup.search import Lookup
from pipelines.report.counts import count_version
from pipelines.report.funnel import OutcomeCount, SourceFunnel, count_outcomes, count_sources
from pipelines.report.history import VersionDiff, list_versions
from pipelines.report.hosts import HostSummary, summarize_hosts
from pipelines.report.near_duplicates import DuplicateStats, find_near_duplicates
from pipelines.report.neighbours import NeighbourPanel, make_panels
from pipelines.report.norms import NormHistogram, count_filled, make_histograms
from pipelines.report.published import PublishedVersion
from pipelines.report.runs import StageTimes, read_stage_times
from pipelines.store import plans
from pipelines.store.root import Root
from pipelines.translate.translator import read_cards
from schemas.candidate import KINDS, Kind
from schemas.dataset import Dataset
from schemas.index_card import IndexCard
from schemas.translator_card import TranslatorCard
from schemas.vectors import COLUMNS
from schemas.version import Version


@dataclass(frozen=True, slots=True)
class VersionReport:
    """A version, as a page shows it.

    Attributes:
        version: its manifest.
        place: the last part of where it lies.
        pocket: whether a pocket model made any of its vectors.
        lists: how many were read.
        through: kind -> rows that came through.
        fates: every other outcome, by reason.
        sources: the funnel of every kind of list.
        hosts: that media were asked of.
        licences: as the lists say -> rows that came through.
        kept: language as the lists say -> rows that came through; None where a list does not say.
        history: the versions of the set.
        alike: near-duplicates among samples of pictures and of sounds.
        translators: cards of what was trained on this dataset, the best first.
        listed: language as the lists say -> candidates; None where a list does not say.
        detected: language as detected -> candidates with media; None where detection was not sure.
        norms: of every vector column.
        indices: their cards.
        panels: queries and their answers.
        took: where the time went; None if no run kept its times.
    """

    version: Version
    place: str
    pocket: bool
    lists: int
    through: dict[Kind, int]
    fates: list[OutcomeCount]
    sources: list[SourceFunnel]
    hosts: Sequence[HostSummary]
    licences: Counter[str | None]
    kept: Counter[str | None]
    history: list[VersionDiff]
    alike: list[DuplicateStats]
    translators: list[TranslatorCard]
    listed: Counter[str | None]
    detected: Counter[str | None]
    norms: list[NormHistogram]
    indices: list[IndexCard]
    panels: list[NeighbourPanel]
    took: StageTimes | None


def gather(root: Root, dataset: Dataset, queries: Sequence[str] = ()) -> VersionReport:
    """Return what there is to say about the current version of a dataset.

    Args:
        root: where it lies.
        dataset: the root's own; its encoders are opened only for `queries`.
        queries: texts to ask beside the sample queries.

    Raises:
        StorageError: no version was published yet.
        ConfigError: there are queries, and the weights of their encoder are missing.
        SpaceError: there are queries, and their encoder is not that of the vectors.
    """
    published = PublishedVersion.read(root, dataset.shard_rows, dataset.encode.set)
    plan = plans.read_counts(root, published.version.plan)
    counts = count_version(published)
    places = count_filled(published)
    lookup = Lookup.open(root, dataset, published.version)
    return VersionReport(
        version=published.version,
        place=published.place,
        pocket=any(space.encoder.endswith(":pocket") for space in published.spaces.values()),
        lists=len(plan.sources),
        through={kind: counts.through[kind] for kind in KINDS},
        fates=count_outcomes(published.version),
        sources=count_sources(plan, counts.by_source),
        hosts=summarize_hosts(counts.by_host),
        licences=counts.licences,
        kept=counts.kept,
        history=list_versions(root, published.version.set),
        alike=find_near_duplicates(published, lookup, places),
        translators=_translators(root),
        listed=counts.listed,
        detected=counts.detected,
        norms=make_histograms(published, places),
        indices=[lookup.cards[column] for column in COLUMNS if column in lookup.cards],
        panels=make_panels(published, lookup, places, queries),
        took=read_stage_times(root),
    )


def _translators(root: Root) -> list[TranslatorCard]:
    return sorted(read_cards(root), key=lambda card: (card.source, card.target, -card.scores.cosine))
