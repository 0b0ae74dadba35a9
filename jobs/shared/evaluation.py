"""Evaluate ways of crossing: draw or read rows, cross, generate, judge and score; every step resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.evaluation_manifest import ADVICE, check_manifest, get_folder, make_manifest
from jobs.shared.progress import RowProgress
from pipelines.compute.child_process import run_in_subprocess
from pipelines.store.json_file import describe_problem, make_damaged_error, read_bounded
from pipelines.store.root import Root
from schemas.evaluation import EVALUATION_ROWS, EvaluationManifest, EvaluationRow, split_direction

if TYPE_CHECKING:
    from pipelines.evaluate.evaluation_set import EvaluationSet, MediaSource, SetRows
    from pipelines.evaluate.outputs import MediaOutput
    from pipelines.evaluate.plan import EvaluationPlan
    from pipelines.evaluate.request import EvaluationRequest, EvaluationTarget
    from pipelines.evaluate.table import CrossedWay
    from pipelines.generate.step import GenerateStep
    from pipelines.run.ray_plan import Session
    from pipelines.run.runner import Step
    from pipelines.store.shards import Shard


@dataclass(frozen=True, eq=False)
class PreparedEvaluation:
    """An evaluation that can be done: nothing of it is written yet.

    Attributes:
        request: of it.
        plan: of the request.
        manifest: of it.
    """

    request: EvaluationRequest
    plan: EvaluationPlan
    manifest: EvaluationManifest


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A complete evaluation.

    Attributes:
        manifest: of it.
        rows: of the table.
        root: that its files lie in.
    """

    manifest: EvaluationManifest
    rows: list[EvaluationRow]
    root: Root

    @property
    def folder(self) -> str:
        """Of its files."""
        return get_folder(self.manifest)


def prepare(
    request: EvaluationRequest, target: EvaluationTarget, root: Root, export: Path | None = None
) -> PreparedEvaluation:
    """Return an evaluation that can be done; whoever has several directions prepares all before the first.

    Args:
        request: one direction, its ways and judges.
        target: a dataset, or the miniature world.
        root: that is going to be written to.
        export: a folder for the outputs; None for none.

    Raises:
        ConfigError: the request cannot be met, its name stands for another, or the folder is there.
        SpaceError: vectors would be given to a model of another space.
    """
    from pipelines.evaluate.export import check_free
    from pipelines.evaluate.plan import plan_evaluation

    if export:
        check_free(export)
    plan: EvaluationPlan = run_in_subprocess(plan_evaluation, request, target)
    manifest = make_manifest(request, target, plan)
    check_manifest(root, manifest)
    return PreparedEvaluation(request, plan, manifest)


def evaluate(
    prepared: PreparedEvaluation, root: Root, workers: int | None = None, export: Path | None = None
) -> Evaluated:
    """Do what is not done yet of an evaluation, and return it.

    Args:
        prepared: for this root.
        root: that is written to.
        workers: of each step; what the machine offers if None.
        export: a folder that is not there yet, for the outputs as other tools read them; None for none.

    Raises:
        ConfigError: a judge has nothing to say of a way.
    """
    from pipelines.store.lease import hold_lease

    request, plan, manifest = prepared.request, prepared.plan, prepared.manifest
    folder = get_folder(manifest)
    if (rows := find_rows(root, manifest)) is not None and export is None:
        return Evaluated(manifest, rows, root)
    with hold_lease(root.enter(folder), "evaluate") as lease:
        root.write(f"{folder}/wanted.json", (manifest.model_dump_json(indent=2) + "\n").encode())
        evaluation = _Evaluation(request, plan, root, folder, workers)
        rows = evaluation.run()
        lease.check()
        if export:
            evaluation.export(export)
        root.write(f"{folder}/report.html", evaluation.render(manifest, rows).encode())
        root.write(f"{folder}/rows.json", encode_rows(rows).encode())
    return Evaluated(manifest, rows, root)


def encode_rows(rows: Sequence[EvaluationRow]) -> str:
    """Return a table as a JSON list."""
    return EVALUATION_ROWS.dump_json(list(rows), indent=2).decode() + "\n"


def find_rows(root: Root, manifest: EvaluationManifest) -> list[EvaluationRow] | None:
    """Return the table of an evaluation; None if it is not complete.

    Raises:
        StorageError: it is damaged.
    """
    from pydantic import ValidationError

    name = f"{get_folder(manifest)}/rows.json"
    if not root.exists(name):
        return None
    try:
        return EVALUATION_ROWS.validate_json(read_bounded(root, name))
    except ValidationError as error:
        raise make_damaged_error(root, name, describe_problem(error), ADVICE) from error


