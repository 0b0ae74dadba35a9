"""A tiny generator that takes its time, and counts what it does."""

import threading
import time
from dataclasses import dataclass

from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.spec import AudioLdmSpec
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.registry import choose_generator
from schemas.generators import GeneratorEntry


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
    params = AudioLdmParams

    def open(self):
        """Load it."""
        return _Sounds(AudioLdmSpec(self.folder, batch_rows=1).open(), self.pace)

    def fingerprint(self):
        """Return that of the folder."""
        return AudioLdmSpec(self.folder).fingerprint()


class _Sounds:
    def __init__(self, of, pace):
        self._of, self._pace, self.encode_text = of, pace, of.encode_text
        self.medium, self.reads = of.medium, of.reads

    def generate(self, prompts, seeds, params, progress=None):
        def slowly(done, total):
            self._pace.made.append(done)
            time.sleep(self._pace.step_s)
            assert self._pace.free.wait(60)
            progress(done, total)

        return self._of.generate(prompts, seeds, params, slowly)


def paced(folder, pace):
    """Return a generator of a folder as `echolens serve` chooses it, at a pace."""
    return ChosenGenerator(
        Paced(str(folder), pace),
        choose_generator(GeneratorEntry(weights=str(folder), batch_rows=1), compiled=False).info,
    )
