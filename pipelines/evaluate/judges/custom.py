"""A base for a judge of one's own, and the module:Class that names it.

    @dataclass(frozen=True)
    class Vggish(CustomJudge):
        weights: str = "/models/vggish.pt"
        medium: ClassVar[Medium] = "sound"
        rate_hz: ClassVar[int] = 16_000

        def open(self) -> MediaJudge:
            return MyVggish(my_library.load(self.weights))

What `open()` returns has `embed()`, and may have `classify()`; see `judge.MediaJudge`. A class that loads
nothing may have them itself, and no `open()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.loaders.weights import compute_fingerprint, list_own_files
from pipelines.evaluate.judges.judge import MediaJudge
from schemas.media import Medium


class CustomJudge:
    """A judge of one's own; a field named `weights` is a file or a folder of files, and is hashed.

    Attributes:
        medium: of its files.
        rate_hz: at which it hears; None for other media.
    """

    medium: Medium
    rate_hz: int | None = None

    @property
    def name(self) -> str:
        """The name of its class."""
        return f"{type(self).__module__}:{type(self).__qualname__}"

    def open(self) -> MediaJudge:
        """Load the weights; a class without any is the judge itself."""
        return self  # type: ignore[return-value]

    def fingerprint(self) -> str:
        """Return the sha256 of its weights, or of its code.

        Raises:
            ConfigError: the weights are not there.
        """
        return compute_fingerprint(list_own_files(self))

    def spaces(self) -> tuple[str, ...]:
        """Return the identities of the spaces in it: its own. One that wraps a CLAP names that one, too."""
        return (self.fingerprint(),)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32] | None:  # noqa: ARG002
        """Return None: it has no text tower."""
        return None

    def classify(
        self,
        files: Sequence[bytes],  # noqa: ARG002
        classes: Sequence[str],  # noqa: ARG002
    ) -> NDArray[np.float32] | None:
        """Return None: it knows no classes."""
        return None

    def read_attributes(self, files: Sequence[bytes]) -> Mapping[str, NDArray[np.str_]] | None:  # noqa: ARG002
        """Return None: it reads none."""
        return None
