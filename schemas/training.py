"""The file of a training: a task with its recipe, or translators (data sets of pairs, and cells on them)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from schemas.custom_loader import CLASS_PATTERN
from schemas.dataset import SourceKind, StrictModel
from schemas.families import Column, get_modality
from schemas.mining import Mining, MiningKeys
from schemas.names import check_name
from schemas.recipe import Recipe

Name = Annotated[str, AfterValidator(partial(check_name, more="_.-"))]
LossName = Literal["mse", "cosine", "nt_xent", "info_nce", "info_nce_cosine", "denoise"]
NetName = Literal["mlp", "residual_mlp", "diffusion"]
# Keys whose values a cell may list: each combination is one experiment.
_GRID_KEYS = ("data", "loss", "hidden", "net", "seed", "p_drop", "lr", "target_noise", "guidance")


class PairSource(MiningKeys):
    """Pairs of vectors of one version: each row with both columns is a pair.

    A list of `PairSource` is a mix. Its members have the same source space and the same target space.

    With `mined_by` the pairs are of rows that lack the target, and all are trained on: what is held out is
    real. A mix without real pairs of these columns is validated and tested on the held-out rows with both.
    """

    model_config = ConfigDict(populate_by_name=True)

    source: Column = Field(alias="from", description="the column to translate")
    target: Column = Field(alias="to", description="the column to reach")
    sources: tuple[SourceKind, ...] = Field((), description="lists to take rows from; empty takes all")
    shift_to: Column | None = Field(
        None, description="the column of the same space onto whose mean the targets are moved"
    )
    mined_by: Column | None = Field(
        None, description="captions by which rows without a target are given those of other rows"
    )

    @model_validator(mode="after")
    def _require_two_columns(self) -> PairSource:
        if self.source == self.target:
            raise ValueError(f"pairs lead from {self.source} to itself; name two columns")
        if self.shift_to == self.target:
            raise ValueError(f"targets {self.target} are at their own mean; name another column, or none")
        return self

    @model_validator(mode="after")
    def _check_mining(self) -> PairSource:
        keys = sorted(self.model_fields_set.intersection(MiningKeys.model_fields))
        if self.mined_by is None and keys:
            raise ValueError(
                f"{keys[0]} is of mined pairs, and these are not; name the column of captions in mined_by, "
                f"or leave {keys[0]} out"
            )
        if self.mined_by == self.target:
            raise ValueError(
                f"rows without {self.target} cannot be compared by it; name a column of captions in mined_by"
            )
        if self.mined_by and self.shift_to:
            raise ValueError(
                f"mined targets are {self.target} of other rows, which stand where they are to be; leave "
                "shift_to out"
            )
        return self

    @property
    def mining(self) -> Mining | None:
        """How targets are mined; None of pairs that have their own."""
        if self.mined_by is None:
            return None
        return Mining(mined_by=self.mined_by, **{key: getattr(self, key) for key in MiningKeys.model_fields})

    @model_serializer(mode="wrap")
    def _write_without_mining(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What is not mined is described as before there was mining: a training that was begun can go on.
        written: dict[str, Any] = write(self)
        mining_keys = () if self.mined_by else Mining.model_fields
        return {name: value for name, value in written.items() if name not in mining_keys}

    @property
    def direction(self) -> str:
        """The kind of these pairs: `clip_image -> clap_text`, and `at clap_audio` if targets are moved."""
        shifted = f" at {self.shift_to}" if self.shift_to else ""
        return f"{self.source} -> {self.target}{shifted}"


class Experiment(StrictModel):
    """One translator: a net, a loss, and how it is trained on one data set."""

    data: Name
    net: NetName = "mlp"
    loss: LossName = "cosine"
    hidden: int = Field(512, ge=1, le=8192)
    depth: int = Field(2, ge=1, le=24, description="residual blocks, or layers of the diffusion mapper")
    p_drop: float = Field(0.0, ge=0, lt=1)
    temperature: float = Field(0.5, gt=0, description="of nt_xent and info_nce")
    target_noise: float = Field(
        0.0, ge=0, description="standard deviation of a noise on each number of text targets in training"
    )
    p_uncond: float = Field(0.1, ge=0, lt=1, description="share of conditions that a diffusion mapper drops")
    guidance: float = Field(1.0, ge=0, le=10, description="of a diffusion mapper; 1 guides nothing")
    seed: int = Field(0, ge=0, description="of the first weights")
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0, description="decoupled from the gradient, as in AdamW")
    schedule: Literal["constant", "cosine"] = "constant"

    @model_validator(mode="after")
    def _check_loss(self) -> Experiment:
        if (self.net == "diffusion") != (self.loss == "denoise"):
            raise ValueError(
                f"net {self.net!r} and loss {self.loss!r} do not go together; the diffusion mapper has the "
                "loss denoise, and no other net has it"
            )
        if self.target_noise and self.net == "diffusion":
            raise ValueError(
                "the diffusion mapper has noise of its own on its targets; leave target_noise out, or take "
                "another net"
            )
        return self

    @property
    def name(self) -> str:
        """The name, unique among the experiments of a preset."""
        parts = [self.data, self.net, self.loss, f"h{self.hidden}"]
        parts += [f"d{self.depth}"] if self.net != "mlp" else []
        parts += [f"drop{self.p_drop:g}"] if self.p_drop else []
        parts += [f"lr{self.lr:g}"] if self.lr != 1e-3 else []
        parts += [f"noise{self.target_noise:g}"] if self.target_noise else []
        parts += [f"g{self.guidance:g}"] if self.guidance != 1 else []
        parts += [f"s{self.seed}"] if self.seed else []
        return "-".join(parts)


class FitSettings(StrictModel):
    """Duration and resources of a training; shared by the experiments of one data set."""

    epochs: int = Field(50, ge=1)
    batch: int = Field(64, ge=2, description="pairs a step, over all workers together")
    order_seed: int = Field(0, ge=0, description="of the order of the pairs")
    workers: int = Field(1, ge=1, description="data-parallel; the batch is divided among them")
    cpus_per_worker: int = Field(
        1, ge=1, description="threads; a worker that is alone trains a part of the cells in each"
    )
    gpus_per_worker: float = Field(0.0, ge=0, le=1, description="may be a fraction, for one worker")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the products; weights stay fp32")
    select: Literal["best", "last"] = Field("best", description="best: the epoch of the highest cosine")
    memory_pairs: int = Field(
        500_000, ge=1, description="pairs a worker holds, 1 GB of 512 dimensions; more are streamed"
    )

    @model_validator(mode="after")
    def _check_batch(self) -> FitSettings:
        if self.batch % self.workers:
            raise ValueError(f"a batch of {self.batch} cannot be divided among {self.workers} workers")
        return self


class SplitSettings(StrictModel):
    """Which pairs are held out: whole groups of near copies, so no video or picture is on both sides."""

    validation: float = Field(0.1, gt=0, lt=0.5, description="share of the groups")
    test: float = Field(0.1, gt=0, lt=0.5, description="share of the groups")
    published: bool = Field(True, description="whether rows that a list names test or validation are that")
    leak_cosine: float = Field(
        0.9999,
        gt=0,
        le=1,
        description="a held-out pair whose source is this near to one that is trained on is dropped; of "
        "towers, a row whose clip_image is",
    )


class Resources(StrictModel):
    """The workers of a training; the batch is divided among them."""

    workers: int = Field(1, ge=1)
    cpus_per_worker: int = Field(1, ge=1, description="threads")
    gpus_per_worker: float = Field(0.0, ge=0, le=1, description="may be a fraction, for one worker")


# A task that a file of pipelines/train offers, or a class of one's own.
TASK_PATTERN = rf"^[a-z][a-z0-9_]*$|{CLASS_PATTERN}"


class TaskPreset(BaseModel):
    """A preset of any task: the file that `echolens train` reads. Other keys are the task's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Name = Field(description="of the model")
    task: Annotated[str, StringConstraints(pattern=TASK_PATTERN)] = Field(
        description="a task's name, or module:Class"
    )
    recipe: Recipe
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _check_batch(self) -> TaskPreset:
        workers, parts = self.resources.workers, self.recipe.accumulate
        if self.recipe.batch % workers:
            raise ValueError(f"a batch of {self.recipe.batch} cannot be divided among {workers} workers")
        if self.recipe.batch // workers % parts:
            raise ValueError(
                f"the {self.recipe.batch // workers} samples of a worker cannot be divided into {parts} "
                "equal parts; choose batch, workers and accumulate that divide"
            )
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The task's own settings."""
        return dict(self.__pydantic_extra__ or {})


