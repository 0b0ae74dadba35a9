"""Tables, requests and cards of `generated/1`, which knew sounds of AudioLDM alone, as `generated/2`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_PARAMS = ("length_s", "steps", "guidance")
_SETTINGS = {
    "seed": "seed",
    "candidates": "candidates",
    "format": "format",
    "shard_sounds": "shard_samples",
}
_CARD = {"sounds": "samples", "sounds_s": "length_s", "sounds_sha256": "samples_sha256"}
_GENERATOR = {"medium": "sound", "reads": ["clap_audio"]}


def convert_manifest(content: Any) -> Any:
    """Return a wanted.json in the shape of `GenerationManifest`; one that has it already is unchanged."""
    if not isinstance(content, Mapping) or not isinstance(content.get("making"), Mapping):
        return content
    making = content["making"]
    kept = {key: value for key, value in content.items() if key != "making"}
    generator = content.get("generator")
    return {
        **kept,
        "generator": {**_GENERATOR, **generator} if isinstance(generator, Mapping) else generator,
        "settings": {_SETTINGS[key]: value for key, value in making.items() if key in _SETTINGS},
        "params": {key: making[key] for key in _PARAMS if key in making},
    }


def convert_card(content: Any) -> Any:
    """Return a card.json in the shape of `GeneratedCard`; one that has it already is unchanged.

    The request in it is converted by itself.
    """
    if not isinstance(content, Mapping) or "sounds" not in content:
        return content
    renamed = {_CARD.get(key, key): value for key, value in content.items() if key != "space"}
    space = content.get("space")
    return {**renamed, "spaces": [] if space is None else [space]}


def convert_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a table as `GENERATED` has it; one that it has already is unchanged."""
    if "params" in row:
        return dict(row)
    kept = {key: value for key, value in row.items() if key not in ("steps", "guidance")}
    params = {key: row[key] for key in _PARAMS if row[key] is not None}
    return {**kept, "medium": "sound", "size": None, "params": json.dumps(params, sort_keys=True)}
