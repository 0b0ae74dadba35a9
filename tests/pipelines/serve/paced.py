"""A tiny generator that takes its time, and counts what it does."""

import threading
import time
from dataclasses import dataclass

from pipelines.generate.audioldm.pipeline import AudioLdmLoader
from pipelines.generate.registry import GeneratorSpec, choose_generator
from schemas.dataset import GeneratorEntry


@dataclass(eq=False)
class Pace:
    """How fast steps are made, and those that were.

    Attributes:
        step_s: that a step takes at least.
        made: the steps that were made, of all sounds.
        free: steps wait as long as it is not set.
    """

    step_s: float = 0.0

    def __post_init__(self):
        self.made = []
        self.free = threading.Event()
        self.free.set()


@dataclass(frozen=True)
class Paced:
    """Loads the generator of a folder at a pace."""

    folder: str
    pace: Pace

    def load(self):
        """Load it."""
        return _Sounds(AudioLdmLoader(self.folder, batch_rows=1, normalize=False).load(), self.pace)


class _Sounds:
    def __init__(self, of, pace):
        self._of, self._pace, self.rate_hz, self.encode_text = of, pace, of.rate_hz, of.encode_text

    def generate(self, vectors_ND, seeds, settings, progress=None):
        def slowly(done, total):
            self._pace.made.append(done)
            time.sleep(self._pace.step_s)
            assert self._pace.free.wait(60)
            progress(done, total)

        return self._of.generate(vectors_ND, seeds, settings, slowly)


def paced(folder, pace):
    """Return a generator of a folder as `echolens serve` chooses it, at a pace."""
    return GeneratorSpec(
        Paced(str(folder), pace),
        choose_generator(GeneratorEntry(weights=str(folder), batch_rows=1), compiled=False).info,
    )
