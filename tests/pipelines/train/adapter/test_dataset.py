"""The clips of a dataset as an adapter's data: frames, sounds, windows and captions of the same rows."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from pipelines.compute.child_process import use_this_process
from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from pipelines.train.adapter.dataset_tasks import DatasetAlignSounds, DatasetPaintSounds
from pipelines.train.dataset import TrainingDataset
from pipelines.train.registry import list_tasks
from pipelines.train.trainer import Trainer
from schemas.audio_adapter import AdapterLoss, AdapterSettings
from schemas.recipe import Recipe
from schemas.sample import FRAMES
from tests.by_hand import ByHand, vector

CLIPS = 60
SMALL = AdapterSettings(hidden=16, depth=0, tokens="rigid")


def draw_frame(url: str, member: str) -> bytes:
    """Return a picture of one colour that a link and a frame decide."""
    colour = tuple(hashlib.sha256(f"{url} {member}".encode()).digest()[:3])
    file = io.BytesIO()
    Image.new("RGB", (80, 64), colour).save(file, "PNG")
    return file.getvalue()


class WithFrames(ByHand):
    """A dataset by hand whose frames are pictures."""

    def _fetched(self, root, shard):
        batch = super()._fetched(root, shard)
        for member in FRAMES:
            batch[member] = [draw_frame(url, member) for url in batch["media_url"]]
        return batch | {"width": [80] * len(batch["media_url"]), "height": [64] * len(batch["media_url"])}


@pytest.fixture(scope="module", params=["encode.windows=true", "encode.windows=false"])
def world(request, tmp_path_factory):
    """A version with clips, with and without the windows of their sounds."""
    made = WithFrames(tmp_path_factory.mktemp("clips") / "world", shard_rows=20)
    made.lists({"http://127.0.0.1/1.jpg": "a picture"}, texts=CLIPS)
    file = made.folder / "by_hand.yaml"
    media = 'media: "http://127.0.0.1/{youtube_id}_{start_s}.mp4"'
    file.write_text(file.read_text().replace("take: text", media))
    with use_this_process():
        made.build(request.param)
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
