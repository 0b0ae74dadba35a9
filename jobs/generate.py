"""Make sounds, pictures or texts of pictures, words and sounds: encode -> translate -> generate.

echolens generate /data/animals --via wit_cc-mlp-cosine-h512 --limit 100 --name first
echolens generate /data/animals --via wit_cc-mlp-cosine-h512 --images dog.jpg holiday/ --name mine
echolens generate /data/animals --held-out --limit 100 --name unseen --score bell dog
echolens generate /data/animals --via captions --limit 100 --name captions
echolens generate /data/animals --text "a dog barking" --candidates 4 --name dog
echolens generate /data/animals --column clap_audio --limit 100 --generator cvssp/audioldm-s-full-v2
echolens generate /data/animals --column clip_image --generator mine:Painter --param palette=warm --name art
echolens generate /data/animals --audio rain.wav --text "a beach" --text "a city" --generator clap2diffusion
echolens generate /data/animals --column clip_image --generator captioner --name captions_of_pictures
echolens generate /data/animals --audio rain.wav --generator captioner
echolens generate /data/animals --generator guided --prompt "a red bell:0.5" --sound-prompt bell.wav:0.5
echolens generate /data/animals --generator vae --class dog --samples 20 --name dogs
echolens generate /data/animals --generator vae --between 000012 000345 --samples 1 --name way
echolens generate s3://bucket/animals --via wit_cc-mlp-cosine-h512 --address http://head:8265

The samples lie in ROOT/generated/NAME/: WebDataset tars, and a table that says of every row what became
of it. A killed run goes on with the same command, and makes the same bytes. The pocket generator is for the
miniature world, and for nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from jobs.shared.arguments import parse_column
from jobs.shared.contact_sheet import write_sheet
from jobs.shared.evaluate_generated import format_scores, score_generated
from jobs.shared.generation import generate
from jobs.shared.generator_options import add_params, collect_params, with_generator
from jobs.shared.guided_prompts import add_prompts, get_options, has_prompts, with_prompts
from jobs.shared.job import load, run
from jobs.shared.submit import add_address, submit
from jobs.shared.terminal import format_count, format_text
from jobs.shared.trust import add_trust, check_uses, read_trust
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from pipelines.store.validation import check_content
from schemas.generated import GeneratedCard, GenerationSettings, SampleFormat

if TYPE_CHECKING:
    from pipelines.generate.request import GenerationRequest


def main(argv: Sequence[str]) -> None:
    """Make samples, and say how many there are and where."""
    args = _make_parser().parse_args(argv)
    if args.address:
        sys.exit(_submit(args, argv))
    dataset = load(args.target, trust=read_trust(args))
    dataset = with_vector_set(Root.from_dataset(dataset), dataset, args.set)
    options = {"revision": args.revision, "precision": args.precision, "batch_rows": args.batch_rows}
    options |= {"base": args.base} | get_options(args, dataset)
    dataset = with_generator(dataset, args.generator, options, "generate")
    check_uses(dataset, "generate")
    request = _make_request(args)
    if has_prompts(args):
        request = with_prompts(dataset, request, args)
    card = generate(dataset, request, workers=args.workers)
    scores = None
    if args.score:
        scores = score_generated(dataset, card, args.score, args.judges, args.second_clap)
    if args.sheet:
        write_sheet(Root.from_dataset(dataset), card, args.sheet)
    if args.json:
        print(card.model_dump_json(indent=2))
        return
    print_licence(card)
    if card.wanted.generator.medium == "text" and (args.audio or args.images):
        print(format_texts(Root.from_dataset(dataset), card))
    place = f"{Root.from_dataset(dataset).url}/generated/{card.wanted.name}"
    rows = sum(card.outcomes.values())
    if scores:
        print(format_scores(scores))
    cosine = "" if card.mean_score is None else f", mean cosine to their vectors {card.mean_score:.3f}"
    length = "" if card.length_s is None else f", {card.length_s:,.1f} s"
    samples = format_count(card.samples, card.wanted.generator.medium)
    print(f"{samples} of {format_count(rows, 'prompt')}{length}{cosine}, in {place}")


def print_licence(card: GeneratedCard) -> None:
    """Print the licence of the samples, if the generator's weights state one."""
    generator = card.wanted.generator
    if generator.licence:
        is_limited = "-nc" in generator.licence.lower()
        limits = f": no commercial use of these {generator.medium}s" if is_limited else ""
        print(f"generate: {generator.name} is under {generator.licence}{limits}", file=sys.stderr)


