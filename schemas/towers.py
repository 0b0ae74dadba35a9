"""towers.json: the towers that a training left, and what is done to media before them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.families import Column
from schemas.mining import Mining
from schemas.strict import StrictModel

# Of BatchNorm layers: GroupNorm in their place; statistics of the whole batch, over all workers; or those of
# the pretrained weights.
Norm = Literal["group", "batch", "frozen"]
# Of colours in 0..1. What is nearly 0, or huge, leaves no finite number of a picture.
_Channel = Annotated[float, Field(ge=-100, le=100)]
Channels = tuple[_Channel, _Channel, _Channel]
_LEAST_STD = 1e-3

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


class PictureInput(StrictModel):
    """What happens to a picture before a tower sees it."""

    size_px: int = Field(224, ge=16, le=1024, description="of the square")
    mean: Channels = Field(IMAGENET_MEAN, description="of each colour, of 0..1, taken off")
    std: Channels = Field(IMAGENET_STD, description="of each colour, divided by")
    resize: Literal["crop", "squash"] = Field(
        "crop", description="crop: the middle of the picture; squash: all of it, whatever its shape"
    )

    @model_validator(mode="after")
    def _check_std(self) -> PictureInput:
        if min(self.std) < _LEAST_STD:
            raise ValueError(f"std is divided by and must be {_LEAST_STD:g} or more, and it is {self.std}")
        return self

    def describe(self) -> str:
        """Return the preprocessing in one line."""
        mean, std = (",".join(f"{value:g}" for value in each) for each in (self.mean, self.std))
        return f"image: RGB, {self.resize} to {self.size_px} px, mean {mean}, std {std}"


class PictureTowerSettings(StrictModel):
    """A tower of pictures: a backbone, a linear head, and perhaps a LayerNorm."""

    backbone: str = Field(
        "resnet18",
        description="pocket_resnet, a model of timm (with a tag that timm lists, or none), "
        "torchvision:MODEL, or clip: CLIP's tower",
    )
    clip: dict[str, Any] | None = Field(None, description="of the backbone clip: open_clip's configuration")
    norm: Norm = Field("group", description="what stands where the backbone has BatchNorm")
    layer_norm: bool = Field(False, description="whether a LayerNorm follows the head")
    dims: Annotated[int, Field(ge=1, le=65_536)] = 512
    input: PictureInput = PictureInput()

    @model_validator(mode="after")
    def _check_clip(self) -> PictureTowerSettings:
        if (self.backbone == "clip") != (self.clip is not None):
            raise ValueError("the backbone clip and the configuration `clip` belong together")
        return self


class SoundTowerSettings(StrictModel):
    """A tower of sounds: two linear layers over the samples of a short wave, as the second seed has it."""

    rate_hz: int = Field(16_000, ge=1_000, le=192_000)
    length_s: float = Field(
        1.0, gt=0, le=60, description="of the middle of a sound, which is all that is read"
    )
    hidden: int = Field(1024, ge=1, le=65_536)
    layer_norm: bool = False
    dims: Annotated[int, Field(ge=1, le=65_536)] = 512

    @property
    def samples(self) -> int:
        """The samples of a wave."""
        return round(self.rate_hz * self.length_s)

    def describe(self) -> str:
        """Return the preprocessing in one line."""
        return f"audio: mono, {self.rate_hz} Hz, the middle {self.length_s:g} s, peak 1"


class TowersCard(StrictModel):
    """The towers of a model. Those of one card share a space.

    `joins` is the identity of the space that they were trained into, and None for a space of their own.
    """

    image: PictureTowerSettings | None = None
    audio: SoundTowerSettings | None = None
    joins: str | None = Field(None, max_length=200)
    pretrained: str = Field("none", description="the weights that the backbone began with")

    @model_validator(mode="after")
    def _check_towers(self) -> TowersCard:
        dims = {each.dims for each in (self.image, self.audio) if each}
        if len(dims) != 1:
            raise ValueError("a model has one tower at least, and all of them have the same dims")
        return self

    def describe_inputs(self) -> list[str]:
        """Return the preprocessing of each tower in one line."""
        pictures = [self.image.input.describe()] if self.image else []
        return pictures + ([self.audio.describe()] if self.audio else [])

    @property
    def dims(self) -> int:
        """Of the vectors."""
        return next(each.dims for each in (self.image, self.audio) if each)


class TowerNet(StrictModel):
    """`net` of a tower's preset: the net that is trained."""

    backbone: str = Field("resnet18", description="as of `PictureTowerSettings`")
    pretrained: str = Field(
        "none",
        description="none; hub; a file of the backbone's weights; of the backbone clip: dataset (its own), "
        "pocket, MODEL:TAG, hf-hub:OWNER/NAME or local-dir:FOLDER",
    )
    norm: Norm = Field(
        "group",
        description="group, batch or frozen; pretrained weights with statistics of BatchNorm take one of the "
        "latter two",
    )
    layer_norm: bool = False
    unlock: int | None = Field(
        None, ge=0, description="last groups of layers of the backbone that are trained; all if not given"
    )
    backbone_rate: float = Field(1.0, gt=0, le=1, description="of the head's learning rate")
    input: PictureInput = PictureInput()

    @model_validator(mode="after")
    def _check_pretrained(self) -> TowerNet:
        if self.pretrained == "none" and (self.norm == "frozen" or self.unlock is not None):
            raise ValueError(
                "norm frozen and unlock leave weights as they are, and there are none: pretrained is none"
            )
        if self.pretrained == "dataset" and self.backbone != "clip":
            raise ValueError("pretrained dataset is the dataset's CLIP, which is the backbone clip")
        return self


