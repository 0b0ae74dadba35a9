"""What an evaluation is asked for, as it is written down: its name, its folder, and what may not change."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from pipelines.store.validation import check_content
from schemas.evaluation import EvaluationManifest, split_direction

if TYPE_CHECKING:
    from pipelines.evaluate.plan import EvaluationPlan
    from pipelines.evaluate.request import EvaluationRequest, EvaluationTarget

FOLDER = "evaluations"
ADVICE = "remove its folder and evaluate again"


def get_folder(manifest: EvaluationManifest) -> str:
    """Return the folder of an evaluation."""
    return f"{FOLDER}/{manifest.name}"


def make_manifest(
    request: EvaluationRequest, target: EvaluationTarget, plan: EvaluationPlan
) -> EvaluationManifest:
    """Return what is asked for, with everything that decides the table; it names itself if nobody does."""
    content = {
        "name": "unnamed",
        "target": target.name,
        "direction": request.direction,
        "ways": request.ways,
        "judges": plan.fingerprints,
        "models": plan.list_models(),
        "rows": plan.source.count,
        "rows_sha256": plan.source.sha256,
        "seed": request.seed,
        "params": dict(request.params),
        "only": request.only,
        "split": plan.source.split,
        "labels": plan.source.labels,
        "protocol": request.protocol,
        "source": plan.bench.source,
        "target_column": plan.bench.target,
        "spaces": {column: space.identity for column, space in plan.bench.spaces.items()},
    }
    if request.name:
        return check_content(EvaluationManifest, content | {"name": request.name}, "--name")
    manifest = EvaluationManifest.model_validate(content)
    digest = hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()
    return manifest.model_copy(
        update={"name": f"{'-to-'.join(split_direction(request.direction))}-{digest[:12]}"}
    )


def check_manifest(root: Root, requested: EvaluationManifest) -> None:
    """Refuse a name under which something else was begun.

    Args:
        root: that is going to be written to.
        requested: what is asked for now.

    Raises:
        ConfigError: it was.
        StorageError: what was begun is damaged.
    """
    file = f"{get_folder(requested)}/wanted.json"
    if not root.exists(file):
        return
    stored = read_json(root, file, EvaluationManifest, ADVICE).model_dump(mode="json")
    for key, now in requested.model_dump(mode="json").items():
        if stored[key] != now:
            raise ConfigError(
                f"evaluation {requested.name} was begun with {key} {_shorten(stored[key])}, and "
                f"{_shorten(now)} was asked for; give it another --name, or ask for the same"
            )


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
