"""Mined pairs: rows without a target are given those of the rows whose captions are nearest to theirs.

A picture of a list of pictures has a caption and no sound; clips have both. What the caption of the picture
is near to among the captions of the clips, is heard there.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.families import Column
from schemas.strict import StrictModel


class MiningKeys(StrictModel):
    """How targets are found and put together."""

    neighbours: int = Field(4, ge=1, le=256, description="rows with a target, the nearest, that make one")
    # In the miniature world 98 % of pictures' captions are this near to one of a sound of their own kind, and
    # 0.07 % to one of another kind, which is what is left where no sound of their kind is there.
    least_cosine: float = Field(0.7, ge=-1, le=1, description="of two captions; what is farther counts not")
    weight_temperature: float = Field(
        0.05, gt=0, description="of the neighbours' weights, a softmax over cosines; high: all count alike"
    )
    # Pictures with sounds of clips that have labels for captions, a net from picture to sound, 298 held-out
    # clips of the miniature world: cosine 0.86 and R@1 0.35 for near, 0.80 and 0.07 for any.
    of_equal: Literal["near", "any"] = Field(
        "near",
        description="which rows of one caption come first: near: those whose target is nearest to the row's "
        "caption, if both are of one space; any: always others",
    )
    pick: Literal["mean", "draw"] = Field(
        "mean", description="mean: of the neighbours' targets, weighted; draw: one of them, by its weight"
    )


class Mining(MiningKeys):
    """Which captions are compared, and how targets follow from that."""

    mined_by: Column = Field(description="the column of captions that rows of both sides have")


class MinedPairs(StrictModel):
    """How many pairs were mined, as a card says it."""

    pairs: int
    score: float = Field(description="mean cosine of a caption to its neighbours', weighted as the targets")
    too_far: int = Field(description="rows of which no neighbour was near enough")
    bank: int = Field(description="rows with a target that are trained on, among which neighbours are found")
    held_back: int = Field(
        description="rows with a target that are trained on and are in no bank: one that is held out is as it"
    )
