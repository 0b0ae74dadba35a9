"""Generate sounds of the rows of a dataset, and of texts, sounds and pictures from outside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jobs.shared.external_media import build_pictures, encode_sounds, find_pictures, read_sound_files
from jobs.shared.job import check_content
from jobs.shared.progress import RowProgress
from pipelines.errors import ConfigError, SpaceError
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.dataset import Dataset, GeneratorEntry
from schemas.families import find_default, get_modality
from schemas.generated import GeneratedCard, GenerationManifest, PromptSource

if TYPE_CHECKING:
    from pipelines.encode.encoder import EncoderSpec
    from pipelines.generate.prompts import Prompt, PromptTables
    from pipelines.generate.registry import GeneratorSpec
    from pipelines.generate.request import ConditioningPath, GenerationRequest
    from pipelines.generate.step import GenerateStep
    from pipelines.store.shards import Shard
    from schemas.version import Version


def generate(dataset: Dataset, request: GenerationRequest, workers: int | None = None) -> GeneratedCard:
    """Generate the sounds that are not there yet, and return the card of all of them.

    Args:
        dataset: whose rows, encoders and translators.
        request: the prompts, the path from them to the generator, and how sounds are generated.
        workers: one a GPU if None, else one.

    Raises:
        ConfigError: the request cannot be met, or its name stands for something else.
        SpaceError: the vectors are not of the generator's own CLAP.
    """
    from pipelines.generate.output import find_card, read_manifest, write_card, write_manifest
    from pipelines.generate.request import find_path
    from pipelines.generate.step import GenerateStep, get_folder
    from pipelines.store import versions
    from pipelines.store.lease import hold_lease

    root = Root.from_url(dataset.root)
    version = versions.read_current(root, dataset.encode.set)
    generator = resolve_generator(dataset.generator)
    path = find_path(root, version, request)
    manifest = _make_manifest(dataset, request, version, path, generator)
    stored = read_manifest(root, manifest)
    if stored and (card := find_card(root, request.name)):
        return card
    with hold_lease(Root.from_url(f"{root.url}/{get_folder(request.name)}"), "generate") as lease:
        clap, cosine = _verify_generator(dataset, request, generator, path)
        step = GenerateStep(root, stored or manifest, generator, path.source, path.target, clap)
        shards = step.prompts.read_shards() if stored else None
        if shards is None:
            shards = _write_prompts(dataset, request, version, path, step.prompts, clap)
            write_manifest(root, manifest)
        _run(step, shards, workers)
        lease.check()
        return write_card(step, shards, path.space, cosine)


def resolve_generator(entry: GeneratorEntry, compiled: bool = True) -> GeneratorSpec:
    """Return the generator that an entry names; another process reads its weights.

    Args:
        entry: of a dataset's file.
        compiled: whether its net may be compiled.
    """
    from pipelines.compute.child_process import run_in_subprocess

    return run_in_subprocess(_choose, entry, compiled)


def _choose(entry: GeneratorEntry, compiled: bool) -> GeneratorSpec:
    from pipelines.generate.registry import choose_generator

    return choose_generator(entry, compiled=compiled)


def _make_manifest(
    dataset: Dataset,
    request: GenerationRequest,
    version: Version,
    path: ConditioningPath,
    generator: GeneratorSpec,
) -> GenerationManifest:
    names = [file.name for file in request.sounds]
    hashes = read_sound_files(request.sounds)[1]
    source = PromptSource(
        column=path.rows,
        keys=tuple(sorted(request.keys)),
        limit=request.limit,
        texts=request.texts,
        sounds=tuple(f"{name} {sha256}" for name, sha256 in zip(names, hashes, strict=True)),
        pictures=find_pictures(request.pictures).sha256 if request.pictures else None,
    )
    content = {
        "name": request.name, "set": dataset.encode.set, "version": version.number, "asked": source,
        "via": request.via or "none", "translator": path.translator, "generator": generator.info,
        "making": request.params,
    }  # fmt: skip
    return check_content(GenerationManifest, content, "generate")


def _verify_generator(
    dataset: Dataset, request: GenerationRequest, generator: GeneratorSpec, path: ConditioningPath
) -> tuple[EncoderSpec | None, float | None]:
    """Return the CLAP that scores candidates and the cosine of the space check; None where there is none.

    Raises:
        SpaceError: vectors would be given to a generator of another CLAP, or candidates cannot be scored.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.generate.space_check import verify_generator

    pinned = read_spaces(Root.from_url(dataset.root), dataset.encode.set)
    try:
        return run_in_subprocess(verify_generator, dataset.encode, pinned, generator, path.space, path.what)
    except SpaceError as error:
        if path.space is not None:
            raise
        if request.params.candidates > 1:
            raise SpaceError(
                f"candidates cannot be told apart by the dataset's CLAP ({error}); take --candidates 1"
            ) from error
        return None, None


def _write_prompts(  # noqa: PLR0913, PLR0917
    dataset: Dataset,
    request: GenerationRequest,
    version: Version,
    path: ConditioningPath,
    tables: PromptTables,
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
    space = read_space(root, version, path.source) if path.source else None
    prompts: Iterable[Prompt]
    if request.texts:
        prompts = make_text_prompts(request.texts)
    elif request.sounds:
        assert clap is not None
        files, hashes = read_sound_files(request.sounds)
        names = [file.name for file in request.sounds]
        prompts, space = (
            make_vector_prompts(names, hashes, encode_sounds(clap, files), "clap_audio"),
            clap.space,
        )
    elif request.pictures:
        spaces = read_spaces(root, dataset.encode.set)
        column = path.source or find_default("image", spaces)
        if column not in spaces or get_modality(column) != "image":
            raise ConfigError(
                f"{root.url} has no encoder of pictures, so they get no vectors; build a set with one"
            )
        found = find_pictures(request.pictures)
        pictures, their_version = build_pictures(dataset, found, column, spaces[column])
        prompts = make_picture_prompts(
            Root.from_url(pictures.root), pictures.shard_rows, their_version, path.source
        )
    else:
        assert path.rows is not None
        from_captions = path.source is None
        prompts = make_version_prompts(
            root, dataset.shard_rows, version, path.rows, request.keys, request.limit, from_captions
        )
    return tables.write(prompts, path.source, space)


def _run(step: GenerateStep, shards: Sequence[Shard], workers: int | None) -> None:
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining

    steps = PlanSteps(step, workers=workers)
    remaining = find_remaining(steps, shards)
    with Session() as session, RowProgress("generate", remaining.rows) as progress:

        def on_shard(result: ShardResult) -> None:
            progress.add(result.shard.rows, result.outcomes)
            progress.add_seconds(result.seconds)

        session.run(steps, remaining, on_shard)