class TrainingPreset(StrictModel):
    """A preset of translators: the file that `echolens train` reads if it names no other task."""

    task: Literal["translators"] = "translators"

    name: Name
    data: dict[Name, tuple[PairSource, ...]] = Field(min_length=1)
    cells: tuple[dict[str, Any], ...] = Field(min_length=1)
    fit: FitSettings = FitSettings()
    split: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _check_experiments(self) -> TrainingPreset:
        names: set[str] = set()
        for cell in self.expand():
            if cell.data not in self.data:
                raise ValueError(f"a cell names data {cell.data!r}; known are {', '.join(sorted(self.data))}")
            if cell.name in names:
                raise ValueError(f"two cells are {cell.name!r}; take one of them out")
            targets = [pairs.target for pairs in self.data[cell.data]]
            if cell.target_noise and "text" not in map(get_modality, targets):
                raise ValueError(
                    f"target_noise of cell {cell.name!r} is for captions as targets, and data {cell.data!r} "
                    f"leads to {targets[0]} alone; leave it out"
                )
            names.add(cell.name)
        return self

    def expand(self) -> Iterator[Experiment]:
        """Yield the experiments: one for each combination of the listed values of a cell."""
        for cell in self.cells:
            keys = [key for key in _GRID_KEYS if isinstance(cell.get(key), list | tuple)]
            for values in itertools.product(*(cell[key] for key in keys)):
                try:
                    yield Experiment.model_validate(cell | dict(zip(keys, values, strict=True)))
                except ValidationError as error:
                    first = error.errors()[0]
                    key = ".".join(map(str, first["loc"])) or "a cell"
                    raise ValueError(f"{key} of cell {cell}: {first['msg']}") from error


def _name_task(value: Any) -> str:
    task = value.get("task", "translators") if isinstance(value, dict) else value.task
    return "translators" if task == "translators" else "task"


class PresetSeries(StrictModel):
    """A preset of several trainings on one dataset, whose results are shown in one table."""

    name: Name
    presets: tuple[
        Annotated[
            Annotated[TrainingPreset, Tag("translators")] | Annotated[TaskPreset, Tag("task")],
            Discriminator(_name_task),
        ],
        ...,
    ] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_unique(self) -> PresetSeries:
        names = [preset.name for preset in self.presets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two presets are {twice!r}, and what they train would have one name")
        return self