class _Evaluation:
    """The steps of one evaluation, in their order."""

    def __init__(
        self,
        request: EvaluationRequest,
        plan: EvaluationPlan,
        root: Root,
        folder: str,
        workers: int | None,
    ) -> None:
        self._request, self._plan = request, plan
        self._root, self._folder, self._workers = root, folder, workers
        self._outputs: dict[str, MediaOutput] = {}
        self._captions: tuple[str, ...] = ()
        self._scored: SetRows | None = None

    def run(self) -> list[EvaluationRow]:
        """Return the table."""
        from pipelines.evaluate.judging import JudgeStage, JudgeStep
        from pipelines.evaluate.scoring import list_classes, score_ways
        from pipelines.run.ray_plan import Session

        with Session() as session:
            rows = self._prepare_rows(session)
            self._scored = rows.get_rows("scored")
            self._captions = tuple(self._scored.captions)
            crossed = self._cross(rows)
            outputs = self._make_outputs(session, rows, crossed)
            names = [way.planned.name for way in crossed]
            self._outputs = dict(zip(names, outputs[1:], strict=True))
            step, numbers = None, [0] * len(crossed)
            if self._plan.judges:
                stage = JudgeStage(self._plan.judges, list_classes(rows))
                unique = tuple(dict.fromkeys(outputs))
                numbers = [unique.index(output) for output in outputs[1:]]
                step = JudgeStep(self._root, f"{self._folder}/judged", unique, self._captions, stage)
                self._run_step(session, step, step.list_shards())
        seed = self._request.seed
        scored: list[EvaluationRow] = run_in_subprocess(
            score_ways, rows, self._plan.bench, crossed, step, numbers, seed
        )
        return scored

    def _prepare_rows(self, session: Session) -> EvaluationSet:
        """Return the rows with their vectors; those of the miniature world are drawn."""
        from pipelines.evaluate.row_sets.drawing import DrawStep
        from pipelines.evaluate.row_sets.miniature import MiniatureSet
        from pipelines.evaluate.row_sets.scenes import MiniatureScenes

        source = self._plan.source
        if not isinstance(source.media, MiniatureScenes):
            return source.media
        # Whatever the direction: the scenes are the same.
        drawn = replace(source.media, direction="picture->sound")
        step = DrawStep(self._root, drawn, source.specs)
        self._run_step(session, step, step.list_shards(), spread=True)
        return MiniatureSet(source.media, dict(source.specs), step.read_vectors(source.media.told))

    def _cross(self, rows: EvaluationSet) -> list[CrossedWay]:
        from pipelines.evaluate.crossing import cross_ways
        from pipelines.evaluate.table import CrossedWay

        made = run_in_subprocess(cross_ways, rows, self._plan.bench, self._plan.ways)
        return [
            CrossedWay(planned, crossing, cycled_ND, self._plan.independent[planned.name])
            for planned, (crossing, cycled_ND) in zip(self._plan.ways, made, strict=True)
        ]

    def _make_outputs(
        self, session: Session, rows: EvaluationSet, crossed: Sequence[CrossedWay]
    ) -> list[MediaOutput]:
        """Return the true media, then the output of each way; what is generated is generated here."""
        from pipelines.evaluate.generation import SHARD_SAMPLES, GenerateWaysStep
        from pipelines.evaluate.outputs import NoOutput, SampleOutput

        steps: dict[int, GenerateStep] = {}
        for number, (way, samples) in enumerate(zip(crossed, self._plan.samples, strict=True)):
            if samples is not None:
                steps[number] = samples.write(self._root, rows.get_rows("scored"), way.crossing)
        together = GenerateWaysStep(tuple(steps.values()))
        if steps:
            self._run_step(session, together, together.list_shards())
        real = self._make_set_output(None) if self._request.reference else NoOutput()
        outputs: list[MediaOutput] = [real]
        for number, way in enumerate(crossed):
            if number in steps:
                outputs.append(SampleOutput(self._root, steps[number].manifest.name, SHARD_SAMPLES))
            elif way.planned.way.follow == "real":
                outputs.append(real)
            else:
                outputs.append(self._make_set_output(way))
        return outputs

    def _make_set_output(self, way: CrossedWay | None) -> MediaOutput:
        from pipelines.evaluate.outputs import SetOutput

        media, medium = self._plan.source.media, self._plan.bench.medium
        if way is None:
            return SetOutput(media, "scored", medium)
        assert way.crossing.picked_N is not None
        return SetOutput(media, "gallery", medium, tuple(way.crossing.picked_N.tolist()))

    def _run_step(
        self, session: Session, step: Step, shards: Sequence[Shard], *, spread: bool = False
    ) -> None:
        from pipelines.run.ray_plan import PlanSteps, ShardResult, find_remaining

        workers = self._workers or (self._plan.cpu_workers if spread else None)
        steps = PlanSteps(step, workers=workers)
        remaining = find_remaining(steps, shards)
        if not any(remaining):
            return
        with RowProgress(step.name, remaining.rows) as progress:

            def on_shard(result: ShardResult) -> None:
                progress.add(result.shard.rows, result.outcomes)
                progress.add_seconds(result.seconds)

            session.run(steps, remaining, on_shard)

    def export(self, into: Path) -> None:
        """Write the outputs of all ways for other tools."""
        from pipelines.evaluate.export import write_outputs

        assert self._scored is not None
        run_in_subprocess(write_outputs, into, self._scored, self._outputs, self._plan.bench.medium)

    def render(self, manifest: EvaluationManifest, rows: Sequence[EvaluationRow]) -> str:
        """Return the page, with the first rows to look at and listen to."""
        page: str = run_in_subprocess(
            _render, manifest, rows, self._plan.source.media, self._outputs, self._captions
        )
        return page


def _render(
    manifest: EvaluationManifest,
    rows: Sequence[EvaluationRow],
    media: MediaSource,
    outputs: Mapping[str, MediaOutput],
    captions: Sequence[str],
) -> str:
    from pipelines.report.evaluation_page import MAX_ROWS, ComparedRow, make_cell, render_evaluation

    source, target = split_direction(manifest.direction)
    shown = range(min(MAX_ROWS, len(captions)))
    sources = media.read_media("scored", source, list(shown))
    files = [outputs[way].read_files(shown) for way in manifest.ways]
    compared = [
        ComparedRow(
            make_cell(sources[row], source), captions[row], [make_cell(of[row], target) for of in files]
        )
        for row in shown
    ]
    return render_evaluation(manifest, rows, compared)
