"""Sounds whose vector, picture and caption say the same: one of a few kinds."""

import numpy as np

from pipelines.train.adapter.align import AlignSounds
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.adapter.paint import PaintSounds
from schemas.space import Space
from tests.pipelines.random_diffusion import SOUND

KINDS = ("bell", "dog", "drum", "cat")
SPACE = Space(
    encoder="toy", weights_sha256="0" * 64, library="none", preprocessing="none", precision="fp32",
    batch_rows=1, dims=SOUND,
)  # fmt: skip


def make_data(count: int = 60, windows: bool = True, fingerprint: str = "toy") -> SoundPictures:
    """Return sounds of the kinds in turn, with two pictures and two windows each."""
    rng = np.random.default_rng(0)
    kinds = np.arange(count) % len(KINDS)
    centres = rng.standard_normal((len(KINDS), SOUND))

    def near(noise: float) -> np.ndarray:
        vectors = centres[kinds] + noise * rng.standard_normal((count, SOUND))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)

    one, other = near(0.3), near(0.3)
    pixels = rng.integers(0, 256, (len(KINDS), 2, 64, 64, 3), np.uint8)
    return SoundPictures(
        keys_S=np.arange(count),
        space=SPACE,
        sounds_SD=near(0.1),
        windows_MD=np.stack([one, other], 1).reshape(-1, SOUND) if windows else None,
        starts_S=np.arange(count + 1) * 2 if windows else None,
        pictures=2,
        make_caption=lambda sound, _, __: f"a {KINDS[kinds[sound]]}",
        iterate_pixels=lambda _: (pixels[kind] for kind in kinds),
        train_S=np.arange(count - 12),
        held_S=np.arange(count - 12, count),
        fingerprint=fingerprint,
    )


class ToyAlignment(AlignSounds):
    """The first task on toy sounds."""

    def read_data(self, context):
        """Return the sounds."""
        return make_data()


class ToyPainting(PaintSounds):
    """The later tasks on toy sounds."""

    windows = True

    def read_data(self, context):
        """Return the sounds."""
        return make_data(windows=self.windows)
