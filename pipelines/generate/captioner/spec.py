"""The generator `captioner`: find its weights, describe them, and load them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from pipelines.encode.loaders.hub import read_licence
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError
from pipelines.generate.captioner.generator import CaptionGenerator
from pipelines.generate.captioner.params import CaptionerParams
from schemas.captioner import CaptionerCard
from schemas.families import Column, get_family, is_column, make_column
from schemas.generated import GeneratorInfo

POCKET = "pocket"
POCKET_CAPTIONER = WEIGHTS / "captioner"
# Of a family, the modality of the media that are captioned.
_MEDIA = {"clip": "image", "clap": "audio"}
_SUFFIXES = (".safetensors", ".json", ".txt")


@dataclass(frozen=True)
class CaptionerSpec:
    """A captioner: texts of vectors of one column.

    Attributes:
        weights: its folder.
        column: that it reads.
        batch_rows: of every forward.
    """

    weights: str
    column: Column
    batch_rows: int = 8

    params: ClassVar[type[BaseModel]] = CaptionerParams

    def open(self) -> CaptionGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are damaged, or the vocabulary does not fit.
        """
        from pipelines.generate.captioner.tokenizer import load_caption_tokenizer
        from pipelines.models.prefix_captioner import load_captioner

        net = load_captioner(Path(self.weights))
        tokenizer = load_caption_tokenizer(Path(self.weights), net.card.gpt2)
        return CaptionGenerator(net, tokenizer, self.column, self.batch_rows)

    def fingerprint(self) -> str:
        """Return one fingerprint of the weights, the card and the vocabulary."""
        files = [file for file in sorted(Path(self.weights).iterdir()) if file.suffix in _SUFFIXES]
        return compute_fingerprint([file for file in files if file.name != "card.json"])

    def describe(self) -> GeneratorInfo:
        """Return its name, its fingerprint, and the space of the vectors that it was trained on."""
        folder, card = Path(self.weights), self._read_card()
        space = card.mappers[get_family(self.column)].space
        return GeneratorInfo(
            name=f"captioner of {POCKET if folder == POCKET_CAPTIONER else folder.name}",
            weights_sha256=self.fingerprint(),
            medium="text",
            reads=(self.column,),
            batch_rows=self.batch_rows,
            licence=read_licence(folder),
            spaces=((self.column, space),) if space else (),
            alternatives=tuple(_list_media(card)),
            advice="build a set with the encoder that the captioner was trained with",
        )

    def with_column(self, column: Column) -> CaptionerSpec:
        """Return the same captioner for another column of one of its families.

        Raises:
            ConfigError: it has no mapper for that family.
        """
        _check_column(self._read_card(), column)
        return replace(self, column=column)

    def _read_card(self) -> CaptionerCard:
        from pipelines.models.prefix_captioner import read_captioner_card

        return read_captioner_card(Path(self.weights))


def choose_captioner(weights: str = POCKET, column: str | None = None, batch_rows: int = 8) -> CaptionerSpec:
    """Return a captioner.

    Args:
        weights: pocket, or a folder.
        column: of the vectors that it reads; pictures if it can, where none is given.
        batch_rows: of every forward.

    Raises:
        ConfigError: there is no such captioner, or it does not read that column.
    """
    from pipelines.models.prefix_captioner import read_captioner_card

    folder = POCKET_CAPTIONER if weights == POCKET else Path(weights)
    if not folder.is_dir():
        advice = (
            "train it with `echolens pocket captioner`"
            if weights == POCKET
            else "give pocket or the folder of one, or NAME:TRAINED of one in the root"
        )
        raise ConfigError(f"generator captioner: there is no captioner in {folder}; {advice}")
    card = read_captioner_card(folder)
    chosen = column or _list_media(card)[0]
    _check_column(card, chosen)
    return CaptionerSpec(str(folder), chosen, batch_rows)


GENERATORS = {"captioner": choose_captioner}


def _list_media(card: CaptionerCard) -> list[Column]:
    return [make_column(family, _MEDIA.get(family, "image")) for family in sorted(card.mappers, reverse=True)]  # type: ignore[arg-type]


def _check_column(card: CaptionerCard, column: str) -> None:
    if not is_column(column) or get_family(column) not in card.mappers:
        raise ConfigError(
            f"the captioner reads vectors of {' and '.join(sorted(card.mappers))}, and {column[:80]} is none "
            "of them; name another --column, or another captioner"
        )
