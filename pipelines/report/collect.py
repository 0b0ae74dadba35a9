"""Collect everything that a report shows from the files of a version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.lookup.search import Lookup
from pipelines.report.counts import count_version
from pipelines.report.funnel import (
    HostSummary,
    OutcomeCount,
    SourceFunnel,
    count_outcomes,
    count_sources,
    summarize_hosts,
)
from pipelines.report.history import StageTimes, VersionDiff, list_versions, read_stage_times
from pipelines.report.near_duplicates import DuplicateStats, find_near_duplicates
from pipelines.report.neighbours import NeighbourPanel, make_panels
from pipelines.report.norms import NormHistogram, make_histograms, read_fills
from pipelines.report.published import PublishedVersion
from pipelines.store import plans
from pipelines.store.dataset_file import adopt_orientation
from pipelines.store.models import read_models
from pipelines.store.root import Root
from pipelines.translate.translator import read_cards
from schemas.candidate import KINDS, Kind
from schemas.dataset import Dataset
from schemas.families import sort_columns
from schemas.fetch import Orientation
from schemas.index_card import IndexCard
from schemas.model_card import ModelCard
from schemas.translator_card import TranslatorCard
from schemas.version import Version


@dataclass(frozen=True, slots=True)
class VersionReport:
    """What a report shows of a version.

    Attributes:
        version: its manifest.
        folder_name: the last part of the root's URL.
        orientation: of pictures.
        pocket: whether a pocket model encoded any of its vectors.
        lists: how many were read.
        ok_by_kind: kind -> rows whose outcome is ok.
        outcomes: every other outcome, with its reasons.
        sources: the funnel of every kind of list.
        hosts: that media were fetched from.
        licences: licence in the lists -> rows whose outcome is ok.
        ok_languages: language in the lists -> rows whose outcome is ok; None where a list has none.
        history: the versions of the set.
        near_duplicates: in samples of pictures and of sounds.
        translators: cards of those trained on this dataset, the highest cosine first.
        models: cards of what other tasks have trained, by name.
        listed_languages: language in the lists -> candidates; None where a list has none.
        detected_languages: detected language -> candidates with media; None where detection was not sure.
        norms: of every vector column.
        indices: their cards.
        panels: sample queries and their hits.
        stage_times: of all runs; None if no run has a record.
    """

    version: Version
    folder_name: str
    orientation: Orientation
    pocket: bool
    lists: int
    ok_by_kind: dict[Kind, int]
    outcomes: list[OutcomeCount]
    sources: list[SourceFunnel]
    hosts: Sequence[HostSummary]
    licences: Counter[str | None]
    ok_languages: Counter[str | None]
    history: list[VersionDiff]
    near_duplicates: list[DuplicateStats]
    translators: list[TranslatorCard]
    models: list[ModelCard]
    listed_languages: Counter[str | None]
    detected_languages: Counter[str | None]
    norms: list[NormHistogram]
    indices: list[IndexCard]
    panels: list[NeighbourPanel]
    stage_times: StageTimes | None


def collect_report(root: Root, dataset: Dataset, queries: Sequence[str] = ()) -> VersionReport:
    """Return the report of the current version of a dataset.

    Args:
        root: of the dataset.
        dataset: as its root has it; its encoders are opened only for `queries`.
        queries: texts to search for beside the sample queries.

    Raises:
        StorageError: no version was published yet.
        ConfigError: there are queries, and the weights of their encoder are missing.
        SpaceError: there are queries, and their encoder has another space than the vectors.
    """
    published = PublishedVersion.read(root, dataset.shard_rows, dataset.encode.set)
    plan = plans.read_counts(root, published.version.plan)
    counts = count_version(published)
    fills = read_fills(published)
    lookup = Lookup.open(root, dataset, published.version)
    return VersionReport(
        version=published.version,
        folder_name=published.folder_name,
        orientation=adopt_orientation(root, dataset).fetch.orientation,
        pocket=any(space.encoder.endswith(":pocket") for space in published.spaces.values()),
        lists=len(plan.sources),
        ok_by_kind={kind: counts.ok_by_kind[kind] for kind in KINDS},
        outcomes=count_outcomes(published.version),
        sources=count_sources(plan, counts.by_source),
        hosts=summarize_hosts(counts.by_host),
        licences=counts.licences,
        ok_languages=counts.ok_languages,
        history=list_versions(root, published.version.set),
        near_duplicates=find_near_duplicates(published, lookup, fills),
        translators=_read_translators(root),
        models=read_models(root),
        listed_languages=counts.listed_languages,
        detected_languages=counts.detected_languages,
        norms=make_histograms(published, fills),
        indices=[lookup.cards[column] for column in sort_columns(lookup.cards)],
        panels=make_panels(published, lookup, fills, queries),
        stage_times=read_stage_times(root),
    )


def _read_translators(root: Root) -> list[TranslatorCard]:
    return sorted(read_cards(root), key=lambda card: (card.source, card.target, -card.scores.cosine))
