"""translators/NAME/card.json: a translator's columns and spaces, its training data and its scores."""

from __future__ import annotations

from pydantic import Field

from schemas.encoders import Name
from schemas.families import Column
from schemas.mining import MinedPairs
from schemas.names import PartName, Sha256
from schemas.space import Space
from schemas.split_hashes import GroupCounts
from schemas.strict import StrictModel
from schemas.times import IsoTime
from schemas.training import Experiment, FitSettings, PairSource, SplitSettings


class RetrievalScores(StrictModel):
    """Scores of a translator on held-out pairs; intervals are 95 %, bootstrapped over groups of pairs."""

    pairs: int
    groups: int | None = Field(
        None, description="pictures or sounds that the pairs are of; null: counted as pairs, before 0.2"
    )
    gallery: int = Field(description="targets among which each translated vector looks for its own")
    cosine: float = Field(description="mean, to the own target")
    cosine_interval: tuple[float, float]
    r1: float
    r1_interval: tuple[float, float]
    r5: float
    r10: float
    back_r1: float | None = Field(None, description="of targets that look for their own vector")
    back_r5: float | None = None
    back_r10: float | None = None
    map10: float = Field(description="mean average precision among the nearest ten")
    class_r1: float | None = Field(
        None, description="share whose nearest target of another group has their label, where one has it"
    )
    class_accuracy: float | None = Field(
        None, description="share nearest to the mean training target of their own label, of all labels"
    )
    classes: int | None = Field(None, description="labels that class_accuracy chooses among")
    hubness: float = Field(description="skewness of how often a target is among the nearest ten")
    gap: float = Field(description="length of mean translated minus mean target")
    effective_rank: float = Field(description="exp of the entropy of the translated vectors' spectrum")


class ValidationScore(StrictModel):
    """How near a translator comes to the validation pairs of one kind, by which the default is chosen."""

    pairs: int
    groups: int
    cosine: float = Field(description="mean over groups of their mean cosine")


class PairCounts(StrictModel):
    """Sizes of the splits, and dropped pairs."""

    train: int
    validation: int
    test: int
    dropped: dict[str, int] = Field(description="null, not_finite, leaked -> pairs")


class TranslatorCard(StrictModel):
    """The card beside a translator's weights. It refuses vectors of any space but `source_space`."""

    name: PartName
    source: Column
    target: Column
    source_space: Space
    target_space: Space
    dataset: str
    version: int
    set: Name
    data: tuple[PairSource, ...]
    split: SplitSettings
    counts: PairCounts
    groups: GroupCounts | None = Field(None, description="that the split keeps together")
    leak_rule: str = Field("", description="how held-out pairs were compared with those trained on")
    mined: MinedPairs | None = Field(
        None, description="of the pairs trained on, those with targets of others"
    )
    cell: Experiment | None = Field(description="null for a baseline")
    fit: FitSettings | None
    method: str = Field(description="the net, or the closed form")
    epoch: int = Field(description="whose weights these are, from 1; 0 where nothing was iterated")
    parameters: int
    validation_cosine: float
    validation: dict[str, ValidationScore] = Field(
        {}, description="`from -> to` of a kind of pairs -> how near it comes to theirs"
    )
    curve: tuple[float, ...] = Field((), description="validation cosine after each epoch")
    scores: RetrievalScores
    scores_of: dict[str, RetrievalScores] = Field(
        {}, description="`from -> to` -> the scores of one kind of pairs, where a mix has several"
    )
    seconds: float = Field(description="of training, shared by the cells that were trained together")
    weights_sha256: Sha256
    licence: str = Field(description="of the data's rows, as their lists say")
    created: IsoTime = Field(description="UTC, ISO 8601")
