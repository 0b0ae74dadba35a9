"""The way `captioner`: what a captioner says of the source, and then from text to the medium.

`captioner` is the pocket one, `captioner:NAME` one that was trained in the root.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode, get_tower
from pipelines.encode.resolve import resolve_entry
from pipelines.errors import ConfigError, SpaceError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.generate.alternatives import with_column
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.params import make_params
from pipelines.generate.registry import choose_generator
from schemas.families import Column, get_family
from schemas.generated import ModelRef
from schemas.generators import OtherGenerator

_NAME = "captioner"


@dataclass(frozen=True)
class CaptionerWay:
    """The captions of a captioner.

    Attributes:
        captioner: that reads the source.
        said: the column of captions in the family of the target; None where that has none.
        encoder: of that column.
    """

    captioner: ChosenGenerator
    said: Column | None
    encoder: EncoderSpec | None
    columns: tuple[Column, ...]
    models: tuple[ModelRef, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="texts", init=False)

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the captions, and their vectors in the family of the target."""
        units_ND = np.nan_to_num(rows.get_vectors("scored", bench.source))
        params = make_params(self.captioner.spec.params, {}, self.captioner.info.name)
        made = self.captioner.open().generate({bench.source: units_ND}, range(len(units_ND)), params)
        texts = [str(text) for text in made.data]
        if self.said is None or self.encoder is None:
            return Crossing(None, None, texts)
        tower = get_tower(self.encoder, "text")
        pieces = [tower.prepare(text) for text in texts]
        return Crossing(encode(tower, pieces, self.encoder.space.batch_rows)[0], self.said, texts)


def make_captioner_way(argument: str, bench: Bench) -> CaptionerWay:
    """Return the way.

    Raises:
        ConfigError: there is no such captioner, it does not read the source, or the target is text itself.
        SpaceError: it was trained on another space than the source's.
    """
    name = f"{_NAME}:{argument}" if argument else _NAME
    if bench.medium == "text":
        raise ConfigError(
            f"way {name}: {bench.direction} ends in text, which a captioner makes by itself; name "
            f"generator:{name}"
        )
    generator = with_column(choose_generator(OtherGenerator(name=name), bench.root), bench.source)
    space = bench.spaces[bench.source]
    if (own := dict(generator.info.spaces).get(bench.source)) not in (None, space.identity):
        raise SpaceError(
            f"way {name} was trained on vectors of {own}, and {bench.source} is in {space.identity}; name a "
            "captioner of that encoder"
        )
    said = bench.find_text_column(bench.target)
    encoder = resolve_entry(bench.encode, get_family(bench.target), bench.spaces) if said else None
    ref = ModelRef(name=name, weights_sha256=generator.info.weights_sha256)
    return CaptionerWay(generator, said, encoder, tuple(filter(None, (bench.source, said))), (ref,))


WAYS = {"captioner": make_captioner_way}
# Whether a way has to be told which; one that is not here takes no name.
NAMED = {"captioner": False}