class TowerLoss(StrictModel):
    """`loss` of a tower's preset: of unit vectors of pictures and their locked targets."""

    kind: Literal["info_nce", "siglip"] = "info_nce"
    # The factor of the cosines is 100 at most, as in CLIP.
    temperature: float = Field(0.07, ge=0.01, description="that it begins with, or keeps; of info_nce")
    learnt: bool = Field(True, description="whether the temperature of info_nce is trained")
    anchor: float = Field(0.5, ge=0, description="weight of 1 - cosine to the own target beside it")
    soft_captions: float | None = Field(
        None,
        gt=0,
        description="targets i, j match by exp((cosine of their captions - 1) / this); only i = j if unset",
    )
    negatives: int = Field(
        0,
        ge=0,
        le=16,
        description="near targets of other captions, a picture, that info_nce has to tell apart, too",
    )

    @model_validator(mode="after")
    def _check_negatives(self) -> TowerLoss:
        if self.negatives and self.kind == "siglip":
            raise ValueError(
                "negatives are of info_nce, and the loss is siglip; leave them out, or change kind"
            )
        return self


class TowerPairs(StrictModel):
    """`pairs` of a tower's preset: pictures of a dataset, and the vectors that they are trained to."""

    target: Column = "clap_audio"
    text_target: Column | None = Field(None, description="of rows without the target, as in clap_text")
    noise: float = Field(
        0.0, ge=0, description="standard deviation of a noise on each number of a text target"
    )
    mined: Mining | None = Field(
        None, description="how pictures without a sound get those of the captions nearest to theirs"
    )
    windows: bool = Field(
        False, description="whether a window of the sound is drawn an epoch, not their mean"
    )
    frame: Literal["random", "nearest"] = Field(
        "random", description="of a clip: any of its frames, or the one nearest to the chosen segment"
    )
    captions: Column = Field("clap_text", description="that soft_captions and negatives compare")


class PictureAugmentation(StrictModel):
    """`augment` of a tower's preset: how a picture differs from epoch to epoch."""

    crop: float = Field(0.5, gt=0, le=1, description="the least share of the area that is kept")
    flip: bool = True
    colour: float = Field(0.2, ge=0, lt=1, description="largest change of brightness, contrast, saturation")
