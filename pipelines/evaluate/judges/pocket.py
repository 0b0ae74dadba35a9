"""The pocket judges: two nets a medium that ship, know the miniature world, and had no part in generating.

pocket-picture-cnn  pocket-picture-vit  pocket-sound-cnn  pocket-sound-transformer
pocket              all of the medium that is judged
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.judge_reader import RATE_HZ, JudgeReader, JudgeReadings
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError
from pipelines.evaluate.judges.spec import as_judge_errors
from pipelines.miniature import captions
from schemas.media import Medium

FOLDER = WEIGHTS / "judges"
POCKET: Mapping[str, Medium] = {
    "pocket-picture-cnn": "picture",
    "pocket-picture-vit": "picture",
    "pocket-sound-cnn": "sound",
    "pocket-sound-transformer": "sound",
}


class PocketJudgeReader:
    """A pocket judge with its weights.

    Args:
        name: of `POCKET`.
        reader: of its weights.
    """

    def __init__(self, name: str, reader: JudgeReader) -> None:
        self.name, self.medium = name, reader.medium
        self.rate_hz = RATE_HZ if reader.medium == "sound" else None
        self._values = reader.values
        # A score after another asks for the same files.
        self._read = lru_cache(maxsize=2)(reader.read)
        kinds = reader.values["kind"]
        self._classes = {kind: row for row, kind in enumerate(kinds)} | {
            captions.label(kind): row for row, kind in enumerate(kinds)
        }

    def embed(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Return embeddings, float32 [N, 64]; NaN where a file cannot be decoded."""
        return self._look(files).embedded_NE

    def embed_texts(self, texts: Sequence[str]) -> None:  # noqa: ARG002
        """Return None: it has no text tower."""
        return

    def classify(self, files: Sequence[bytes], classes: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the logits of kinds, named as the world or VGGSound names them; all without classes."""
        if any(name not in self._classes for name in classes):
            return None
        logits_NC = self._look(files).logits["kind"]
        return logits_NC[:, [self._classes[name] for name in classes]] if classes else logits_NC

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]]:
        """Return attribute -> its value of each file: kind, ground, size, count, and colour of pictures."""
        found: dict[str, NDArray[np.str_]] = {}
        for name, logits_NV in self._look(files).logits.items():
            known_N = np.isfinite(logits_NV).all(1)
            best_N = np.where(np.isfinite(logits_NV), logits_NV, -np.inf).argmax(1)
            found[name] = np.where(known_N, np.array(self._values[name])[best_N], "")
        return found

    def _look(self, files: Sequence[bytes]) -> JudgeReadings:
        return self._read(tuple(files))


@dataclass(frozen=True)
class PocketJudgeSpec:
    """A pocket judge.

    Attributes:
        name: of `POCKET`.
        folder: of its weights.
    """

    name: str
    folder: Path

    @property
    def medium(self) -> Medium:
        """Of the files that it looks at."""
        return POCKET[self.name]

    def open(self) -> PocketJudgeReader:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are missing or damaged.
        """
        with as_judge_errors(self.name):
            return PocketJudgeReader(self.name, JudgeReader(self.folder))

    def fingerprint(self) -> str:
        """Return the sha256 of the weights.

        Raises:
            ConfigError: they are missing.
        """
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise ConfigError(
                f"judge {self.name}: there are no weights in {self.folder}; train them with `echolens pocket "
                "judges`"
            )
        return compute_fingerprint(files)

    def spaces(self) -> tuple[str, ...]:
        """Return the identity of its own embedding space."""
        return (self.fingerprint(),)


def choose_pocket(name: str, place: str = "") -> PocketJudgeSpec:  # noqa: ARG001 - it has one place
    """Return a pocket judge.

    Args:
        name: of `POCKET`.
        place: nothing.
    """
    return PocketJudgeSpec(name, FOLDER / name)


JUDGES = {
    "pocket-picture-cnn": choose_pocket,
    "pocket-picture-vit": choose_pocket,
    "pocket-sound-cnn": choose_pocket,
    "pocket-sound-transformer": choose_pocket,
}
