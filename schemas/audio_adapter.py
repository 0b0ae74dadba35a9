"""audio_adapter.json: an adapter from vectors of sounds to the cross-attention of a Stable Diffusion."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.names import Sha256
from schemas.strict import StrictModel

# Where a block of cross-attention lies in the UNet.
Place = Literal["down", "mid", "up"]
PLACES: tuple[Place, ...] = ("down", "mid", "up")
# The levels of a sound, the tokens of each, and the place that early-mid-late routes each to.
LEVELS = ("foreground", "background", "ambience")
LEVEL_TOKENS = (5, 3, 2)
LEVEL_PLACES: tuple[Place, ...] = ("up", "mid", "down")
# Of an adapter without levels; the name of its file, too.
WHOLE = "adapter"
PUBLISHED_TOKENS = 77

Tokens = Literal["flat", "rigid", "soft", "resampler", "as-published"]
Routing = Literal["none", "early-mid-late", "learnt"]
Dims = Annotated[int, Field(ge=1, le=65_536)]


class AdapterSettings(StrictModel):
    """The choices of an adapter, each of which can be changed alone."""

    tokens: Tokens = Field(
        "soft",
        description="flat: queries over one sound; rigid: 5, 3 and 2 for the levels; soft: 10, of which "
        "each level takes what is assigned to it; resampler: a perceiver; as-published: the seed's dead "
        "path",
    )
    count: Annotated[int, Field(ge=1, le=257)] = Field(16, description="of flat and resampler tokens")
    width: Dims | None = Field(
        None, description="numbers of a token before its projection; the UNet's if none"
    )
    hidden: Dims = Field(256, description="numbers between the sound's vector and the tokens")
    depth: int = Field(4, ge=0, le=12, description="layers of self-attention over the tokens")
    heads: int = Field(8, ge=1, le=64)
    norm: Literal["natural"] | Annotated[float, Field(gt=0, le=10_000)] = Field(
        "natural",
        description="norm of each token that the gain of the last LayerNorm begins with; natural: gain 1",
    )
    temperature: float = Field(
        0.5,
        gt=0,
        le=100,
        description="of the softmax that tokens are made by, in use and at a training's end",
    )
    routing: Routing = Field(
        "none",
        description="none: one adapter over all blocks; early-mid-late: foreground to up, background to mid, "
        "ambience to down; learnt: each level's gain at each place",
    )

    @model_validator(mode="after")
    def _check_levels(self) -> AdapterSettings:
        if self.routing != "none" and self.tokens not in ("rigid", "soft"):
            raise ValueError(
                f"routing {self.routing} leads levels to blocks, and {self.tokens} tokens have no levels; "
                "take rigid or soft tokens, or routing none"
            )
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """The adapters that are trained together, each with tokens of its own."""
        return (WHOLE,) if self.routing == "none" else LEVELS

    @property
    def level_tokens(self) -> tuple[int, ...]:
        """The tokens of each adapter."""
        if self.routing != "none":
            return LEVEL_TOKENS
        if self.tokens == "as-published":
            return (PUBLISHED_TOKENS,)
        return (sum(LEVEL_TOKENS),) if self.tokens in ("rigid", "soft") else (self.count,)

    def compute_gain(self, dims: int) -> float:
        """Return what the weights of the last LayerNorm begin with.

        Args:
            dims: of a token; normalised to a deviation of 1 its norm is their root.
        """
        return 1.0 if self.norm == "natural" else self.norm / math.sqrt(dims)


class Annealing(StrictModel):
    """A temperature that falls over a training, as half a cosine, to the one that is held after it."""

    start: float = Field(2.0, gt=0, le=100)
    first: int = Field(0, ge=0, description="steps of the fall that earlier trainings took")
    steps: int = Field(5_000, ge=1, description="of the whole fall, over all trainings")
    warmup: int = Field(200, ge=0, description="steps at `start` before the fall")

    @model_validator(mode="after")
    def _check_warmup(self) -> Annealing:
        if self.warmup >= self.steps:
            raise ValueError(f"a warmup of {self.warmup} steps leaves none of {self.steps} to fall in")
        return self

    def compute(self, step: int, end: float) -> float:
        """Return the temperature of a step.

        Args:
            step: of this training, from 0.
            end: what it falls to.
        """
        fallen = (self.first + step - self.warmup) / (self.steps - self.warmup)
        return end + (self.start - end) * (1 + math.cos(math.pi * min(max(fallen, 0.0), 1.0))) / 2


class AdapterLoss(StrictModel):
    """`loss` of an adapter's preset: the weights of its parts; a part of weight 0 is not computed."""

    diffusion: float = Field(0.0, ge=0, description="min-SNR weighted error of the UNet's prediction")
    info_nce: float = Field(0.0, ge=0, description="mean token and mean state of the caption, in a batch")
    alignment: float = Field(
        0.0, ge=0, description="mean squared error of the mean token, at gain 1, to the caption's mean state"
    )
    consistency: float = Field(
        0.0, ge=0, description="mean squared difference of the tokens of two windows of a sound, at gain 1"
    )
    orthogonality: float = Field(0.1, ge=0, description="squared cosines between tokens of a sound")
    prior: float = Field(0.01, ge=0, description="KL of the mean assignment to 5:3:2, of soft tokens")
    entropy: float = Field(0.01, ge=0, description="of the assignments, of soft tokens; it sharpens them")
    temperature: float = Field(0.07, gt=0, description="of info_nce")
    drop_sound: float = Field(0.05, ge=0, lt=1, description="share of pictures without their sound")
    drop_words: float = Field(0.05, ge=0, lt=1, description="share of pictures without their caption")
    drop_both: float = Field(0.05, ge=0, lt=1, description="share of pictures without both")

    @model_validator(mode="after")
    def _check_parts(self) -> AdapterLoss:
        if not (self.diffusion or self.info_nce or self.alignment):
            raise ValueError("nothing ties tokens to a sound; give diffusion, info_nce or alignment a weight")
        if self.drop_sound + self.drop_words + self.drop_both >= 1:
            raise ValueError(
                "every picture would lose a condition; drop_sound, drop_words and drop_both add up"
            )
        return self


class AttentionBlock(StrictModel):
    """A block of cross-attention of a UNet."""

    place: Place
    hidden: Dims


class AdapterShape(StrictModel):
    """What an adapter lies between."""

    sound_dims: Dims = Field(description="of a sound's vector")
    cross_dims: Dims = Field(description="of a token of the UNet's cross-attention")
    blocks: tuple[AttentionBlock, ...] = Field(
        min_length=1, description="in the order of diffusers' attn_processors: down, up, mid"
    )


class AdapterCard(StrictModel):
    """An adapter that was trained. Its files beside the card are those that `load_ip_adapter` takes."""

    settings: AdapterSettings
    shape: AdapterShape
    space: str | None = Field(None, description="identity of the space of the sounds that it was trained on")
    base: Sha256 | None = Field(None, description="of the weights of the UNet that it was trained on")

    @property
    def is_stock(self) -> bool:
        """Whether an unpatched diffusers loads it."""
        return self.settings.tokens != "as-published"
