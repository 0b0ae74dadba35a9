"""Generate samples of the rows of a dataset, and of texts, sounds and pictures from outside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.shared.external_media import (
    build_pictures,
    check_sounds,
    encode_media,
    find_pictures,
    read_sound_files,
)
from jobs.shared.progress import RowProgress
from pipelines.errors import ConfigError, SpaceError
from pipelines.store.dataset_file import read_spaces
from pipelines.store.places import check_places
from pipelines.store.root import Root
from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.families import Column, find_default, get_modality
from schemas.generated import GeneratedCard, GenerationManifest, PromptSource

if TYPE_CHECKING:
    import numpy as np

    from pipelines.generate.generator import ChosenGenerator
    from pipelines.generate.prompts import Prompt, PromptTables
    from pipelines.generate.request import ConditioningPath, GenerationRequest
    from pipelines.generate.space_check import VerifiedPath
    from pipelines.generate.step import GenerateStep
    from pipelines.store.shards import Shard
    from schemas.space import Space
    from schemas.version import Version


def generate(dataset: Dataset, request: GenerationRequest, workers: int | None = None) -> GeneratedCard:
    """Generate the samples that are not there yet, and return the card of all of them.

    Args:
        dataset: whose rows, encoders and translators.
        request: the prompts, the path from them to the generator, and how samples are generated.
        workers: one a GPU if None, else one.

    Raises:
        ConfigError: the request cannot be met, or its name stands for something else.
        SpaceError: the vectors are not of the generator's own space.
    """
    from pipelines.generate.alternatives import read_from
    from pipelines.generate.caption_table import write_captions
    from pipelines.generate.output import find_card, read_manifest, write_card, write_manifest
    from pipelines.generate.request import find_path
    from pipelines.generate.step import GenerateStep, get_folder
    from pipelines.store import versions
    from pipelines.store.lease import hold_lease

    root = Root.from_dataset(dataset)
    version = versions.read_current(root, dataset.encode.set)
    generator = read_from(resolve_generator(dataset), request)
    name = request.name or f"{generator.info.medium}s"
    request = replace(request, name=name)
    path = find_path(root, version, request, generator.info)
    if request.via is None and path.translator is not None:
        print(f"generate: via {path.translator.name}, the default", file=sys.stderr)
        request = replace(request, via=path.translator.name)
    manifest = _make_manifest(dataset, request, version, path, generator)
    stored = read_manifest(root, manifest)
    if stored and (card := find_card(root, name)):
        return card
    with hold_lease(root.enter(get_folder(name)), "generate") as lease:
        verified = _verify_path(dataset, request, version, generator, path)
        step = GenerateStep(root, stored or manifest, generator, path.conditions, verified.judge)
        shards = step.prompts.read_shards() if stored else None
        if shards is None:
            shards = _write_prompts(dataset, request, version, path, step.prompts)
            write_manifest(root, manifest)
        _run(step, shards, workers)
        lease.check()
        if generator.info.medium == "text":
            write_captions(root, name, shards)
        return write_card(step, shards, verified.cosine)


def resolve_generator(dataset: Dataset, compiled: bool = True) -> ChosenGenerator:
    """Return the generator of a dataset; another process reads its weights.

    Args:
        dataset: whose generator, and in whose root the trained ones lie.
        compiled: whether its net may be compiled.

    Raises:
        ConfigError: only a root names its weights.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.generate.places import find_generator_places

    check_places(dataset.given_trust, find_generator_places(dataset.generator))
    return run_in_subprocess(_choose, dataset, compiled)


def _choose(dataset: Dataset, compiled: bool) -> ChosenGenerator:
    from pipelines.generate.registry import choose_generator

    return choose_generator(dataset.generator, Root.from_dataset(dataset), dataset.trusted, compiled)


def _make_manifest(
    dataset: Dataset,
    request: GenerationRequest,
    version: Version,
    path: ConditioningPath,
    generator: ChosenGenerator,
) -> GenerationManifest:
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.generate.media import choose_format
    from pipelines.generate.params import make_params
    from pipelines.generate.row_params import fill_params, has_row_params

    names = [file.name for file in request.sounds]
    hashes = read_sound_files(request.sounds)[1]
    source = PromptSource(
        column=path.rows,
        keys=tuple(sorted(request.keys)),
        limit=request.limit,
        held_out=request.held_out,
        texts=request.texts,
        sounds=tuple(f"{name} {sha256}" for name, sha256 in zip(names, hashes, strict=True)),
        pictures=find_pictures(request.pictures).sha256 if request.pictures else None,
    )
    form = choose_format(generator.info.medium, request.settings.format)
    params = make_params(generator.spec.params, request.params, generator.info.name)
    if has_row_params(generator.spec, params):
        place = (Root.from_dataset(dataset), dataset.shard_rows, version)
        params = run_in_subprocess(fill_params, generator.spec, params, *place)
    content = {
        "name": request.name, "set": dataset.encode.set, "version": version.number, "asked": source,
        "via": request.via or "none", "translator": path.translator, "generator": generator.info,
        "settings": request.settings.model_copy(update={"format": form}),
        "params": params.model_dump(mode="json"),
    }  # fmt: skip
    return check_content(GenerationManifest, content, "generate")


