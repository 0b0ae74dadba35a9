"""What a sound and words give one picture together: the kind from the sound, ground and colour from words.

The fifth seed (CLAP2Diffusion) gives its tokens a norm of 60 for the sake of that. Here norms, given to
trained tokens, and strengths are compared on the same sounds, words and seeds. The words are of another scene
than the sound, so that neither can say what the other one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.encode.judge_reader import JudgeReader
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.generate.generator import CAPTION
from pipelines.generate.stable_diffusion.generator import SOUND
from pipelines.generate.stable_diffusion.params import SoundPictureParams
from pipelines.generate.stable_diffusion.spec import Clap2DiffusionSpec
from pipelines.metrics import bootstrap
from pipelines.miniature.words import COLOUR_WORDS, SEEN_WHERE
from pipelines.miniature.world import Scene
from pipelines.train.pocket.judge_eval import write_png

NORMS: tuple[float | None, ...] = (None, 30.0, 60.0, 90.0)
STRENGTHS = (0.5, 1.0, 1.5)
_BATCH_ROWS = 16
_CLAIMED = ("kind", "ground", "colour")


def score_claims(
    weights: Path, base: str, scenes: Sequence[Scene], units_ND: np.ndarray, params: SoundPictureParams
) -> dict[str, float]:
    """Return the shares of pictures with the sound's kind, the words' ground and colour, and all three.

    Args:
        weights: the folder of the adapter.
        base: of it.
        scenes: of the sounds; the words of each are of the next one.
        units_ND: vectors of their sounds.
        params: of the generator.

    Returns:
        JUDGE_norm_NORM_strength_STRENGTH_ATTRIBUTE -> the share; `_low` and `_high` after the joint one are
        the ends of its 95 % interval over scenes.
    """
    told = [*scenes[1:], scenes[0]]
    texts = [describe_surroundings(scene) for scene in told]
    folders = sorted((WEIGHTS / "judges").glob("pocket-picture-*"))
    readers = {folder.name: JudgeReader(folder) for folder in folders}
    scores: dict[str, float] = {}
    for norm in NORMS:
        generator = Clap2DiffusionSpec(str(weights), base, batch_rows=_BATCH_ROWS, norm=norm).open()
        for strength in STRENGTHS:
            chosen = params.model_copy(update={"strength": strength})
            given = {SOUND: units_ND, CAPTION: texts}
            made = np.asarray(generator.generate(given, range(len(scenes)), chosen).data)
            files = [write_png(pixels) for pixels in made]
            for judge, reader in readers.items():
                name = f"{judge}_norm_{norm or 'trained'}_strength_{strength}"
                scores |= {
                    f"{name}_{key}": value for key, value in _score(reader, files, scenes, told).items()
                }
    return scores


def describe_surroundings(scene: Scene) -> str:
    """Return words that say the colour and the ground of a scene, and nothing of its kind."""
    return f"a {COLOUR_WORDS[scene.colour][0]} thing {SEEN_WHERE[scene.background][0]}"


def _score(
    reader: JudgeReader, files: Sequence[bytes], heard: Sequence[Scene], told: Sequence[Scene]
) -> dict[str, float]:
    truth = {
        "kind": [scene.kind for scene in heard],
        "ground": [scene.background for scene in told],
        "colour": [scene.colour for scene in told],
    }
    readings = reader.read(files).logits
    right = {}
    for name in _CLAIMED:
        found = [reader.values[name][best] for best in readings[name].argmax(1)]
        right[name] = np.array([one == other for one, other in zip(found, truth[name], strict=True)])
    joint = bootstrap.mean(np.logical_and.reduce(list(right.values())).astype(float))
    shares = {name: round(float(each.mean()), 4) for name, each in right.items()}
    return shares | {
        "joint": round(joint.value, 4), "joint_low": round(joint.low, 4), "joint_high": round(joint.high, 4)
    }  # fmt: skip
