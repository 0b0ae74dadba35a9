"""Make sounds of pictures, texts and sounds: encode -> translate -> generate.

echolens generate /data/animals --via wit_cc-mlp-cosine-h512 --limit 100 --name first
echolens generate /data/animals --via wit_cc-mlp-cosine-h512 --images dog.jpg holiday/ --name mine
echolens generate /data/animals --via captions --limit 100 --name captions
echolens generate /data/animals --text "a dog barking" --candidates 4 --name dog
echolens generate /data/animals --column clap_audio --limit 100 --generator cvssp/audioldm-s-full-v2
echolens generate s3://bucket/animals --via wit_cc-mlp-cosine-h512 --address http://head:8265

The sounds lie in ROOT/generated/NAME/: WebDataset tars, and a table that says of every row what became of it.
A killed run goes on with the same command, and makes the same bytes. The pocket generator is for the
miniature world, and for nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.evaluate_generated import format_scores, score_generated
from jobs.shared.external_media import build_pictures, encode_sounds, find_pictures, read_sound_files
from jobs.shared.job import check_content, load, run
from jobs.shared.progress import RowProgress
from jobs.shared.submit import add_address, submit
from pipelines.errors import ConfigError, SpaceError
from pipelines.store.dataset_file import read_spaces, with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset, GeneratorEntry
from schemas.generated import GeneratedCard, GenerationManifest, GenerationParams, PromptSource
from schemas.vectors import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.encode.encoder import EncoderSpec
    from pipelines.generate.prompts import Prompt, PromptTables
    from pipelines.generate.registry import GeneratorSpec
    from pipelines.generate.request import ConditioningPath, GenerationRequest
    from pipelines.generate.step import GenerateStep
    from pipelines.store.shards import Shard
    from schemas.version import Version


def generate(dataset: Dataset, order: GenerationRequest, workers: int | None = None) -> GeneratedCard:
    """Make the sounds that are not there yet, and return the card of all of them.

    Args:
        dataset: whose rows, encoders and translators.
        order: what is asked for.
        workers: one a GPU if None, else one.

    Raises:
        ConfigError: what is asked for cannot be, or the name stands for something else.
        SpaceError: the vectors are not of the generator's own CLAP.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.generate.output import find_card, finish, read_manifest, write_manifest
    from pipelines.generate.request import find_path
    from pipelines.generate.step import GenerateStep, get_folder
    from pipelines.store import lease, versions

    root = Root.from_url(dataset.root)
    version = versions.read_current(root, dataset.encode.set)
    chosen: GeneratorSpec = run_in_subprocess(_chosen, dataset.generator)
    route = find_path(root, version, order)
    wanted = _wanted(dataset, order, version, route, chosen)
    there = read_manifest(root, wanted)
    if there and (card := find_card(root, order.name)):
        return card
    with lease.hold_lease(Root.from_url(f"{root.url}/{get_folder(order.name)}"), "generate") as held:
        judge, cosine = _judge(dataset, order, chosen, route)
        step = GenerateStep(root, there or wanted, chosen, route.source, route.target, judge)
        shards = step.prompts.read_shards() if there else None
        if shards is None:
            shards = _write_prompts(dataset, order, version, route, step.prompts, judge)
            write_manifest(root, wanted)
        _run(step, shards, workers)
        held.check()
        return finish(step, shards, route.space, cosine)


def _chosen(_: Path, __: object, asked: GeneratorEntry) -> GeneratorSpec:
    from pipelines.generate.registry import choose_generator

    return choose_generator(asked)


def _wanted(
    dataset: Dataset,
    order: GenerationRequest,
    version: Version,
    route: ConditioningPath,
    chosen: GeneratorSpec,
) -> GenerationManifest:
    names = [path.name for path in order.sounds]
    hashes = read_sound_files(order.sounds)[1]
    asked = PromptSource(
        column=route.rows,
        keys=tuple(sorted(order.keys)),
        limit=order.limit,
        texts=order.texts,
        sounds=tuple(f"{name} {sha256}" for name, sha256 in zip(names, hashes, strict=True)),
        pictures=find_pictures(order.pictures).sha256 if order.pictures else None,
    )
    content = {
        "name": order.name, "set": dataset.encode.set, "version": version.number, "asked": asked,
        "via": order.via or "none", "translator": route.translator, "generator": chosen.info,
        "making": order.making,
    }  # fmt: skip
    return check_content(GenerationManifest, content, "generate")


