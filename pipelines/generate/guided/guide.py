"""The guide of a diffusion: an encoder of pictures that gradients go through.

One of somebody's own has what `Guide` says; the two towers of AudioCLIP are one, for example.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.pocket import make_pocket_clip
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError
from pipelines.store.classes import import_class
from pipelines.store.trust import make_untrusted_error
from schemas.custom_loader import CLASS_PATTERN
from schemas.families import Family

if TYPE_CHECKING:
    from torch import Tensor

POCKET = "pocket"
_WHERE = "generator.guide"
_OFFERED = ("embed_pictures", "encode_texts")
_CLASS = re.compile(CLASS_PATTERN)


class Guide(Protocol):
    """An encoder of pictures and texts into one space."""

    @property
    def side_px(self) -> int:
        """The side of the square pictures that it takes."""
        ...

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return vectors of pictures, `[N, D]`, of any norm, with gradients.

        Args:
            pixels: `[N, 3, S, S]` in -1..1, or a little beyond.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return vectors of texts in the same space, `[N, D]`."""
        ...


@dataclass(eq=False)
class ClipGuide:
    """A CLIP of open_clip.

    Attributes:
        model: of open_clip.
        tokenizer: of it.
    """

    model: Any
    tokenizer: Any

    def __post_init__(self) -> None:
        import torch

        config = self.model.visual.preprocess_cfg
        device = choose_device()
        self._mean, self._std = (
            torch.tensor(config[key], device=device)[:, None, None] for key in ("mean", "std")
        )
        size = config["size"]
        self.side_px = int(size[0] if isinstance(size, list | tuple) else size)

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return vectors of pictures in -1..1, `[N, D]`, with gradients."""
        vectors: Tensor = self.model.encode_image(((pixels + 1) / 2 - self._mean) / self._std)
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return vectors of texts, `[N, D]`."""
        import torch

        with torch.inference_mode():
            vectors: Tensor = self.model.encode_text(self.tokenizer(list(texts)).to(choose_device()))
        return vectors


@dataclass(frozen=True)
class ClassGuideSpec:
    """A guide of somebody's own, by its class, which is made without arguments.

    Attributes:
        name: module:Class.
        family: whose columns it reads; None for any.
    """

    name: str
    family: ClassVar[Family | None] = None

    def open(self) -> Guide:
        """Load it.

        Raises:
            ConfigError: it is no guide.
        """
        found: Any = import_class(self.name, _WHERE, "guide", _OFFERED)
        guide: Guide = found()
        if not isinstance(getattr(guide, "side_px", None), int):
            raise ConfigError(
                f"{_WHERE}: {self.name} does not say the side of its pictures; give it side_px, in pixels"
            )
        return guide

    def find_identity(self) -> str:
        """Return what its class says in `space`, the identity of a Space; else the sha256 of its module.

        Raises:
            ConfigError: it is no guide.
        """
        found: Any = import_class(self.name, _WHERE, "guide", _OFFERED)
        stated = getattr(found, "space", None)
        return stated if isinstance(stated, str) else compute_fingerprint([Path(inspect.getfile(found))])


@dataclass(frozen=True)
class ClipGuideSpec:
    """A CLIP by name.

    Attributes:
        name: pocket, MODEL:TAG, hf-hub:OWNER/NAME or local-dir:FOLDER.
        family: whose columns it reads.
    """

    name: str
    family: ClassVar[Family | None] = "clip"

    def open(self) -> ClipGuide:
        """Load it, onto the GPU if there is one.

        Raises:
            ConfigError: there is none.
        """
        import open_clip

        loader = self._make_loader()
        brings_weights = loader.model.startswith(("local-dir:", "hf-hub:"))
        model: Any = open_clip.create_model_and_transforms(
            loader.model,
            pretrained=None if brings_weights else loader.weights,
            precision="fp32",
            device=choose_device(),
            require_pretrained=True,
        )[0]
        return ClipGuide(model.eval().requires_grad_(False), open_clip.get_tokenizer(loader.model))

    def find_identity(self) -> str:
        """Return the identity of the space of its vectors.

        Raises:
            ConfigError: there is no such CLIP.
        """
        return self._make_loader().space().identity

    def _make_loader(self) -> OpenClip:
        if self.name == POCKET:
            return make_pocket_clip("fp32")
        if self.name.startswith(("local-dir:", "hf-hub:")):
            return OpenClip(self.name, "", "fp32", 32)
        model, colon, tag = self.name.partition(":")
        if not colon:
            raise ConfigError(
                f"guide {self.name[:80]!r} is no CLIP; write pocket, MODEL:TAG, hf-hub:OWNER/NAME or "
                "local-dir:FOLDER"
            )
        return OpenClip(model, tag, "fp32", 32)


GuideSpec = ClassGuideSpec | ClipGuideSpec


def choose_guide(name: str, trusted: Collection[str] = ()) -> GuideSpec:
    """Return a guide by its name.

    Args:
        name: pocket, MODEL:TAG, hf-hub:OWNER/NAME or local-dir:FOLDER of open_clip, or module:Class.
        trusted: classes that may be imported, as module:Class.

    Raises:
        ConfigError: nobody trusts the class.
    """
    if name in trusted:
        return ClassGuideSpec(name)
    # MODEL:TAG of open_clip has no capital letter behind the colon.
    if _CLASS.fullmatch(name) and name.rpartition(":")[2][:1].isupper():
        raise make_untrusted_error({name: "guide"}, _WHERE)
    return ClipGuideSpec(name)
