"""Tasks by name: what a preset says -> the task, with its settings.

`task: NAME` is a class that a file below pipelines/train offers, as in `TASKS = {"probe": LinearProbe}`;
`task: module:Class` is a class of somebody's own. The preset's other keys are its settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from functools import cache

from pipelines.errors import ConfigError
from pipelines.store.classes import import_class, iterate_offers, make_instance
from pipelines.store.trust import make_untrusted_error
from pipelines.train.dataset import TrainingDataset
from pipelines.train.task import Task
from schemas.training import TaskPreset

_TASKS = "pipelines.train"


def make_task(preset: TaskPreset, dataset: TrainingDataset | None, trusted: Collection[str]) -> Task:
    """Return the task of a preset; it has read nothing yet.

    Args:
        preset: of the task.
        dataset: for a task that has one; None for none.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: there is no such task, nobody trusts it, or it does not take these settings.
    """
    where, path = f"preset {preset.name}", preset.task
    if ":" in path:
        if path not in trusted:
            raise make_untrusted_error({path: "task"}, where)
    else:
        known = list_tasks()
        if path not in known:
            raise ConfigError(
                f"{where}: there is no task {path!r}; it must be one of {', '.join(sorted(known))}, or "
                "module:Class of your own"
            )
        path = known[path]
    found = import_class(path, where, "task", ("open", "build", "make_batch", "compute_loss", "export"))
    settings = preset.settings
    if "dataset" in settings:
        raise ConfigError(f"{where}: dataset is given by the command; leave the key out of the preset")
    if "dataset" in inspect.signature(found).parameters:
        if dataset is None:
            raise ConfigError(f"{where}: task {preset.task} is trained on a dataset; name one")
        settings = {**settings, "dataset": dataset}
    task: Task = make_instance(found, path, settings, where, ("dataset",))
    return task


@cache
def list_tasks() -> dict[str, str]:
    """Return name -> module:Class of the tasks that our files offer."""
    return {name: f"{module}:{task.__qualname__}" for name, module, task in iterate_offers(_TASKS, "TASKS")}
