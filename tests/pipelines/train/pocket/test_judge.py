"""The pocket judges: how they are trained, and what the weights in the repository can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.shared.pocket_models import JUDGES, PocketPlan, train_pocket
from pipelines.encode.judge_reader import PICTURE_PX, JudgeReader
from pipelines.evaluate.judges.pocket import FOLDER, POCKET
from pipelines.evaluate.judges.registry import choose_judge
from pipelines.miniature import captions, world
from pipelines.train.pocket import judge_eval
from pipelines.train.pocket.judge_data import ATTRIBUTES, STREAM, degrade_picture, degrade_spectrogram

ROWS = 120


@pytest.fixture(scope="module")
def files(one_thread: None) -> dict[str, dict[str, list[bytes]]]:
    """Held-out media, as a dataset holds them, and noise."""
    scenes = judge_eval.draw_scenes(7, ROWS)
    return {
        "picture": judge_eval.make_pictures(scenes),
        "sound": judge_eval.make_sounds(scenes[:ROWS]),
    }


@pytest.mark.parametrize("name", POCKET)
def test_the_committed_judges_know_held_out_media(name: str, files: dict[str, Any]) -> None:
    """Of a hundred and twenty more than nine in ten are right, and of noise as many as by chance."""
    reader = JudgeReader(FOLDER / name)
    scenes = judge_eval.draw_scenes(7, ROWS)
    real, noise = (
        judge_eval.score_reader(reader, files[reader.medium][which], scenes) for which in ("real", "noise")
    )

    assert real["kind"] > 0.9
    assert noise["kind"] < 0.12
    assert real.keys() == ATTRIBUTES[reader.medium].keys()


def test_the_committed_judges_are_small_and_apart() -> None:
    """Together below 2 MB; two nets a medium, none the other's, and another seed each."""
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 2_000_000
    nets = [json.loads((FOLDER / name / "config.json").read_text())["net"] for name in POCKET]
    assert list(JUDGES.values()) == nets
    seeds = {
        (FOLDER / name / "README.md").read_text().partition("from seed ")[2].split()[0] for name in POCKET
    }
    assert len(POCKET) == len(seeds) == len({choose_judge(name).fingerprint() for name in POCKET})


def test_a_judge_names_what_it_sees(files: dict[str, Any]) -> None:
    """Kinds by the world's names or VGGSound's; attributes in words; nothing of what cannot be decoded."""
    judge = choose_judge("pocket-sound-cnn").open()
    sounds = [*files["sound"]["real"][:3], b"no sound"]
    scene = judge_eval.draw_scenes(7, 1)[0]
    labels = [captions.label(kind) for kind in world.KINDS]
    attributes = judge.read_attributes(sounds)

    np.testing.assert_array_equal(judge.classify(sounds, labels), judge.classify(sounds, ()))
    assert (4, 2) == judge.classify(sounds, ("dog", "bell")).shape
    assert judge.classify(sounds, ("zyzzyva",)) is None
    assert scene.kind == attributes["kind"][0]
    assert "" == attributes["kind"][3] == attributes["count"][3]
    assert ["kind", "ground", "size", "count"] == [*attributes]


def test_long_sounds_are_heard_in_windows(files: dict[str, Any]) -> None:
    """The means of the windows of 10 s; a short sound ends in silence; a file does not depend on others."""
    reader = JudgeReader(FOLDER / "pocket-sound-cnn")
    real = files["sound"]["real"][:3]
    together, alone = reader.read(real), reader.read(real[1:2])

    np.testing.assert_allclose(together.embedded_NE[1], alone.embedded_NE[0], atol=1e-4)
    np.testing.assert_allclose(together.logits["kind"][1], alone.logits["kind"][0], atol=1e-3)


def test_scenes_of_the_judges_are_nobody_elses() -> None:
    """Neither pocket trainings (seed 0 and near), nor lists, nor evaluations draw them."""
    judges = {world.draw(STREAM + seed, "train", index) for seed in (0, 1) for index in range(2000)}
    held = set(judge_eval.draw_scenes(0, 500))
    others = {
        world.draw(seed, split, index)
        for seed in range(3)
        for split in ("train", "heldout")
        for index in range(1000)
    }

    assert not judges & others
    assert not held & others
    assert not held & judges


def test_degraded_media_stay_what_they_are() -> None:
    """Of the same shape and range, each time another one, and the same ones from the same stream."""
    picture = np.random.default_rng(0).integers(0, 256, (PICTURE_PX, PICTURE_PX, 3), np.uint8)
    mels = np.random.default_rng(0).standard_normal((256, 32)).astype(np.float32)
    for degrade, media in ((degrade_picture, picture), (degrade_spectrogram, mels)):
        made = [degrade(media, np.random.default_rng(seed)) for seed in range(40)]

        assert {(media.shape, media.dtype)} == {(each.shape, each.dtype) for each in made}
        assert all(np.isfinite(each).all() for each in made)
        assert 40 == len({each.tobytes() for each in made})
        assert made[3].tobytes() == degrade(media, np.random.default_rng(3)).tobytes()


def train(out: Path, progress: Any = None, steps: int = 4) -> dict[str, float]:
    """Train all judges for a few steps on a few items."""
    recipe = {"batch": 8, "checkpoint_every": 2}
    plan = PocketPlan(out, 0, steps, {"draws": 16, "block": 8}, recipe=recipe, progress=progress)
    return train_pocket("judges", plan)


@pytest.mark.usefixtures("on_one_thread")
def test_a_cut_training_of_all_judges_goes_on(tmp_path: Path) -> None:
    """Cut in the second judge, and taken up again, they end in the same weights as undisturbed."""
    found = train(tmp_path / "whole")
    steps: list[int] = []

    def cut(step: int, _: float) -> None:
        steps.append(step)
        if len(steps) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", cut)
    again: list[int] = []
    train(tmp_path / "cut", lambda step, _: again.append(step))

    assert [3, 4, 1, 2, 3, 4, 1, 2, 3, 4] == again
    assert 100_000 < found["parameters"] < 1_000_000
    for name in POCKET:
        files = sorted(file.name for file in (tmp_path / "whole" / name).iterdir())
        assert ["README.md", "config.json", "model.safetensors"] == files
        for file in files:
            whole, resumed = ((tmp_path / each / name / file).read_bytes() for each in ("whole", "cut"))
            assert whole == resumed
