"""One client that means it ill, as a process of its own.

It holds event streams, answers of the largest path that it does not read, and halves of requests; what is
closed it opens again.
"""

import contextlib
import multiprocessing
import time

from tests.pipelines.serve.sockets import HALF_BODY, HALF_HEAD, connect, get, is_closed

STREAMS, UNREAD, HALVES = 260, 100, 1500
AGAIN_S, UNREAD_S = 5.0, 12.0


def plan_sent():
    """Return what each socket sends, and how much it takes."""
    streams = [(get(f"/page/gradio_api/heartbeat/h{number}"), None) for number in range(STREAMS)]
    halves = [((b"", HALF_HEAD, HALF_BODY)[number % 3], None) for number in range(HALVES)]
    return streams + [(get("/v1/report"), 4096)] * UNREAD + halves


def hold(port, source, is_open):
    """Open everything, and what was closed again."""
    sent = plan_sent()
    sockets, since = [None] * len(sent), [0.0] * len(sent)
    while True:
        for number, (data, buffer) in enumerate(sent):
            held = sockets[number]
            # To look at a socket whose answer waits would take some of it.
            is_held = time.monotonic() < since[number] + UNREAD_S if buffer else held and not is_closed(held)
            if is_held:
                continue
            with contextlib.suppress(OSError):
                if held is not None:
                    held.close()
                sockets[number], since[number] = connect(port, data, source, buffer), time.monotonic()
        is_open.set()
        time.sleep(AGAIN_S)


@contextlib.contextmanager
def holding(port, source):
    """Have such a client while the block runs, from when it has opened everything."""
    context = multiprocessing.get_context("fork")
    is_open = context.Event()
    process = context.Process(target=hold, args=(port, source, is_open), daemon=True)
    process.start()
    try:
        assert is_open.wait(60)
        yield
    finally:
        process.kill()
        process.join()
