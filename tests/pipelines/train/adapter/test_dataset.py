"""The clips of a dataset as an adapter's data: frames, sounds, windows and captions of the same rows."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from pipelines.train.adapter.dataset_tasks import DatasetAlignSounds, DatasetPaintSounds
from pipelines.train.dataset import TrainingDataset
from pipelines.train.registry import list_tasks
from pipelines.train.trainer import Trainer
from schemas.audio_adapter import AdapterLoss, AdapterSettings
from schemas.recipe import Recipe
from schemas.sample import FRAMES
from tests.by_hand import vector
from tests.clips_by_hand import build_clips, draw_frame

CLIPS = 60
SMALL = AdapterSettings(hidden=16, depth=0, tokens="rigid")


@pytest.fixture(scope="module", params=["encode.windows=true", "encode.windows=false"])
def world(request, tmp_path_factory):
    """A version with clips, with and without the windows of their sounds."""
    folder = tmp_path_factory.mktemp("clips") / "world"
    made = build_clips(folder, CLIPS, request.param)
    return made, request.param.endswith("true")


def dataset_of(made) -> TrainingDataset:
    return TrainingDataset(Root.from_url(made.dataset().root), "by-hand", 20, 1)


def train(task, base, tmp_path, **recipe):
    chosen = Recipe(**({"steps": 2, "batch": 8} | recipe))
    return Trainer(task, chosen, Root.from_url(str(tmp_path / "run")), caches=tmp_path)


def test_a_row_has_its_own_frames_sound_windows_and_caption(world, tiny_base, tmp_path):
    made, has_windows = world
    task = DatasetAlignSounds(
        dataset=dataset_of(made), base=str(tiny_base), adapter=SMALL, windows=has_windows
    )
    data = train(task, tiny_base, tmp_path).task.data
    frames = list(data.iterate_pixels(32))

    assert {"sound_alignment", "sound_to_picture"} <= {*list_tasks()}
    assert CLIPS == len(data.sounds_SD) == len(frames)
    assert set(range(CLIPS)) >= {*data.train_S, *data.held_S}
    assert not {*data.train_S} & {*data.held_S}
    for place in range(CLIPS):
        caption = data.make_caption(place, 0, 0)
        row = int(caption.split()[3])
        url = f"http://127.0.0.1/id{row:09d}_{row % 300}.mp4"
        expected = Image.open(io.BytesIO(draw_frame(url, FRAMES[1]))).getpixel((0, 0))
        assert expected == tuple(frames[place][1, 5, 5])
    if has_windows:
        starts = data.starts_S
        assert [2] * CLIPS == np.diff(starts).tolist()
        caption = data.make_caption(0, 0, 0)
        seeds = {f"window {start} {url} {caption}" for start in (0.0, 5.0) for url in read_urls(made)}
        known = {vector(seed).tobytes() for seed in seeds}
        assert data.windows_MD[0].tobytes() in known


def read_urls(made) -> list[str]:
    root = Root.from_url(made.dataset().root)
    names = sorted(path for path in made.folder.rglob("candidates/*.parquet"))
    return [
        url
        for path in names
        for url in root.read_table(f"candidates/{path.name}", columns=["url"])["url"].to_pylist()
    ]


def test_it_is_trained_on_pictures_or_refused_before_it_begins(world, tiny_base, tmp_path):
    """A set without windows is refused by the first stage already, which does not need them."""
    made, has_windows = world
    own = {"dataset": dataset_of(made), "base": str(tiny_base), "adapter": SMALL, "windows": True}
    if not has_windows:
        with pytest.raises(StorageError, match="keeps no windows"):
            train(DatasetAlignSounds(**own), tiny_base, tmp_path)
        return
    task = DatasetPaintSounds(**own, loss=AdapterLoss(diffusion=2, consistency=0.5, alignment=0.3))
    trainer = train(task, tiny_base, tmp_path).train()
    assert {"gain", "gain_beside_words", "error"} == {*trainer.task.validate(trainer.net)[""]}
    with pytest.raises(ConfigError, match="an adapter is trained on a dataset"):
        train(DatasetPaintSounds(base=str(tiny_base)), tiny_base, tmp_path / "none")
