"""The nearest neighbours of a text, a picture, a sound, a vector or a row.

echolens lookup /data/animals --text "a dog barking" --in clap_audio
echolens lookup /data/animals --image dog.jpg --k 5 --distinct
echolens lookup /data/animals --audio bark.wav --json
echolens lookup /data/animals --audio bark.wav --words animals --k 3
echolens lookup /data/animals --key 000120007 --only-source wit cc12m --only-min-side 200
echolens lookup /data/animals --vector query.npy --in clip_image --json --vectors
echolens lookup /data/animals --text "a bell" --set other
echolens lookup /data/animals --image dog.jpg --in clap_audio --via wit_cc-mlp-cosine-h512
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.shared.job import load, run
from jobs.shared.terminal import format_text
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import read_spaces, with_vector_set
from pipelines.store.root import Root
from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.families import DEFAULTS, Modality, get_modality, is_column
from schemas.query import Hit, Query

if TYPE_CHECKING:
    from pipelines.lookup.search import Lookup

_CAPTION_SHOWN = 60


def format_hits(hits: Sequence[Hit]) -> str:
    """Return hits as lines: score, key, caption, source and link."""
    return "\n".join(
        f"  {hit.score:.3f}  {hit.key}  {format_text(hit.caption, _CAPTION_SHOWN):<{_CAPTION_SHOWN}}"
        f"  {format_text(hit.source):<10} {format_text(hit.url)}"
        for hit in hits
    )


def open_current(dataset: Dataset) -> Lookup:
    """Return the lookup of the current version of a dataset's set of vectors."""
    from pipelines.lookup.search import Lookup
    from pipelines.store import versions

    root = Root.from_dataset(dataset)
    return Lookup.open(root, dataset, versions.read_current(root, dataset.encode.set))


def check_name(root: Root, dataset: Dataset, name: str) -> None:
    """Refuse what is the name of no column, with those of the set and the spaces of vectors of a list.

    Raises:
        ConfigError: it is none.
    """
    if is_column(name):
        return
    spaces = read_spaces(root, dataset.encode.set)
    named = {column: space.listed_name for column, space in spaces.items()}
    known = [f"{column} (space {of!r})" if of is not None else column for column, of in named.items()]
    alike = [column for column, of in named.items() if of == name]
    raise ConfigError(
        f"{name[:80]!r} is no column; search in one that set {dataset.encode.set!r} has: "
        f"{', '.join(alike or known) or 'none yet'}"
    )


def make_query(args: argparse.Namespace) -> Query:
    """Return what the command line asks.

    Raises:
        ConfigError: a file is not there or holds something else, or a number is none that can be asked for.
    """
    only = {
        "sources": args.only_source,
        "languages": args.only_language,
        "min_side_px": args.only_min_side,
    }
    content: dict[str, Any] = {"text": args.text, "key": args.key, "only": only}
    content |= {"into": args.column, "of": args.of, "via": args.via, "k": args.k}
    content |= {"distinct": args.distinct, "vectors": args.vectors}
    if args.image:
        content["image"] = base64.b64encode(_read(args.image, "a picture"))
    if args.audio:
        content["sound"] = base64.b64encode(_read(args.audio, "a sound"))
    if args.vector:
        content["vector"] = _read_vector(args.vector)
    return check_content(Query, content, "lookup")


def _read(path: Path, what: str) -> bytes:
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; give {what} of this machine")
    return path.read_bytes()


def _read_vector(path: Path) -> tuple[float, ...]:
    import numpy as np

    _read(path, "a vector")
    try:
        # Mapped, so that a header which promises more than the file has is no array.
        vector = np.load(path, mmap_mode="r", allow_pickle=False)
        found = f"an array of {vector.dtype} with the shape {vector.shape}"
    except (ValueError, EOFError, AttributeError, OSError, OverflowError, MemoryError) as error:
        raise ConfigError(f"{path} holds no vector ({error}); save one with numpy.save") from error
    if vector.ndim != 1 or vector.dtype.kind not in "fiu":
        raise ConfigError(f"{path} holds {found}; save one vector of numbers with numpy.save")
    return tuple(vector.astype(float).tolist())


