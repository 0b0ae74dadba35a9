"""The generators `stable-diffusion` and `clap2diffusion`: find weights, describe them, and load them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel

from pipelines.compute.device import choose_device, get_dtype
from pipelines.encode.loaders.hub import read_licence
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError, SpaceError
from pipelines.generate.generator import CAPTION
from pipelines.generate.stable_diffusion.base import POCKET, find_base, hash_base, hash_unet
from pipelines.generate.stable_diffusion.generator import SOUND, StableDiffusionGenerator
from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams
from schemas.audio_adapter import AdapterCard
from schemas.encoders import Encode
from schemas.families import Column
from schemas.generated import GeneratorInfo
from schemas.space import Precision

POCKET_ADAPTER = WEIGHTS / "clap2diffusion"
_Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class StableDiffusionSpec:
    """A Stable Diffusion that diffusers saved: pictures of words.

    Attributes:
        weights: its folder, a repository of the Hugging Face hub, or pocket.
        revision: a commit of the repository; its newest if None.
        precision: of weights and activations.
        batch_rows: of every forward. A smaller batch is padded, because the last digits of a picture depend
            on the size of its batch.
    """

    weights: str
    revision: str | None = None
    precision: Precision = "fp32"
    batch_rows: int = 8

    params: ClassVar[type[BaseModel]] = StableDiffusionParams

    def open(self) -> StableDiffusionGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: a part is missing, or lacks weights.
        """
        from pipelines.generate.stable_diffusion.base import load_base

        base = load_base(find_base(self.weights, self.revision), get_dtype(self.precision))
        return StableDiffusionGenerator(base, None, self.batch_rows)

    def fingerprint(self) -> str:
        """Return one fingerprint of the weights and configurations of all parts."""
        return hash_base(find_base(self.weights, self.revision))

    def describe(self) -> GeneratorInfo:
        """Return its name, that of its folder or repository, its fingerprint and licence."""
        folder = find_base(self.weights, self.revision)
        return GeneratorInfo(
            name=_name_base(self.weights, folder),
            weights_sha256=self.fingerprint(),
            medium="picture",
            reads=(CAPTION,),
            precision=self.precision,
            batch_rows=self.batch_rows,
            licence=read_licence(folder),
            spaces=_find_word_spaces(self.weights),
        )


@dataclass(frozen=True)
class Clap2DiffusionSpec:
    """A Stable Diffusion with an adapter of sounds: pictures of words and sounds.

    Attributes:
        weights: the folder of the adapter.
        base: as `StableDiffusionSpec.weights`.
        revision: a commit of the base's repository; its newest if None.
        precision: of weights and activations.
        batch_rows: of every forward.
        norm: of each token, in place of the trained one; as it was trained if None.
    """

    weights: str
    base: str
    revision: str | None = None
    precision: Precision = "fp32"
    batch_rows: int = 8
    norm: float | None = None

    params: ClassVar[type[BaseModel]] = SoundPictureParams

    def open(self) -> StableDiffusionGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: a part is missing, or lacks weights.
            SpaceError: the adapter is for another base.
        """
        from pipelines.generate.stable_diffusion.base import load_base
        from pipelines.models.adapter_files import load_adapter
        from pipelines.models.audio_attention import attach_adapter

        dtype = get_dtype(self.precision)
        base = load_base(find_base(self.base, self.revision), dtype)
        adapter, _ = load_adapter(Path(self.weights))
        if self.norm is not None:
            adapter.rescale_tokens(self.norm)
        adapter = adapter.to(choose_device(), dtype)
        attach_adapter(base.unet, adapter)
        return StableDiffusionGenerator(base, adapter, self.batch_rows)

    def fingerprint(self) -> str:
        """Return one fingerprint of the base, the adapter, and the norm in place of the adapter's."""
        import hashlib

        folder = Path(self.weights)
        suffixes = (".safetensors", ".json")
        files = sorted(
            file for file in folder.iterdir() if file.suffix in suffixes and file.name != "card.json"
        )
        parts = (hash_base(find_base(self.base, self.revision)), compute_fingerprint(files), self.norm)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def describe(self) -> GeneratorInfo:
        """Return its name, its fingerprint, the licence of its base, and the space of its sounds.

        Raises:
            SpaceError: the adapter is for another base.
        """
        folder = find_base(self.base, self.revision)
        card = self._read_card(folder)
        return GeneratorInfo(
            name=f"clap2diffusion of {_name_base(self.base, folder)}",
            weights_sha256=self.fingerprint(),
            medium="picture",
            reads=(SOUND, CAPTION),
            precision=self.precision,
            batch_rows=self.batch_rows,
            licence=read_licence(folder),
            spaces=(*(((SOUND, card.space),) if card.space else ()), *_find_word_spaces(self.base)),
            advice="build a set with the CLAP that the adapter was trained with",
        )

    def _read_card(self, base: Path) -> AdapterCard:
        from pipelines.models.adapter_files import read_adapter_card

        card = read_adapter_card(Path(self.weights))
        found = hash_unet(base)
        if card.base not in (None, found):
            raise SpaceError(
                f"the adapter in {self.weights} was trained on the UNet {str(card.base)[:12]} and base "
                f"{self.base} has {found[:12]}; give generator.base the one that it was trained on"
            )
        return card


