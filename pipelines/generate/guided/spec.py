"""The generator `guided`: find a pixel diffusion and its guide, describe them, and load them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from pipelines.compute.device import choose_device
from pipelines.decode.pixels import open_picture
from pipelines.encode.loaders.hub import read_licence
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError, SpaceError, UndecodableMediaError
from pipelines.generate.guided.files import find_pixel_diffusion, list_files, read_guidance
from pipelines.generate.guided.guide import GuideSpec, choose_guide
from pipelines.generate.guided.params import GuidedParams
from schemas.families import Column, get_family, is_column
from schemas.generated import GeneratorInfo

if TYPE_CHECKING:
    import numpy as np

    from pipelines.generate.guided.generator import GuidedGenerator

POCKET = "pocket"
POCKET_GUIDED = WEIGHTS / "guided"
# No column: prompts alone lead.
NO_COLUMN = "none"


@dataclass(frozen=True)
class GuidedSpec:
    """A pixel diffusion with a guide.

    Attributes:
        weights: the folder of a `DDPMPipeline`.
        guide: an encoder of pictures.
        column: of the vectors that lead each picture; None for prompts alone.
        init: a file that pictures begin with; None for noise.
        batch_rows: of every forward. A smaller batch is padded.
    """

    weights: str
    guide: GuideSpec
    column: Column | None
    init: str | None = None
    batch_rows: int = 4

    params: ClassVar[type[BaseModel]] = GuidedParams

    def open(self) -> GuidedGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are damaged, or there is no such guide.
        """
        from pipelines.generate.guided.files import load_pixel_diffusion
        from pipelines.generate.guided.generator import GuidedGenerator
        from pipelines.generate.guided.sampling import GuidedSampler

        folder = Path(self.weights)
        unet, scheduler = load_pixel_diffusion(folder)
        sampler = GuidedSampler(unet.to(choose_device()), scheduler)
        guide, card = self.guide.open(), read_guidance(folder)
        return GuidedGenerator(sampler, guide, card, self.column, self.batch_rows, self._read_init())

    def fingerprint(self) -> str:
        """Return one fingerprint of the net, its schedule, its guide and the init picture."""
        init = compute_fingerprint([Path(self.init)]) if self.init else ""
        parts = (compute_fingerprint(list_files(Path(self.weights))), self.guide.find_identity(), init)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def describe(self) -> GeneratorInfo:
        """Return its name, its fingerprint, its licence, and the space of its guide.

        Raises:
            SpaceError: what was measured is of another guide.
        """
        folder = Path(self.weights)
        identity, card = self.guide.find_identity(), read_guidance(folder)
        if card.space not in (None, identity):
            raise SpaceError(
                f"the guidance of {self.weights} was measured with {card.space}, and guide {self.guide.name} "
                f"is {identity}; give that guide, or remove guidance.json"
            )
        return GeneratorInfo(
            name=f"guided of {POCKET if folder == POCKET_GUIDED else folder.name}",
            weights_sha256=self.fingerprint(),
            medium="picture",
            reads=(self.column,) if self.column else (),
            batch_rows=self.batch_rows,
            licence=read_licence(folder),
            text_sha256=identity.partition("/")[0],
            spaces=((self.column or "clip_image", identity),),
            advice="build a set with the CLIP that guides",
        )

    def _read_init(self) -> np.ndarray | None:
        import numpy as np

        if self.init is None:
            return None
        try:
            return np.asarray(open_picture(Path(self.init).read_bytes()).convert("RGB"))
        except (OSError, UndecodableMediaError) as error:
            raise ConfigError(
                f"init: {self.init} is no picture ({error}); give a PNG or JPEG file"
            ) from error


def choose_guided(  # noqa: PLR0913, PLR0917
    weights: str = POCKET,
    guide: str = POCKET,
    column: str = "clip_image",
    init: str | None = None,
    batch_rows: int = 4,
    trusted: tuple[str, ...] = (),
) -> GuidedSpec:
    """Return a pixel diffusion with a guide.

    Args:
        weights: pocket, or the folder of a `DDPMPipeline`.
        guide: pocket, MODEL:TAG, hf-hub:OWNER/NAME or local-dir:FOLDER of open_clip, or module:Class.
        column: of the vectors that lead each picture; none for prompts alone.
        init: a picture file to begin with.
        batch_rows: of every forward.
        trusted: classes that may be imported, as module:Class.

    Raises:
        ConfigError: there is no such net or init picture, or the column is none of a CLIP.
    """
    folder = POCKET_GUIDED if weights == POCKET else Path(weights)
    if weights == POCKET and not folder.is_dir():
        raise ConfigError(
            f"generator guided: there is no pixel diffusion in {folder}; train it with "
            "`echolens pocket guided`"
        )
    find_pixel_diffusion(folder, "generator guided")
    chosen = choose_guide(guide, trusted)
    if column != NO_COLUMN and (not is_column(column) or chosen.family not in (None, get_family(column))):
        raise ConfigError(
            f"generator guided: {column[:80]!r} is no column of its guide; give clip_image, or "
            "none for prompts alone"
        )
    if init is not None and not Path(init).is_file():
        raise ConfigError(f"generator guided: there is no init picture {init}; give a file of this machine")
    return GuidedSpec(str(folder), chosen, None if column == NO_COLUMN else column, init, batch_rows)


GENERATORS = {"guided": choose_guided}
