"""What a command asks for -> a checked plan: columns, ways, generators and judges, before any work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.compute.cpu import count_available_cpus
from pipelines.compute.device import choose_device
from pipelines.encode.encoder import EncoderSpec, get_spaces
from pipelines.encode.resolve import resolve, resolve_entry
from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, PlannedWay
from pipelines.evaluate.evaluation_set import EvaluationSet, Part, SetRows
from pipelines.evaluate.generation import MAX_ROWS, WaySamples, find_way_path
from pipelines.evaluate.judges.independence import is_independent, share_weights
from pipelines.evaluate.judges.judge import JudgeSpec
from pipelines.evaluate.judges.registry import check_rate, choose_judges
from pipelines.evaluate.registry import NEAREST, check_ways, plan_ways
from pipelines.evaluate.request import EvaluationRequest, EvaluationTarget
from pipelines.evaluate.row_sets.dataset import RowChoice, open_dataset_set
from pipelines.evaluate.row_sets.scenes import MiniatureScenes
from pipelines.evaluate.translators import find_default_translator
from pipelines.evaluate.vggsounder import NAME, ClipLabels, read_clip_labels
from pipelines.evaluate.ways.translator import TranslatorWay
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.params import make_params
from pipelines.generate.registry import choose_generator, parse_generator
from pipelines.generate.space_check import verify_path
from pipelines.store.validation import check_content
from pipelines.store.versions import read_current
from schemas.encoders import POCKET
from schemas.evaluation import Direction, split_direction
from schemas.families import Column, find_default, get_family, get_modality
from schemas.generated import ModelRef
from schemas.generators import AnyGenerator, OtherGenerator
from schemas.media import Medium
from schemas.space import Space
from schemas.strict import StrictModel
from schemas.training import SplitSettings

_MODALITIES = {"picture": "image", "sound": "audio", "text": "text"}


class _Named(StrictModel):
    """The entry of a generator that a way names."""

    generator: AnyGenerator


@dataclass(frozen=True, eq=False)
class RowSource:
    """The rows that are scored, before their vectors are there.

    Attributes:
        media: scenes of the miniature world, or the set itself.
        count: of the scored rows.
        sha256: over the ids of both parts.
        split: heldout, or all.
        labels: that clips find each other by, too; None if nobody asked for them.
        specs: family -> encoder, of scenes.
    """

    media: MiniatureScenes | EvaluationSet
    count: int
    sha256: str
    split: str = "heldout"
    labels: ModelRef | None = None
    specs: tuple[tuple[str, EncoderSpec], ...] = ()


@dataclass(frozen=True, eq=False)
class EvaluationPlan:
    """A request that can be met.

    Attributes:
        source: of the rows.
        bench: of the direction.
        ways: in the order of the command.
        samples: of the ways that generate; None of the others.
        judges: each under its own name.
        fingerprints: of the judges.
        independent: way -> judge -> whether it owes it nothing.
        back: the translator that takes crossed vectors back; None if nothing leads there.
        cpu_workers: that share the cores of this machine; None where a GPU or a cluster decides.
    """

    source: RowSource
    bench: Bench
    ways: tuple[PlannedWay, ...]
    samples: tuple[WaySamples | None, ...]
    judges: tuple[JudgeSpec, ...]
    fingerprints: tuple[ModelRef, ...]
    independent: Mapping[str, Mapping[str, bool]]
    back: ModelRef | None = None
    cpu_workers: int | None = None

    def list_models(self) -> tuple[ModelRef, ...]:
        """Return the translators and generators of all ways, and what leads back, each once."""
        found: dict[tuple[str, str], ModelRef] = {}
        for planned in self.ways:
            made = [planned.generator.info] if planned.generator else []
            for model in (*planned.way.models, *made):
                ref = ModelRef(name=model.name, weights_sha256=model.weights_sha256)
                found[ref.name, ref.weights_sha256] = ref
        if self.back is not None:
            found[self.back.name, self.back.weights_sha256] = self.back
        return tuple(found.values())


def plan_evaluation(request: EvaluationRequest, target: EvaluationTarget) -> EvaluationPlan:
    """Return the plan of a request; weights are hashed, and spaces compared.

    Raises:
        ConfigError: a way, judge or generator is unknown, absent or not for this direction.
        SpaceError: vectors would be given to a model of another space.
    """
    medium = split_direction(request.direction)[1]
    check_ways(request.ways)
    if max(request.rows, request.gallery) > MAX_ROWS:
        raise ConfigError(
            f"--rows {request.rows} --gallery {request.gallery} are more than the {MAX_ROWS:,} that one "
            "evaluation holds; give fewer"
        )
    if target.root is None:
        target = replace(target, spaces=get_spaces(resolve(target.encode)))
    judges = choose_judges(request.judges, medium, request.trusted) if request.judges else []
    usual = _choose_usual(request, target)
    source, column = choose_columns(request.direction, target.spaces, usual)
    bench = Bench(
        request.direction, source, column, target.spaces, target.encode, target.root, usual, request.seed
    )

    def choose(name: str) -> ChosenGenerator:
        return _choose_named(name, request, target)

    ways = plan_ways(request.ways, bench, choose)
    if not request.reference and (lacking := [way for way in ways if way.generator is None]):
        raise ConfigError(
            f"way {lacking[0].name} ends in true {medium}s, and these rows have none; name ways that generate"
        )
    samples = tuple(_plan_samples(planned, bench, request, target) for planned in ways)
    encoders = [spec for _, spec in resolve_encoders(target)] if judges else []
    back = find_default_translator(bench.reverse())
    return EvaluationPlan(
        _find_rows(request, target, bench, ways),
        bench,
        tuple(ways),
        samples,
        tuple(judges),
        tuple(ModelRef(name=judge.name, weights_sha256=judge.fingerprint()) for judge in judges),
        _find_independent(judges, ways, samples, bench, encoders, request.rate_hz),
        back.ref if back else None,
        None if choose_device().type == "cuda" or "RAY_ADDRESS" in os.environ else count_available_cpus(),
    )


def _find_rows(
    request: EvaluationRequest, target: EvaluationTarget, bench: Bench, ways: Sequence[PlannedWay]
) -> RowSource:
    labels = _read_labels(request, target)
    if target.root is None:
        scenes = MiniatureScenes(request.direction, request.seed, request.rows, request.only, request.gallery)
        return RowSource(scenes, request.rows, _hash_parts(scenes.tables), specs=resolve_encoders(target))
    columns = (bench.source, bench.target) if request.reference else (bench.source,)
    choice = RowChoice(
        request.direction,
        columns,
        request.rows,
        request.gallery,
        request.seed,
        request.only,
        request.all_rows,
        _find_split(ways),
        labels,
    )
    version = read_current(target.root, target.set_name)
    found = open_dataset_set(target.root, target.name, target.shard_rows, version, target.spaces, choice)
    ref = ModelRef(name=NAME, weights_sha256=labels.sha256) if labels else None
    return RowSource(found, len(found.rows["scored"].ids), _hash_parts(found.rows), found.split, ref)


def _read_labels(request: EvaluationRequest, target: EvaluationTarget) -> ClipLabels | None:
    if request.labels is None:
        return None
    if target.root is None or "text" in split_direction(request.direction) or not request.reference:
        raise ConfigError(
            f"--labels {request.labels} says which pictures and sounds of a dataset's clips belong together, "
            f"and nothing of {request.direction} of {target.name}; leave it out"
        )
    return read_clip_labels(request.labels)


def _hash_parts(parts: Mapping[Part, SetRows]) -> str:
    return hashlib.sha256("".join(rows.compute_sha256() for rows in parts.values()).encode()).hexdigest()


def _find_split(ways: Sequence[PlannedWay]) -> SplitSettings:
    """Return what was held out from the translators of all ways.

    Raises:
        ConfigError: two of them were trained on different rows.
    """
    splits = {
        planned.name: planned.way.found.card.split
        for planned in ways
        if isinstance(planned.way, TranslatorWay) and not planned.way.found.is_shipped
    }
    first = next(iter(splits), None)
    if first is None:
        return SplitSettings()
    for name, split in splits.items():
        if split != splits[first]:
            raise ConfigError(
                f"way {name} was trained with another split than way {first}, so no rows are held out from "
                "both; evaluate them apart, or train one again"
            )
    return splits[first]


def choose_columns(
    direction: Direction, spaces: Mapping[Column, Space], generators: Sequence[ChosenGenerator]
) -> tuple[Column, Column]:
    """Return the column that a direction crosses from, and the one that it crosses to.

    Args:
        direction: to score.
        spaces: of all columns of the set.
        generators: of the target medium; the column that the first one reads is taken, but not the source.

    Raises:
        ConfigError: the set has no such column.
    """
    media = split_direction(direction)
    found: list[Column] = []
    for medium, other in (media, media[::-1]):
        if medium == "text":
            found.append(f"{get_family(_find_column(other, spaces))}_text")
        else:
            found.append(_find_column(medium, spaces))
    own = generators[0].info.columns if generators else ()
    # One that reads the source leaves the target to the ways that make vectors.
    if len(own) == 1 and own[0] in spaces and own[0] != found[0]:
        found[1] = own[0]
        if media[0] == "text":
            found[0] = f"{get_family(own[0])}_text"
    if absent := [column for column in found if column not in spaces]:
        raise ConfigError(
            f"{direction} needs vectors in {absent[0]}, and the set has {', '.join(spaces) or 'none'}; build "
            "a set with its encoder"
        )
    return found[0], found[1]


def _find_column(medium: Medium, spaces: Mapping[Column, Space]) -> Column:
    modality = get_modality(f"any_{_MODALITIES[medium]}")
    column = find_default(modality, spaces)
    return column if get_modality(column) == modality else f"{get_family(column)}_{modality}"


def _choose_usual(request: EvaluationRequest, target: EvaluationTarget) -> tuple[ChosenGenerator, ...]:
    """Return the generator of the target if it makes the medium, else those that ship for its encoders."""
    source, medium = split_direction(request.direction)
    trusted = target.trusted.union(request.trusted)
    # Of the miniature world the entry is that of sounds.
    if medium == "sound" or target.root is not None:
        chosen = choose_generator(target.generator, target.root, trusted, compiled=False)
        if chosen.info.medium == medium:
            return (chosen,)
    if medium != "picture" or any(entry != POCKET for entry in target.encode.entries.values()):
        return ()
    names = ("clap2diffusion", "stable-diffusion") if source == "sound" else ("stable-diffusion",)
    return tuple(choose_generator(OtherGenerator(name=name), None, (), compiled=False) for name in names)


def _choose_named(name: str, request: EvaluationRequest, target: EvaluationTarget) -> ChosenGenerator:
    entry = check_content(_Named, {"generator": parse_generator(name)}, f"way generator:{name}").generator
    # A class on the command line is named by the person who runs this.
    medium = split_direction(request.direction)[1]
    trusted = {*target.trusted, *request.trusted, name}
    return choose_generator(entry, target.root or target.models, trusted, compiled=False, medium=medium)


def _plan_samples(
    planned: PlannedWay, bench: Bench, request: EvaluationRequest, target: EvaluationTarget
) -> WaySamples | None:
    if planned.generator is None:
        return None
    path, model = find_way_path(planned, bench), planned.generator.spec.params
    fitting = {key: value for key, value in request.defaults.items() if key in model.model_fields}
    params = fitting | dict(request.params)
    make_params(model, params, planned.generator.info.name)
    verify_path(target.encode, target.spaces, planned.generator, path)
    return WaySamples(planned, path, params, request.seed, target.set_name)


def _find_independent(  # noqa: PLR0913, PLR0917
    judges: Sequence[JudgeSpec],
    ways: Sequence[PlannedWay],
    samples: Sequence[WaySamples | None],
    bench: Bench,
    encoders: Sequence[EncoderSpec],
    rate_hz: int | None,
) -> dict[str, dict[str, bool]]:
    """Return way -> judge -> whether it shares no space with what made or chose the output."""
    found: dict[str, dict[str, bool]] = {way.name: {} for way in ways}
    for spec in judges:
        judge = spec.open()
        if rate_hz is not None and spec.medium == "sound":
            check_rate(judge, rate_hz)
        known: dict[frozenset[str], bool] = {}
        for planned, made in zip(ways, samples, strict=True):
            used = _list_used(planned, made, bench)
            key = frozenset(space.identity for space in used)
            if key not in known:
                known[key] = is_independent(spec, judge, used, encoders)
            stated = [identity for _, identity in planned.generator.info.spaces] if planned.generator else []
            found[planned.name][spec.name] = known[key] and not share_weights(spec.spaces(), stated)
    return found


def _list_used(planned: PlannedWay, samples: WaySamples | None, bench: Bench) -> list[Space]:
    columns = list(planned.way.columns)
    if planned.way.follow == "output" and planned.output == NEAREST:
        # The item is chosen within the space of the target, whoever made the vector.
        columns.append(bench.target)
    # Captions that a generator reads by itself lead into the space that it was trained in.
    columns += planned.generator.info.columns if planned.generator else ()
    used = [bench.spaces[column] for column in columns if column in bench.spaces]
    return used + [each.space for each in samples.path.conditions] if samples else used


def resolve_encoders(target: EvaluationTarget) -> tuple[tuple[str, EncoderSpec], ...]:
    """Return key -> encoder of all columns of a target; a key is a family, or a column that joins one."""
    keys = dict.fromkeys(target.encode.find_key(column) for column in target.spaces)
    known = [key for key in keys if key in target.encode.entries]
    found = {key: resolve_entry(target.encode, key, target.spaces) for key in known}
    return tuple((key, spec) for key, spec in found.items() if spec is not None)
