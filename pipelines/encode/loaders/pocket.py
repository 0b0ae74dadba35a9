"""The pocket models: small, trained on the miniature world, and loaded as the full-size models are."""

from __future__ import annotations

from pathlib import Path

from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.errors import ConfigError
from schemas.families import Family
from schemas.space import Precision

WEIGHTS = Path(__file__).parents[2] / "miniature" / "weights"

BATCH_ROWS = 32
POCKET_TOWER = WEIGHTS / "tower"


def make_pocket_clip(precision: Precision) -> OpenClip:
    """Return the loader of pocket CLIP."""
    folder = _find_folder("clip", "open_clip_config.json")
    return OpenClip(f"local-dir:{folder}", "", precision, BATCH_ROWS, name="open_clip:pocket")


def make_pocket_clap(precision: Precision) -> TransformersClap:
    """Return the loader of pocket CLAP."""
    folder = _find_folder("clap", "config.json")
    return TransformersClap(str(folder), None, precision, BATCH_ROWS, name="transformers:pocket")


def _find_folder(family: Family, file: str) -> Path:
    folder = WEIGHTS / family
    if not (folder / file).is_file():
        raise ConfigError(
            f"encode.{family}=pocket: there is no {file} in {folder}; "
            "train the pocket models with `echolens pocket`"
        )
    return folder
