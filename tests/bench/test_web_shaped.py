"""A web with latency, dead links, stalls and drips: who waits for what."""

import json

import pytest

from tests.bench.sides import Ran, Web, ours, serving, size, theirs

ROWS = size("WEB_ROWS", 20_000)
SHARD_ROWS = min(1000, ROWS // 4)
WORKERS = 2
TIMEOUT_S = 10
# As many as img2dataset has threads a process.
CONNECTIONS = 256
# img2dataset has no deadline for a URL: after so long it is left to its drips.
WAIT_S = size("WAIT_S", 600)


def tail_s(web: Web, ran: Ran) -> float:
    """Return the time from the 99 % row, as the server saw it end, to the end of the last shard."""
    ended = sorted(json.loads(web.report.read_text()))
    return ran.ended - ended[len(ended) * 99 // 100]


def told(name: str, ran: Ran, tail: float) -> str:
    """Return a row of the table."""
    ended = f"{ran.whole_s:.0f}" if ran.finished else f"still running after {ran.whole_s:.0f}"
    if not ran.stats:
        return f"| {name} | 0 | 0 | | | {ended} | |"
    rate = f"{ran.ok_a_second:.0f} | {ran.working_s:.1f}"
    waited = f"{tail:.1f}" if ran.finished else ""
    return f"| {name} | {ran.rows} | {ran.ok} | {rate} | {ended} | {waited} |"


HEAD = """| | rows done | ok | ok/s | working s | whole command s | 99 % row to the end, s |
|---|---|---|---|---|---|---|"""


@pytest.mark.bench
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("shape", ["web", "drip"])
def test_ok_a_second(shape, tmp_path, capsys):
    """At least 1.5 times img2dataset's, and no tail beyond a timeout."""
    with serving(shape, tmp_path) as web:
        us = ours(
            tmp_path / "ours",
            web.urls(ROWS),
            shard_rows=SHARD_ROWS,
            workers=WORKERS,
            connections=CONNECTIONS,
            timeout_s=TIMEOUT_S,
        )
    tail = tail_s(web, us)
    lines = [told("echolens", us, tail)]
    them: dict[str, Ran] = {}
    for name, shard_rows in (
        ("img2dataset", SHARD_ROWS),
        ("img2dataset, 1 shard a process", ROWS // WORKERS),
    ):
        folder = tmp_path / f"theirs-{shard_rows}"
        with serving(shape, tmp_path) as web:
            them[name] = theirs(
                folder, web.urls(ROWS), shard_rows=shard_rows, processes=WORKERS, wait_s=WAIT_S
            )
        ran = them[name]
        lines.append(told(name, ran, tail_s(web, ran) if ran.stats else 0.0))
        if shape == "drip":
            break
    with capsys.disabled():
        print(
            f"\n\n### {ROWS} rows of a web-shaped server ({shape}), {WORKERS} processes each, timeout 10 s\n"
        )
        print(HEAD, *lines, sep="\n")
        if them["img2dataset"].finished:
            print(f"\nok/s: echolens / img2dataset = {us.ok_a_second / them['img2dataset'].ok_a_second:.2f}")

    assert us.rows == ROWS
    assert tail <= TIMEOUT_S + 2
    if them["img2dataset"].finished:
        assert us.ok_a_second >= 1.5 * them["img2dataset"].ok_a_second
