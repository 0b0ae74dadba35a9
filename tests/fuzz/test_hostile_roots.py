"""Whatever one value of a root is, every verb ends in success or in one sentence.

In CI a seeded sample of the cases; all of them by `make fuzz`.
"""

import faulthandler
import os
import random
import resource
import shutil
import signal
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.fuzzed_root import make_root
from tests.fuzz.mutations import Case, iterate_cases
from tests.fuzz.readers import READERS, list_readers, run_reader

SAMPLE, SEED = 300, 16
# A reader that works for longer hangs, however busy the machine is; so does one that only waits.
WATCHDOG_CPU_S = 5
WATCHDOG_S = 60
# They take half a second and more.
SLOW = {"report", "publish", "refresh"}
MAX_GROWTH_KB = 500_000


class Hang(BaseException):
    """A reader that did not end."""


def ring(*_):
    raise Hang


@pytest.fixture
def sealed(tmp_path):
    """A root, and a canary beside it."""
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "x").write_text("alive")
    return make_root(tmp_path)


def test_no_value_of_a_root_does_harm(sealed, tmp_path):
    """No traceback, no hang, no file beside the root, no half a gigabyte; the counts are printed."""
    cases = list(iterate_cases(Path(sealed.url)))
    sample = cases
    if os.environ.get("FUZZ") != "all":
        sample = random.Random(SEED).sample(cases, SAMPLE)
    shutil.rmtree(tmp_path / "probe", ignore_errors=True)
    beside = sorted(tmp_path.rglob("*"))
    for reader in READERS:
        assert (reader, "ok") == (reader, run_reader(reader, sealed))
    counts, broken = Counter(), []
    before = {each: signal.signal(each, ring) for each in (signal.SIGALRM, signal.SIGPROF)}
    try:
        for case in sample:
            for reader in choose(case):
                said = attack(sealed, case, reader)
                counts[said.split(":")[0].split("\n")[0]] += 1
                if not said.startswith(("ok", "sentence")):
                    broken.append(f"{case} in {reader}: {said}")
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    print(
        f"\n{len(sample):,} of {len(cases):,} cases: "
        + ", ".join(f"{n:,} {word}" for word, n in counts.items())
    )

    assert not broken, "\n\n".join([f"{len(broken)} broken", *broken[:40]])
    assert beside == sorted(path for path in tmp_path.rglob("*") if "service" not in path.parts)
    assert "alive" == (tmp_path / "canary" / "x").read_text()


def choose(case: Case) -> tuple[str, ...]:
    """Return the readers of a case, which are the same in every run: in CI one of the quick ones."""
    readers, rng = list_readers(case.file), random.Random(str(case))
    quick = [name for name in readers if name not in SLOW] or [*readers]
    if os.environ.get("FUZZ") == "all":
        # A second of each case would take hours.
        return (*quick, *(name for name in readers if name in SLOW and not rng.randrange(4)))
    return (rng.choice(quick),)


def attack(root, case: Case, reader: str) -> str:
    """Put a hostile file into the root, read it, and put the old one back."""
    file = Path(root.url) / case.file
    honest, used_kb = file.read_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file.write_bytes(case.make())
    signal.setitimer(signal.ITIMER_PROF, WATCHDOG_CPU_S)
    signal.setitimer(signal.ITIMER_REAL, WATCHDOG_S)
    # What hangs in a library, where Python cannot interrupt it, ends the process.
    faulthandler.dump_traceback_later(2 * WATCHDOG_S, exit=True)
    began = time.process_time()
    try:
        said = run_reader(reader, root)
    except Hang:
        said = "hang\n" + traceback.format_exc(limit=-3)
    except Exception:
        said = "traceback\n" + traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        file.write_bytes(honest)
    if time.process_time() - began > WATCHDOG_CPU_S:
        said = "hang"
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used_kb
    return f"memory: {grown_kb:,} kB" if grown_kb > MAX_GROWTH_KB else said