def format_texts(root: Root, card: GeneratedCard) -> str:
    """Return the texts of a NAME as lines: what each is of, and what it says."""
    from pipelines.generate.caption_table import iterate_captions
    from pipelines.store.shards import Shard

    shards = [Shard(number, "clip", "local", 0) for number in range(card.shards)]
    rows = iterate_captions(root, card.wanted.name, shards)
    # Of a picture that was packed the address has the tar, too.
    named = ((str(row["url"]).rpartition("/")[2], str(row["caption"])) for row in rows)
    return "\n".join(f"  {format_text(name)}  {format_text(text)}" for name, text in named)


def _make_request(args: argparse.Namespace) -> GenerationRequest:
    from pipelines.generate.request import GenerationRequest

    if args.text and (args.keys or args.limit or args.images):
        raise ConfigError("--text goes beside --audio alone; leave --keys, --limit and --images away")
    settings = {
        key: getattr(args, key) for key in GenerationSettings.model_fields if getattr(args, key) is not None
    }
    return GenerationRequest(
        name=args.name,
        via=args.via,
        column=args.column,
        keys=tuple(args.keys),
        held_out=args.held_out,
        limit=args.limit,
        texts=tuple(args.text),
        sounds=tuple(args.audio),
        pictures=tuple(args.images),
        settings=check_content(GenerationSettings, settings, "generate"),
        params=collect_params(args),
    )


def _submit(args: argparse.Namespace, argv: Sequence[str]) -> int:
    local = [place for place in args.images if "://" not in place and not Path(place).is_absolute()]
    if local or args.audio:
        raise ConfigError(
            f"{(local or args.audio)[0]} is a file of this machine and does not travel to a cluster; name "
            "pictures by URLs or by absolute paths that all nodes see, and take sounds into a dataset"
        )
    # `submit` gives these again, and the target as the cluster sees it.
    given_again = argparse.ArgumentParser(add_help=False)
    add_trust(given_again)
    add_address(given_again)
    flags = given_again.parse_known_args(argv)[1]
    flags.remove(args.target)
    return submit(args.address, "generate", args.target, flags=flags, trust=read_trust(args))


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echolens generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    add("--name", help="of the folder below ROOT/generated; sounds, pictures or texts if not given")
    add("--via", metavar="TRANSLATOR", help="from the vectors to those of sounds; or captions")
    add(
        "--column", type=parse_column, metavar="COLUMN", help="of the rows; the translator's own if not given"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--keys", nargs="+", default=(), metavar="KEY", help="these rows")
    what.add_argument("--limit", type=int, metavar="N", help="the first N rows")
    what.add_argument(
        "--samples", dest="limit", type=int, metavar="N", help="so many, of a generator that reads nothing"
    )
    add("--held-out", action="store_true", help="only rows that the translator was not trained on")
    what.add_argument(
        "--images", nargs="+", default=(), metavar="PLACE", help="picture files, folders of them, URLs"
    )
    add("--text", action="append", default=[], help="words; repeat for more, with --audio: beside each sound")
    what.add_argument("--audio", nargs="+", default=(), type=Path, metavar="FILE", help="sound files")
    add(
        "--generator", metavar="G", help="NAME, NAME:TRAINED or module:Class; or AudioLDM's weights: pocket, "
        "a folder, OWNER/NAME of the hub; that of the dataset if not given",
    )  # fmt: skip
    add("--revision", metavar="COMMIT", help="of the hub's repository")
    add("--base", metavar="B", help="of an adapter: pocket, a folder, OWNER/NAME of the hub")
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="bf16 on a GPU, else fp32")
    add("--batch-rows", type=int, metavar="N", help="samples of every forward; 8 if not given")
    add_params(parser)
    add("--seed", type=int, help="0 if not given")
    add("--candidates", type=int, metavar="N", help="samples of each vector, of which the nearest is kept")
    add("--format", choices=get_args(SampleFormat), help="flac, png or txt if not given")
    add(
        "--shard-samples",
        "--shard-sounds",
        type=int,
        metavar="N",
        help="samples of a shard; 100 if not given",
    )
    add("--sheet", type=Path, metavar="FILE", help="lay all pictures out in one PNG of this machine")
    add("--workers", type=int, metavar="N", help="one a GPU if not given, else one")
    _add_scoring(parser)
    add("--set", help="the set of vectors; that of the newest build if not given")
    add("--json", action="store_true", help="print the card")
    add_trust(parser)
    add_address(parser)
    return add_prompts(parser)


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--score", nargs="+", metavar="CLASS", help="classify the samples: words of the classes")
    add(
        "--judges",
        nargs="+",
        default=(),
        metavar="JUDGE",
        help="with --score: others than the dataset's encoder: pocket, clap:FOLDER, panns:FILE, module:Class",
    )
    add("--second-clap", metavar="FOLDER", help="the same as --judges clap:FOLDER")


if __name__ == "__main__":
    run(main)