def _verify_path(
    dataset: Dataset,
    request: GenerationRequest,
    version: Version,
    generator: ChosenGenerator,
    path: ConditioningPath,
) -> VerifiedPath:
    """Return the judge of candidates and the cosine of the space check.

    Raises:
        SpaceError: vectors would be given to a generator of another space, or candidates cannot be scored.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.generate.space_check import verify_path
    from pipelines.store.versions import open_vectors

    root = Root.from_dataset(dataset)
    pinned, stored = read_spaces(root, dataset.encode.set), open_vectors(root, version)
    verified: VerifiedPath = run_in_subprocess(verify_path, dataset.encode, pinned, generator, path, stored)
    if verified.judge is None and request.settings.candidates > 1:
        raise SpaceError(
            f"candidates cannot be told apart by the dataset's encoders ({verified.why_no_judge}); take "
            "--candidates 1"
        )
    return verified


def _write_prompts(
    dataset: Dataset,
    request: GenerationRequest,
    version: Version,
    path: ConditioningPath,
    tables: PromptTables,
) -> list[Shard]:
    from pipelines.generate.held_out import find_held_out
    from pipelines.generate.prompts import make_prior_prompts, make_text_prompts, make_version_prompts

    root = Root.from_dataset(dataset)
    spaces = _read_source_spaces(root, version, request, path)
    prompts: Iterable[Prompt]
    if request.texts and not request.sounds:
        prompts = make_text_prompts(request.texts)
        if path.source:
            prompts = _with_vectors(
                list(prompts), path.source, encode_media(dataset, path.source, request.texts)
            )
    elif request.sounds:
        prompts = _make_sound_prompts(dataset, request, path)
    elif request.pictures:
        prompts = _build_picture_prompts(dataset, request, path)
    elif path.rows is None:
        prompts = make_prior_prompts(request.limit or 0)
    else:
        columns = tuple(spaces)
        chosen = (
            find_held_out(root, dataset.shard_rows, version, path.translator) if request.held_out else None
        )
        prompts = make_version_prompts(
            root, dataset.shard_rows, version, path.rows, columns, request.keys, request.limit, chosen
        )
    return tables.write(prompts, spaces)


def _read_source_spaces(
    root: Root, version: Version, request: GenerationRequest, path: ConditioningPath
) -> dict[Column, Space]:
    """Return the space of each column of the prompts: as rows have it, or media from outside get it."""
    from pipelines.generate.prompts import read_space

    pinned = read_spaces(root, version.set)
    sources = dict.fromkeys(each.source for each in path.conditions)
    return {
        column: pinned[column] if request.texts or request.sounds else read_space(root, version, column)
        for column in sources
    }


def _with_vectors(prompts: Sequence[Prompt], column: Column, vectors_ND: np.ndarray) -> list[Prompt]:
    return [
        prompt | {column: vector_D.astype("float16")}
        for prompt, vector_D in zip(prompts, vectors_ND, strict=True)
    ]


def _make_sound_prompts(
    dataset: Dataset, request: GenerationRequest, path: ConditioningPath
) -> Iterable[Prompt]:
    from pipelines.generate.prompts import make_vector_prompts

    assert path.source is not None
    files, hashes = read_sound_files(request.sounds)
    check_sounds(request.sounds, files)
    names = [file.name for file in request.sounds]
    units_ND = encode_media(dataset, path.source, files)
    return make_vector_prompts(names, hashes, units_ND, path.source, request.texts)


def _build_picture_prompts(
    dataset: Dataset, request: GenerationRequest, path: ConditioningPath
) -> Iterable[Prompt]:
    """Build the pictures of a request into a root of their own, and return their prompts."""
    from pipelines.generate.prompts import make_picture_prompts

    root = Root.from_dataset(dataset)
    spaces = read_spaces(root, dataset.encode.set)
    column = path.source or find_default("image", spaces)
    if column not in spaces or get_modality(column) != "image":
        raise ConfigError(
            f"{root.url} has no encoder of pictures, so they get no vectors; build a set with one"
        )
    found = find_pictures(request.pictures)
    pictures, version = build_pictures(dataset, found, column, spaces[column])
    return make_picture_prompts(Root.from_dataset(pictures), pictures.shard_rows, version, path.source)


def _run(step: GenerateStep, shards: Sequence[Shard], workers: int | None) -> None:
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining

    steps = PlanSteps(step, workers=workers)
    remaining = find_remaining(steps, shards)
    with Session() as session, RowProgress("generate", remaining.rows) as progress:

        def on_shard(result: ShardResult) -> None:
            progress.add(result.shard.rows, result.outcomes)
            progress.add_seconds(result.seconds)

        session.run(steps, remaining, on_shard)
