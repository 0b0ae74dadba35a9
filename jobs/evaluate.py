"""Score ways of crossing between pictures, sounds and words, on rows that nothing was trained on.

echolens evaluate miniature --ways real,retrieval,untrained,caption,translator:pocket --judges pocket
echolens evaluate /data/animals --direction sound->picture --ways real,translator:default --judges clip:pocket
echolens evaluate /data/animals --ways caption,translator:NAME+generator:audioldm --judges panns:Cnn14.pth
echolens evaluate miniature --direction "sound->picture" --ways true-label,shuffled,generator:default
echolens evaluate /data/vggsound --protocol v2a-mapper-vggsound --judges panns:Cnn14.pth --export folder

A way is `translator:NAME`, `tower:NAME`, `generator:NAME`, `captioner`, `caption` (the nearest caption) or
`retrieval` (the nearest row); `+generator:NAME` after it names what makes the output. Controls are `real`,
`true-caption` and `true-label` (told in words), `unconditional`, `shuffled` and `untrained`. All ways of a
table score the same rows. It lies in ROOT/evaluations/NAME, with a page that has the outputs side by side; a
killed run goes on with the same command. `miniature` is scenes of the miniature world, drawn for the
purpose, and what ships.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.evaluation import encode_rows, evaluate, prepare
from jobs.shared.generator_options import add_params, collect_params
from jobs.shared.job import load, run
from jobs.shared.submit import add_address, submit
from jobs.shared.trust import add_trust, check_uses, read_trust
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import read_spaces, with_vector_set
from pipelines.store.root import Root
from schemas.encoders import Encode
from schemas.evaluation import DIRECTIONS, Direction, EvaluationRow, split_direction
from schemas.generators import GeneratorEntry

if TYPE_CHECKING:
    from pipelines.evaluate.request import EvaluationRequest, EvaluationTarget

_MINIATURE = "miniature"
_ROWS = 240
_DIRECTIONS = ",".join(DIRECTIONS[:2])
_WAYS = "real,retrieval,untrained,caption,translator:default"
# What the pocket generator was trained on, and what its own scores are of.
_MINIATURE_PARAMS = {"length_s": 5.12, "steps": 25}


def main(argv: Sequence[str]) -> None:
    """Evaluate, and print the table."""
    from pipelines.run.ray_plan import Session

    args = _make_parser().parse_args(argv)
    if args.workers is not None and args.workers < 1:
        raise ConfigError(f"--workers {args.workers} does nothing; give one or more, or leave it out")
    if args.address:
        sys.exit(_submit(args))
    requests = _make_requests(args)
    if args.export and len(requests) > 1:
        raise ConfigError("--export is of one direction; name one with --direction")
    target = _find_target(args)
    done: list[EvaluationRow] = []
    # One Ray for all directions.
    with _open_root(args, target, requests) as root, Session():
        # All before the first: what a later direction lacks is said before any work.
        for prepared in [prepare(request, target, root, args.export) for request in requests]:
            evaluated = evaluate(prepared, root, args.workers, args.export)
            done += evaluated.rows
            if args.out or target.root:
                print(f"evaluate: {root.url}/{evaluated.folder}/report.html", file=sys.stderr)
    print(encode_rows(done) if args.json else format_rows(done), end="")


def format_rows(rows: Sequence[EvaluationRow]) -> str:
    """Return a table as text: a block for each direction and judge, a line for each way."""
    lines: list[str] = []
    for direction in dict.fromkeys(row.direction for row in rows):
        own = [row for row in rows if row.direction == direction]
        combinations = f" of {own[0].combinations} combinations" if own[0].combinations else ""
        lines.append(
            f"{direction}: {max(row.n for row in own)} rows{combinations}; 95 % intervals over groups"
        )
        for judge in dict.fromkeys(row.judge for row in own):
            lines += _format_block([row for row in own if row.judge == judge], judge)
    return "\n".join(lines) + "\n"


def _format_block(rows: Sequence[EvaluationRow], judge: str | None) -> list[str]:
    scores = list(dict.fromkeys(row.score for row in rows))
    ways = list(dict.fromkeys(row.way for row in rows))
    wide = max(len(way) for way in ways)
    by_cell = {(row.way, row.score): row for row in rows}
    lines = [f"\n  {judge or 'vectors, without a judge'}"]
    lines.append("  ".join([" " * (wide + 4), *(f"{score:>19}" for score in scores)]))
    for way in ways:
        cells = [_format_cell(by_cell.get((way, score))) for score in scores]
        first = next(row for row in rows if row.way == way)
        note = "" if first.independent is not False else "  shares a space with the way"
        output = f"  {first.output}" if judge else ""
        lines.append("  ".join([f"    {way:<{wide}}", *cells]) + output + note)
    return lines


def _format_cell(row: EvaluationRow | None) -> str:
    if row is None or row.value is None:
        return f"{'-':>19}"
    if row.low is None or row.high is None:
        return f"{row.value:19.3f}"
    return f"{row.value:.3f} [{row.low:.2f} {row.high:.2f}]".rjust(19)


def _find_target(args: argparse.Namespace) -> EvaluationTarget:
    from pipelines.evaluate.request import EvaluationTarget

    if args.target == _MINIATURE:
        options = {"--all-rows": args.all_rows, "--set": args.set}
        if given := [name for name, value in options.items() if value]:
            raise ConfigError(
                f"{given[0]} is for a dataset; leave it out, or name one in place of {_MINIATURE}"
            )
        encode = Encode.model_validate({"clip": "pocket", "clap": "pocket"})
        models = Root.from_url(args.out) if args.out else None
        return EvaluationTarget(_MINIATURE, encode, {}, "main", GeneratorEntry(), None, models=models)
    dataset = load(args.target, trust=read_trust(args))
    root = Root.from_dataset(dataset)
    dataset = with_vector_set(root, dataset, args.set)
    check_uses(dataset, "evaluate")
    spaces = read_spaces(root, dataset.encode.set)
    return EvaluationTarget(
        name=dataset.name,
        encode=dataset.encode,
        spaces=spaces,
        set_name=dataset.encode.set,
        generator=dataset.generator,
        root=root,
        shard_rows=dataset.shard_rows,
        trusted=dataset.trusted,
    )


def _submit(args: argparse.Namespace) -> int:
    local = {"--out": args.out, "--export": args.export, f"the word {_MINIATURE}": args.target == _MINIATURE}
    if given := [name for name, value in local.items() if value]:
        raise ConfigError(
            f"{given[0]} is of this machine and --address works on another; leave one of them out"
        )
    names = (
        *("direction", "ways", "judges", "rows", "seed", "only", "gallery", "labels", "protocol", "name"),
        *("workers", "set", "steps", "guidance", "length_s"),
    )
    values = {name: getattr(args, name) for name in names}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None]
    flags += [f"--param={each}" for each in args.param]
    flags += ["--all-rows"] * args.all_rows + ["--json"] * args.json
    return submit(args.address, "evaluate", args.target, flags=flags, trust=read_trust(args))


@contextmanager
def _open_root(
    args: argparse.Namespace, target: EvaluationTarget, requests: Sequence[EvaluationRequest]
) -> Iterator[Root]:
    """Yield the root that is written to: the dataset's, --out, or a folder that goes when all is done.

    That folder has the name of what is asked for, so that the same command goes on after a kill.
    """
    if target.root is not None:
        if args.out:
            raise ConfigError(f"--out is for {_MINIATURE}; a dataset has its evaluations in its root")
        yield target.root
        return
    if args.out:
        root = Root.from_url(args.out)
        root.check()
        yield root
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    asked = hashlib.sha256(repr(requests).encode()).hexdigest()[:12]
    folder = cache / "echolens" / f"evaluation-{asked}"
    yield Root.from_url(str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _make_requests(args: argparse.Namespace) -> list[EvaluationRequest]:
    """Return a request for each direction: by options, else by the protocol, else by what is usual."""
    from pipelines.evaluate.protocol import read_protocol
    from pipelines.evaluate.request import EvaluationRequest

    protocol = read_protocol(args.protocol) if args.protocol else None
    is_miniature = args.target == _MINIATURE
    judges = _split(args.judges) if args.judges is not None else (protocol.judges if protocol else None)
    if protocol and protocol.asks and not judges:
        raise ConfigError(f"protocol {args.protocol} needs a judge of your own; {protocol.asks}")
    ways = (
        protocol.ways if protocol and args.ways is None else _split(_WAYS if args.ways is None else args.ways)
    )
    usual = (protocol.rows, protocol.direction) if protocol else (_ROWS, _DIRECTIONS)
    rows = usual[0] if args.rows is None else args.rows
    if min(rows, args.gallery) < 2 or not 0 <= args.seed < 2**63:
        raise ConfigError(
            f"--rows {rows} --gallery {args.gallery} --seed {args.seed} cannot be scored; give two rows of "
            "each or more, and a seed from 0 to 2^63 - 1"
        )
    requests = []
    directions = _list_directions(usual[1] if args.direction is None else args.direction)
    for number, direction in enumerate(directions, 1):
        requests.append(
            EvaluationRequest(
                direction=direction,
                ways=ways,
                judges=_choose_usual(args.target, direction) if judges is None else judges,
                rows=rows,
                seed=args.seed,
                params=collect_params(args),
                defaults=_MINIATURE_PARAMS if is_miniature else {},
                only=_split(args.only),
                gallery=args.gallery,
                all_rows=args.all_rows or bool(protocol and protocol.all_rows),
                reference=protocol.reference if protocol else True,
                rate_hz=protocol.rate_hz if protocol else None,
                labels=args.labels,
                protocol=args.protocol,
                name=args.name if args.name is None or len(directions) == 1 else f"{args.name}-{number}",
                # A class among the judges is trusted: a person named it.
                trusted=tuple(sorted({*args.trust, *(judges or ())})),
            )
        )
    for deviation in protocol.deviations if protocol else ():
        print(f"evaluate: {args.protocol}: {deviation}", file=sys.stderr)
    return requests


def _choose_usual(target: str, direction: Direction) -> tuple[str, ...]:
    """Return the judges where none are named: those of the miniature world, which know nothing else."""
    if target != _MINIATURE:
        return ()
    return ("words:miniature",) if split_direction(direction)[1] == "text" else ("pocket",)


def _list_directions(text: str) -> list[Direction]:
    known: dict[str, Direction] = {each: each for each in DIRECTIONS}
    directions = _split(text)
    if unknown := [each for each in directions if each not in known]:
        raise ConfigError(f"--direction {unknown[0]!r} is unknown; it must be one of {', '.join(known)}")
    if not directions or len(set(directions)) < len(directions):
        raise ConfigError(f"--direction {text!r} names none, or one twice; name each once")
    return [known[each] for each in directions]


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echolens evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("target", metavar="ROOT|FILE|miniature", help="folder or URL of a dataset, its file, or that word")
    _add_what(parser)
    add("--name", help="of the folder below ROOT/evaluations; one that says what was asked for if not given")
    add("--out", metavar="FOLDER", help=f"of {_MINIATURE}: keep everything there")
    add("--export", type=Path, metavar="FOLDER", help="write the outputs for other tools, a folder a way")
    add("--workers", type=int, metavar="N", help="of each step; what the machine offers if not given")
    add("--set", help="the set of vectors; that of the newest build if not given")
    add("--json", action="store_true", help="print the table as a JSON list")
    add_params(parser)
    add_trust(parser)
    add_address(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Add what decides the table: directions, ways, judges and rows."""
    add = parser.add_argument
    directions = f"of {', '.join(DIRECTIONS)}; the first two if not given"
    add("--direction", metavar="FROM->TO,...", help=directions)
    add("--ways", metavar="WAY,...", help=f"{_WAYS} if not given")
    add("--judges", metavar="JUDGE,...", help="of the outputs; pocket for miniature, else none, if not given")
    add("--protocol", metavar="NAME", help="a published one, which gives what no other option does")
    add("--rows", type=int, metavar="N", help=f"to score; {_ROWS} if not given")
    add("--seed", type=int, default=0, help="of all that is drawn; 0 if not given")
    add("--only", default="", metavar="KIND,...", help="rows of these kinds or labels alone")
    add("--gallery", type=int, default=1_000, metavar="N", help="training rows to look things up in; 1,000")
    add("--labels", metavar="vggsounder", help="score crossings of VGGSound's test clips by these, too")
    add("--all-rows", action="store_true", help="score rows that were trained on, too")


if __name__ == "__main__":
    run(main)
