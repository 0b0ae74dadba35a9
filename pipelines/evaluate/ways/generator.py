"""The way `generator:NAME`: a generator by itself, given what it reads of the source.

It is given the source's own vectors if it reads them, without words, the caption of a text, or else what the
default translator makes of the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.evaluate.translators import find_default_translator
from pipelines.evaluate.ways.translator import TranslatorWay
from pipelines.generate.generator import CAPTION, ChosenGenerator
from schemas.evaluation import split_direction
from schemas.families import Column
from schemas.generated import ModelRef


@dataclass(frozen=True)
class DirectWay:
    """The source as it is: its captions, or its vectors.

    Attributes:
        makes: texts: captions are given; sources: vectors are.
    """

    makes: Makes
    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return captions with their vectors, which are in the family of the target, or vectors."""
        units_ND = rows.get_vectors("scored", bench.source)
        if self.makes == "sources":
            return Crossing(sources_ND=units_ND)
        return Crossing(units_ND, bench.source, rows.get_rows("scored").captions)


def make_direct_way(generator: ChosenGenerator, bench: Bench) -> DirectWay | TranslatorWay:
    """Return the way to a generator.

    Raises:
        ConfigError: it reads nothing that the source has or can become.
    """
    info = generator.info
    if split_direction(bench.direction)[0] == "text":
        return DirectWay("texts", (bench.source,))
    if info.columns == (bench.source,):
        return DirectWay("sources", (bench.source,))
    if bench.target in info.columns and len(info.reads) == 1:
        if (default := find_default_translator(bench)) is not None:
            return TranslatorWay(default, default.card.source, (bench.source, bench.target), (default.ref,))
        raise ConfigError(
            f"way generator:{info.name} reads {bench.target}, and there is no translator from "
            f"{bench.source} to it; train one, or name translator:NAME+generator:{info.name}"
        )
    reads = " and ".join(info.reads) or "nothing"
    found = "captions" if CAPTION in info.reads and len(info.reads) == 1 else reads
    raise ConfigError(
        f"way generator:{info.name} reads {found}, which {bench.direction} does not give it; name another"
    )