def name_media(dataset: Dataset, args: argparse.Namespace) -> str:
    """Return the words of a list that are nearest to a picture or a sound, with their scores, as lines.

    Raises:
        ConfigError: nothing can be named, the list has no words, or the file cannot be read.
    """
    from pipelines.lookup.keywords import find_keywords
    from pipelines.lookup.word_lists import read_words

    if not (args.image or args.audio):
        raise ConfigError("--words names what is in a picture or a sound; give --image or --audio")
    if unused := [flag for flag in ("via", "distinct", "vectors") if getattr(args, flag)]:
        raise ConfigError(f"--words searches no rows, so --{unused[0]} has no meaning; leave it out")
    if args.k < 1:
        raise ConfigError(f"--k {args.k} is no number of words; give 1 at least")
    words = read_words(args.words)
    modality: Modality = "image" if args.image else "audio"
    column = args.column or DEFAULTS[modality]
    if get_modality(column) != modality:
        raise ConfigError(
            f"--in {column} has no vectors of {modality}; name a column of it, or leave --in out"
        )
    item = _read(args.image, "a picture") if args.image else _read(args.audio, "a sound")
    found = find_keywords(open_current(dataset).encoders, column, item, words, args.k)
    if args.json:
        return json.dumps([{"word": each.word, "score": each.score} for each in found], indent=2)
    return "\n".join(f"  {each.score:.3f}  {format_text(each.word)}" for each in found)


def main(argv: Sequence[str]) -> None:
    """Search a column of the current version."""
    args = _make_parser().parse_args(argv)
    if args.vectors and not args.json:
        raise ConfigError("--vectors prints hundreds of numbers a row, for programs; add --json")
    if args.of and args.key is None:
        raise ConfigError("--of says whose vector of a row asks, and no row was named; give its --key")
    dataset = load(args.target, trust=read_trust(args))
    root = Root.from_dataset(dataset)
    dataset = with_vector_set(root, dataset, args.set)
    for name in filter(None, (args.column, args.of)):
        check_name(root, dataset, name)
    if args.words is not None:
        print(name_media(dataset, args))
        return
    query = make_query(args)
    answer = open_current(dataset).answer(query)
    hits = answer.hits
    if answer.via is not None and query.via is None:
        print(f"lookup: via {answer.via}, the default", file=sys.stderr)
    if args.json:
        left_out = set() if args.vectors else {"vector"}
        print(json.dumps([hit.model_dump(exclude=left_out) for hit in hits], indent=2))
    else:
        print(format_hits(hits) or "  no row passes the filters")


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echolens lookup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--text", help="words")
    query.add_argument("--image", type=Path, help="a picture file")
    query.add_argument("--audio", type=Path, help="a sound file")
    query.add_argument("--key", help="of a row: more like this")
    query.add_argument(
        "--vector", type=Path, metavar="FILE.npy", help="a vector of the searched column's space"
    )
    parser.add_argument(
        "--in",
        dest="column",
        metavar="COLUMN",
        help="the column to search; clip_image for words and pictures, clap_audio for sounds",
    )
    parser.add_argument(
        "--of",
        metavar="COLUMN",
        help="whose vector of the --key asks; the searched column's",
    )
    parser.add_argument(
        "--words",
        metavar="FILE",
        help="instead of rows: the nearest words of a list to an image or audio; a file of a word a line, or "
        "animals, colours, genres, instruments, places",
    )
    parser.add_argument("--via", metavar="TRANSLATOR", help="cross from one space to the other with it")
    parser.add_argument("--set", help="the set of vectors to search; that of the newest build if not given")
    parser.add_argument("--k", type=int, default=10, help="how many; 10 if not given")
    parser.add_argument("--only-source", nargs="+", default=(), metavar="KIND", help="rows of these lists")
    parser.add_argument("--only-language", nargs="+", default=(), metavar="CODE", help="rows that say so")
    parser.add_argument(
        "--only-min-side", type=int, metavar="PX", help="rows whose picture, as the web had it, is that large"
    )
    parser.add_argument("--distinct", action="store_true", help="no near-duplicates among the rows")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--vectors", action="store_true", help="with --json: the vector of every row, too")
    add_trust(parser)
    return parser


if __name__ == "__main__":
    run(main)
