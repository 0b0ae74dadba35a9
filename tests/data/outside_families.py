"""Linear encoders: an 8 x 8 thumbnail, and the mean spectrum of a sound."""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from PIL import Image

from pipelines.encode.loaders.custom import CustomEncoder, CustomTower
from pipelines.errors import UndecodableMediaError


def thumbnail(data):
    try:
        picture = Image.open(io.BytesIO(data)).convert("RGB").resize((8, 8))
    except OSError as error:
        raise UndecodableMediaError("undecodable") from error
    return np.asarray(picture, dtype=np.float32).reshape(1, -1) / 255 - 0.5


def spectrum(data):
    try:
        samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise UndecodableMediaError("undecodable") from error
    mean = samples if samples.ndim == 1 else samples.mean(axis=1)
    power = np.abs(np.fft.rfft(mean, 4096))[: 64 * 32].reshape(64, -1).mean(axis=1)
    return np.log(power + 1e-3).astype(np.float32)[None]


def project(rows, dims, seed):
    weights = np.random.default_rng(seed).standard_normal((rows, dims)).astype(np.float32)
    return lambda pieces: np.stack([piece @ weights for piece in pieces])


@dataclass(frozen=True)
class Ciap(CustomEncoder):
    seed: int = 0
    dims = 24
    preprocessing = "thumbnails and spectra"
    modalities = ("image", "audio")

    def load(self):
        return {
            "image": CustomTower(thumbnail, project(192, self.dims, self.seed)),
            "audio": CustomTower(spectrum, project(64, self.dims, self.seed + 1)),
        }


@dataclass(frozen=True)
class Tower(CustomEncoder):
    joins: str
    dims: int
    preprocessing = "thumbnails"
    modalities = ("image",)

    def load(self):
        return {"image": CustomTower(thumbnail, project(192, self.dims, 7))}


@dataclass(frozen=True)
class Upgraded(Ciap):
    """The same encoder under another version of its library, which may not be like it."""

    same: bool = True

    def space(self):
        found = Ciap().space()
        return found.model_copy(update={"library": "ciap 2"})

    def load(self):
        return Ciap(seed=0 if self.same else 5).load()


class Silent(CustomEncoder):
    dims = 4
    preprocessing = "none"

    def load(self):
        return {}