def choose_stable_diffusion(
    weights: str = POCKET,
    revision: str | None = None,
    precision: _Precision = "auto",
    batch_rows: int = 8,
) -> StableDiffusionSpec:
    """Return a Stable Diffusion of words; like the other pocket models, the pocket one runs in fp32.

    Args:
        weights: pocket, a folder, or a repository of the hub.
        revision: a commit of the repository.
        precision: of weights and activations; `auto` takes bf16 on a GPU that has it.
        batch_rows: of every forward.

    Raises:
        ConfigError: there is no such base.
    """
    find_base(weights, revision)
    return StableDiffusionSpec(weights, revision, _decide_precision(precision, weights), batch_rows)


def choose_clap2diffusion(  # noqa: PLR0913, PLR0917
    weights: str = POCKET,
    base: str = POCKET,
    revision: str | None = None,
    precision: _Precision = "auto",
    batch_rows: int = 8,
    norm: float | None = None,
) -> Clap2DiffusionSpec:
    """Return a Stable Diffusion of words and sounds.

    Args:
        weights: pocket, or the folder of an adapter that was trained here.
        base: pocket, a folder, or a repository of the hub.
        revision: a commit of the base's repository.
        precision: of weights and activations; `auto` takes bf16 on a GPU that has it.
        batch_rows: of every forward.
        norm: of each token of a sound, in place of the trained one.

    Raises:
        ConfigError: there is no such adapter or base.
    """
    folder = POCKET_ADAPTER if weights == POCKET else Path(weights)
    if not folder.is_dir():
        advice = (
            "train it with `echolens pocket clap2diffusion`"
            if weights == POCKET
            else "give pocket or the folder of an adapter, or NAME:TRAINED of one in the root"
        )
        raise ConfigError(f"generator clap2diffusion: there is no adapter in {folder}; {advice}")
    find_base(base, revision)
    return Clap2DiffusionSpec(
        str(folder), base, revision, _decide_precision(precision, base), batch_rows, norm
    )


GENERATORS = {"stable-diffusion": choose_stable_diffusion, "clap2diffusion": choose_clap2diffusion}


def _decide_precision(asked: _Precision, base: str) -> Precision:
    if base == POCKET:
        return "fp32"
    if asked != "auto":
        return asked
    import torch

    # Rounding errors add up over the diffusion steps: fp32 where no GPU has native bf16.
    bf16 = choose_device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if bf16 else "fp32"


def _find_word_spaces(base: str) -> tuple[tuple[Column, str], ...]:
    """Return the space of the text tower that reads the words, so that its picture tower is no judge of them.

    Of a base from outside nothing says whose tower it is.
    """
    if base != POCKET:
        return ()
    space = resolve(Encode.model_validate({"clip": POCKET, "clap": None}))["clip"].space
    return (("clip_text", space.identity),)


def _name_base(weights: str, folder: Path) -> str:
    return folder.name if weights == POCKET or Path(weights).is_dir() else weights
