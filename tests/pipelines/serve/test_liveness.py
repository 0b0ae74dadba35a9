"""A process whose event loop is blocked ends, and one that works does not."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from pipelines.serve.liveness import end_when_blocked

BLOCKED = """
import asyncio, sys, time
from pipelines.serve.liveness import end_when_blocked
async def main():
    end_when_blocked(1.0)
    {block}
    print("went on")
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("code", "said", "block"),
    [
        (1, "", "time.sleep(60)"),
        (1, "", "[open('/dev/zero', 'rb').read(1 << 20) for _ in iter(int, 1)]"),
        (0, "went on", "await asyncio.sleep(3)"),
        (0, "went on", "time.sleep(0.4); await asyncio.sleep(1.5)"),
    ],
    ids=["asleep", "endless-file", "waits", "short"],
)
def test_a_blocked_loop_ends_its_process(code, said, block):
    """A loop that only waits, or is busy for less than the deadline, goes on."""
    script = BLOCKED.format(block=block)
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    assert (code, said) == (ended.returncode, ended.stdout.strip()), ended.stderr
    assert time.monotonic() - began < 20


def test_the_watch_ends_with_its_loop():
    """A closed loop runs nothing, and that is no reason to end."""
    ended = []

    async def main():
        end_when_blocked(0.2, lambda: ended.append(True))
        await asyncio.sleep(0.1)

    asyncio.run(main())
    time.sleep(1.5)

    assert [] == ended
    assert "liveness" not in {thread.name for thread in threading.enumerate()}