def _judge(
    dataset: Dataset, order: GenerationRequest, chosen: GeneratorSpec, route: ConditioningPath
) -> tuple[EncoderSpec | None, float | None]:
    """Return the CLAP that scores candidates and the cosine of the gate; None where there is none.

    Raises:
        SpaceError: vectors would be given to a generator of another CLAP, or candidates cannot be scored.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.generate.space_check import verify_generator

    pinned = read_spaces(Root.from_url(dataset.root), dataset.encode.set)
    try:
        return run_in_subprocess(verify_generator, dataset.encode, pinned, chosen, route.space, route.what)
    except SpaceError as error:
        if route.space is not None:
            raise
        if order.making.candidates > 1:
            raise SpaceError(
                f"candidates cannot be told apart by the dataset's CLAP ({error}); take --candidates 1"
            ) from error
        return None, None


def _write_prompts(  # noqa: PLR0913, PLR0917
    dataset: Dataset,
    order: GenerationRequest,
    version: Version,
    route: ConditioningPath,
    prompts: PromptTables,
    clap: EncoderSpec | None,
) -> list[Shard]:
    from pipelines.generate.prompts import (
        make_picture_prompts,
        make_text_prompts,
        make_vector_prompts,
        make_version_prompts,
        read_space,
    )

    root = Root.from_url(dataset.root)
    space = read_space(root, version, route.source) if route.source else None
    given: Iterable[Prompt]
    if order.texts:
        given = make_text_prompts(order.texts)
    elif order.sounds:
        assert clap is not None
        files, hashes = read_sound_files(order.sounds)
        names = [path.name for path in order.sounds]
        given, space = (
            make_vector_prompts(names, hashes, encode_sounds(clap, files), "clap_audio"),
            clap.space,
        )
    elif order.pictures:
        clip = read_spaces(root, dataset.encode.set).get("clip")
        if clip is None:
            raise ConfigError(f"{root.url} has no CLIP, so pictures get no vectors; build a set with one")
        pictures, of = build_pictures(dataset, find_pictures(order.pictures), clip)
        given = make_picture_prompts(Root.from_url(pictures.root), pictures.shard_rows, of, route.source)
    else:
        assert route.rows is not None
        spoken = route.source is None
        given = make_version_prompts(
            root, dataset.shard_rows, version, route.rows, order.keys, order.limit, spoken
        )
    return prompts.write(given, route.source, space)


def _run(step: GenerateStep, shards: Sequence[Shard], workers: int | None) -> None:
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining

    flow = PlanSteps(step, workers=workers)
    left = find_remaining(flow, shards)
    with Session() as session, RowProgress("generate", left.rows) as progress:

        def through(done: ShardResult) -> None:
            progress.add(done.shard.rows, done.outcomes)
            progress.spent(done.seconds)

        session.run(flow, left, through)


def main(argv: Sequence[str]) -> None:
    """Make sounds, and say how many there are and where."""
    parser = _parser()
    asked = parser.parse_args(argv)
    if asked.address:
        sys.exit(_submitted(asked, argv))
    dataset = load(asked.target)
    dataset = with_vector_set(Root.from_url(dataset.root), dataset, asked.set)
    given = {
        "weights": asked.generator, "revision": asked.revision, "precision": asked.precision,
        "batch_rows": asked.batch_rows,
    }  # fmt: skip
    there = dataset.generator.model_dump() if asked.generator in (None, dataset.generator.weights) else {}
    content = there | {key: value for key, value in given.items() if value is not None}
    dataset = dataset.model_copy(update={"generator": check_content(GeneratorEntry, content, "generate")})
    card = generate(dataset, _order(asked), workers=asked.workers)
    scores = score_generated(dataset, card, asked.score, asked.second_clap) if asked.score else None
    if asked.json:
        print(card.model_dump_json(indent=2))
        return
    print_card(card)
    rows, place = sum(card.outcomes.values()), f"{Root.from_url(dataset.root).url}/generated/{asked.name}"
    if scores:
        print(format_scores(scores))
    near = "" if card.mean_score is None else f", mean cosine to their vectors {card.mean_score:.3f}"
    many, asked_for = "sound" + "s" * (card.sounds != 1), "prompt" + "s" * (rows != 1)
    print(f"{card.sounds} {many} of {rows} {asked_for}, {card.sounds_s:,.1f} s{near}, in {place}")


def print_card(card: GeneratedCard) -> None:
    """Print under which licence the sounds are, where the weights say one."""
    by = card.wanted.generator
    if by.licence:
        bound = ": no commercial use of these sounds" if "-nc" in by.licence.lower() else ""
        print(f"generate: {by.name} is under {by.licence}{bound}", file=sys.stderr)


def _order(asked: argparse.Namespace) -> GenerationRequest:
    from pipelines.generate.request import GenerationRequest

    making = {
        key: getattr(asked, key) for key in GenerationParams.model_fields if getattr(asked, key) is not None
    }
    return GenerationRequest(
        name=asked.name,
        via=asked.via,
        column=asked.column,
        keys=tuple(asked.keys),
        limit=asked.limit,
        texts=tuple(asked.text),
        sounds=tuple(asked.audio),
        pictures=tuple(asked.images),
        making=check_content(GenerationParams, making, "generate"),
    )


def _submitted(asked: argparse.Namespace, argv: Sequence[str]) -> int:
    local = [place for place in asked.images if "://" not in place and not Path(place).is_absolute()]
    if local or asked.audio:
        raise ConfigError(
            f"{(local or asked.audio)[0]} is a file of this machine and does not travel to a cluster; name "
            "pictures by URLs or by absolute paths that all nodes see, and take sounds into a dataset"
        )
    flags = [word for word in argv if word != asked.target]
    at = next(place for place, word in enumerate(flags) if word.startswith("--address"))
    del flags[at : at + (1 if "=" in flags[at] else 2)]
    return submit(asked.address, "generate", asked.target, flags=flags)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echolens generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    add("--name", default="sounds", help="of the folder below ROOT/generated; sounds if not given")
    add("--via", metavar="TRANSLATOR", help="from the vectors to those of sounds; or captions")
    add("--column", choices=COLUMNS, help="of the rows; the translator's own if not given")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--keys", nargs="+", default=(), metavar="KEY", help="these rows")
    what.add_argument("--limit", type=int, metavar="N", help="the first N rows")
    what.add_argument(
        "--images", nargs="+", default=(), metavar="PLACE", help="picture files, folders of them, URLs"
    )
    what.add_argument("--text", action="append", default=[], help="words; repeat for more")
    what.add_argument("--audio", nargs="+", default=(), type=Path, metavar="FILE", help="sound files")
    add("--generator", metavar="G", help="pocket, a folder or OWNER/NAME of the hub; that of the dataset")
    add("--revision", metavar="COMMIT", help="of the hub's repository")
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="bf16 on a GPU, else fp32")
    add("--batch-rows", type=int, metavar="N", help="sounds of every forward; 8 if not given")
    add("--steps", type=int, help="of the diffusion; 50 if not given")
    add("--guidance", type=float, help="how much a vector is followed; 2.5 if not given")
    add("--length-s", type=float, metavar="S", help="of every sound; 5 if not given")
    add("--seed", type=int, help="0 if not given")
    add("--candidates", type=int, metavar="N", help="sounds of each vector, of which the nearest is kept")
    add("--format", choices=("flac", "wav"), help="flac if not given")
    add("--shard-sounds", type=int, metavar="N", help="sounds of a shard; 100 if not given")
    add("--workers", type=int, metavar="N", help="one a GPU if not given, else one")
    add("--score", nargs="+", metavar="CLASS", help="listen to the sounds: words of the classes")
    add("--second-clap", metavar="FOLDER", help="with --score: a CLAP that had no part in choosing")
    add("--set", help="the set of vectors; that of the newest build if not given")
    add("--json", action="store_true", help="print the card")
    add_address(parser)
    return parser


if __name__ == "__main__":
    run(main)
