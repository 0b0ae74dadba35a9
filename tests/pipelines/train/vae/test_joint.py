"""A latent that sounds and small pictures share: its pairs, its laws, and pictures of sounds."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.generate.registry import choose_generator
from pipelines.generate.vae.choose import choose_vae
from pipelines.generate.vae.picture_spec import SOUND, VaePictureParams
from pipelines.models.joint_vae import load_joint_vae
from pipelines.store.root import Root
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.dataset import TrainingDataset
from pipelines.train.registry import list_tasks
from pipelines.train.trainer import Trainer
from pipelines.train.vae.joint import JointVaeTask
from pipelines.train.vae.joint_dataset import DatasetJointVae
from schemas.generators import OtherGenerator
from schemas.joint_vae import JointVaeNet
from schemas.recipe import Recipe
from schemas.space import Space
from tests.clips_by_hand import build_clips

NET = JointVaeNet(side_px=16, latent=4, widths=(8, 16), hidden=16)
SPACE = Space(
    encoder="toy", weights_sha256="0" * 64, library="toy 1", preprocessing="none", precision="fp32",
    batch_rows=8, dims=6,
)  # fmt: skip
COLOURS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220], [200, 200, 30]], np.uint8)
SOUNDS, HELD = 120, 20


@dataclass
class Colours(JointVaeTask):
    """Sounds of four classes, each with pictures of the colour of its class."""

    net: JointVaeNet = field(default=NET)

    def read_pairs(self, context):
        rng = np.random.default_rng(0)
        kinds = np.arange(SOUNDS) % 4
        vectors = np.eye(6)[kinds] + 0.1 * rng.standard_normal((SOUNDS, 6))
        pictures = np.broadcast_to(COLOURS[kinds][:, None, None, None], (SOUNDS, 2, 16, 16, 3)).copy()
        # In the middle, mirrored or not, is which sound a picture is of.
        pictures[:, :, 8, 7:9, 0] = np.arange(SOUNDS)[:, None, None]
        data = SoundPictures(
            np.arange(SOUNDS),
            SPACE,
            (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
            None,
            None,
            2,
            lambda *_: "",
            lambda _: iter(pictures),
            np.arange(SOUNDS - HELD),
            np.arange(SOUNDS - HELD, SOUNDS),
            "",
        )
        return data, kinds


def train(task, folder, until=None, **recipe):
    chosen = Recipe(**({"steps": 150, "batch": 16, "optimizer": {"lr": 5e-3}} | recipe))
    trainer = Trainer(task, chosen, Root.from_url(str(folder)), caches=folder, name="tiny")
    return trainer.train(until)


@pytest.fixture(scope="module")
def trained(one_thread, tmp_path_factory):
    """A folder of a trained net, and its card."""
    folder = tmp_path_factory.mktemp("joint")
    trainer = train(Colours(), folder / "run")
    (folder / "out").mkdir()
    (card,) = trainer.export(folder / "out")
    return folder / "out" / "tiny", card


def test_a_sound_becomes_a_picture_of_its_class(trained):
    """A sound that was not trained on has the colour of its class, whatever its seed."""
    folder, card = trained
    generator = choose_vae(str(folder), batch_rows=3).open()
    units = np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 0]]
    made = generator.generate({SOUND: units}, [1, 2, 3, 4, 9], VaePictureParams())

    assert ("picture", (16, 16), np.uint8) == (made.medium, made.size, made.data.dtype)
    colours = made.data.astype(float).mean((1, 2))
    nearest = np.linalg.norm(colours[:, None] - COLOURS.astype(float), axis=2).argmin(1)
    assert [0, 1, 2, 3, 0] == nearest.tolist()
    alone = generator.generate({SOUND: units[3:4]}, [4], VaePictureParams())
    assert np.array_equal(alone.data[0], made.data[3])
    assert card.scores["minus_error"] > -0.1
    net, stored = load_joint_vae(folder)
    assert (SPACE.identity, 6) == (stored.space, stored.sound_dims)
    assert net.encode_sound(torch.from_numpy(units)).mean.shape == (5, 4)


def test_it_is_described_with_the_space_of_its_sounds(trained):
    """So a vector of another CLAP is refused; which medium is wanted says which pocket one is meant."""
    info = choose_vae(str(trained[0])).describe()

    assert ("picture", (SOUND,), ((SOUND, SPACE.identity),)) == (info.medium, info.reads, info.spaces)
    chosen = [
        choose_generator(OtherGenerator(name="vae"), medium=each).info.medium for each in (None, "picture")
    ]
    assert ["sound", "picture"] == chosen
    with pytest.raises(ConfigError, match="makes sounds and pictures, and medium is text"):
        choose_generator(OtherGenerator(name="vae"), medium="text")
    generator = choose_vae(str(trained[0])).open()
    with pytest.raises(ConfigError, match="it takes a vector of 6 numbers for every seed"):
        generator.generate({SOUND: np.ones((1, 5), np.float32)}, [1], VaePictureParams())
    with pytest.raises(ConfigError, match="without a direction makes no picture"):
        generator.generate({SOUND: np.zeros((1, 6), np.float32)}, [1], VaePictureParams())


def test_pairs_cross_sources_of_one_class(one_thread, tmp_path):
    """By clip alone at 0; at 1 with any training picture of the class, and never one held out."""
    trainers = [train(Colours(by_class=share), tmp_path / str(share), steps=1) for share in (0.0, 1.0)]
    batches = [each.task.make_batch(0, each.task.context.group) for each in trainers]
    for batch in batches:
        kinds = batch["units"].argmax(1)
        shown = torch.from_numpy(COLOURS).float()[kinds] / 127.5 - 1
        assert torch.allclose(batch["pixels"][:, :, 0, 0], shown)

    # The same sounds, whatever they are paired with.
    assert torch.equal(batches[0]["units"], batches[1]["units"])
    own, others = (((each["pixels"][:, 0, 8, 8] + 1) * 127.5).round().int() for each in batches)
    assert (own != others).sum() > 10
    assert others.max() < SOUNDS - HELD


def test_a_training_that_was_cut_ends_in_the_same_weights(one_thread, tmp_path):
    """Pairs and noise of a step depend on seed and step alone."""
    recipe = {"steps": 6, "checkpoint_every": 3}
    whole = train(Colours(), tmp_path / "whole", **recipe)
    train(Colours(), tmp_path / "cut", until=3, **recipe)
    resumed = train(Colours(), tmp_path / "cut", **recipe)

    for one, other in zip(whole.net.parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_clips_of_a_dataset_are_pairs(one_thread, tmp_path):
    """Frames with the vector of their own sound; the captions are the classes."""
    made = build_clips(tmp_path / "world", 30)
    dataset = TrainingDataset(Root.from_url(made.dataset().root), "by-hand", 20, 1)
    task = DatasetJointVae(dataset=dataset, net=NET, classes="caption")
    trainer = train(task, tmp_path / "run", steps=1, batch=4)

    assert "joint_vae" in list_tasks()
    assert trainer.task._pixels.shape[1:] == (4, 16, 16, 3)
    assert len({*trainer.task._classes_S.tolist()}) > 1
    with pytest.raises(ConfigError, match="too few for batches of 400; build more clips"):
        train(DatasetJointVae(dataset=dataset, net=NET), tmp_path / "other", batch=400)
    with pytest.raises(ConfigError, match="by_class is 2; it must be a share"):
        Colours(by_class=2)
