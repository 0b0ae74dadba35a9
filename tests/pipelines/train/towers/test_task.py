"""The task of a tower: it learns the space that it is given, in parts as at once, under every loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pipelines.errors import ConfigError
from pipelines.models.towers import load_towers
from pipelines.store.root import Root
from pipelines.train.distributed import WorkerGroup
from pipelines.train.gradients import compute_gradients
from pipelines.train.losses import siglip, symmetric_info_nce
from pipelines.train.pocket.tower import PocketTower
from pipelines.train.task import StepDraw, TaskContext
from pipelines.train.towers.criterion import TowerCriterion
from pipelines.train.towers.data import PictureBatch, embed_frames, embed_rows
from pipelines.train.towers.dataset_pictures import add_noise, share_batch
from pipelines.train.towers.pictures import draw_picture
from pipelines.train.trainer import Trainer
from schemas.recipe import OptimizerSettings, Recipe
from schemas.towers import PictureAugmentation, PictureInput, TowerLoss, TowerNet
from tests.pipelines.fetch.pictures import JPEG
from tests.pipelines.train.towers.toy_tower import DIMS, PX, ToyTower

CPU = torch.device("cpu")
LOSSES = [
    TowerLoss(),
    TowerLoss(learnt=False, anchor=0),
    TowerLoss(kind="siglip"),
    TowerLoss(soft_captions=0.1, anchor=1),
]
NAMES = ["info_nce", "fixed", "siglip", "soft"]


def open_task(task, tmp_path, **recipe):
    recipe = Recipe(**({"steps": 1, "batch": 32} | recipe))
    return task.open(TaskContext("toy", recipe, tmp_path, CPU))


def gradient_of(task, parts, tmp_path):
    """Return the loss and the gradient of one batch, in double precision."""
    open_task(task, tmp_path, accumulate=parts)
    torch.manual_seed(0)
    net = task.build(0).double()
    batch = task.make_batch(0, WorkerGroup())
    loss = compute_gradients(task, net, batch, StepDraw(0, 0, CPU, "fp32"), WorkerGroup(), parts)
    grads = [each.grad.flatten() for each in net.parameters() if each.grad is not None]
    return float(loss.total), torch.cat(grads)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_parts_have_the_gradient_of_the_whole(loss, tmp_path):
    """The largest relative difference is one of rounding: a tower's batch does not depend on memory."""
    torch.set_default_dtype(torch.float64)
    try:
        whole, gradient = gradient_of(ToyTower(loss=loss, negatives=True), 1, tmp_path)
        in_parts, cached = gradient_of(ToyTower(loss=loss, negatives=True), 4, tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)

    assert in_parts == pytest.approx(whole, rel=1e-6)
    assert float((cached - gradient).abs().max() / gradient.abs().max()) < 1e-4


def test_a_tower_learns_the_space_that_it_is_given(tmp_path):
    """Held-out pictures come to lie where their targets do; what is exported says the same."""
    recipe = Recipe(steps=80, batch=32, optimizer=OptimizerSettings(lr=2e-3), validate_every=80)
    trainer = Trainer(
        ToyTower(loss=TowerLoss(anchor=1)), recipe, Root.from_url(str(tmp_path / "run")), caches=tmp_path
    )
    before = trainer.task.validate(trainer.net.eval())[""]
    trainer.net.train()
    trainer.train()
    (tmp_path / "out").mkdir()
    (card,) = trainer.export(tmp_path / "out")
    towers, towers_card = load_towers(tmp_path / "out" / "model")

    assert before["cosine"] < 0.3
    assert card.scores["cosine"] > 0.8
    assert card.scores["r1"] > 5 * before["r1"]
    assert trainer.task.data.space.identity == towers_card.joins
    assert "none" == towers_card.pretrained == card.weights
    assert (1, 16) == towers["image"](torch.zeros(1, 3, PX, PX)).shape


def test_a_tower_goes_on_from_a_model(tmp_path):
    """Its folder is what `init_from` takes; the loss begins anew."""
    recipe = Recipe(steps=2, batch=32)
    first = Trainer(ToyTower(), recipe, Root.from_url(str(tmp_path / "run")), caches=tmp_path).train()
    (tmp_path / "out").mkdir()
    first.export(tmp_path / "out")
    begun = recipe.model_copy(update={"init_from": str(tmp_path / "out" / "model")})
    second = Trainer(ToyTower(), begun, Root.from_url(str(tmp_path / "again")), caches=tmp_path)

    for one, other in zip(first.net.towers.parameters(), second.net.towers.parameters(), strict=True):
        assert torch.equal(one, other)


def test_siglip_is_each_pair_by_itself():
    """By hand: two pairs, and a bias that makes all wrong ones cheap."""
    a, b = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    logits = 10 * a @ b.T - 5
    signs = 2 * torch.eye(2) - 1
    expected = -torch.nn.functional.logsigmoid(signs * logits).sum() / 2

    assert float(siglip(a, b, 10, -5)) == pytest.approx(float(expected))


def test_negatives_count_on_the_side_of_pictures_alone():
    """One negative that is as near as the target makes a certain answer a coin's."""
    a = torch.eye(2)
    certain, torn = symmetric_info_nce(a, a, 50), symmetric_info_nce(a, a, 50, negatives_ND=a)

    assert float(certain) == pytest.approx(0, abs=1e-6)
    assert float(torn) == pytest.approx(np.log(2) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("net", "recipe", "said"),
    [
        ({"norm": "batch"}, {"accumulate": 4}, "statistics of a part are not those of the batch"),
        ({"pretrained": "nowhere.safetensors"}, {}, "there is no file nowhere.safetensors"),
        ({"backbone": "clip"}, {}, "the backbone clip is the tower of a trained CLIP"),
        ({"backbone": "pocket_resnet", "pretrained": "hub"}, {}, "the hub has no weights of pocket_resnet"),
    ],
    ids=["batch-in-parts", "no-file", "no-clip", "no-hub"],
)
def test_a_wrong_net_is_one_sentence(net, recipe, said, tmp_path):
    """Before anything is trained."""
    keys = {"backbone": "pocket_resnet", "input": PictureInput(size_px=PX)} | net
    with pytest.raises(ConfigError, match=said):
        open_task(ToyTower(net=TowerNet(**keys)), tmp_path, **recipe).build(0)


@pytest.mark.parametrize("loss", [{"soft_captions": 0.1}, {"negatives": 2}], ids=["soft", "negatives"])
def test_the_pocket_tower_has_no_captions(loss, tmp_path):
    """Its scenes are drawn without; the loss would be another than the preset says."""
    task = PocketTower(net=TowerNet(backbone="pocket_resnet"), loss=TowerLoss(**loss))

    with pytest.raises(ConfigError, match=rf"loss.{next(iter(loss))} compares captions"):
        open_task(task, tmp_path)


def test_rows_are_embedded_together_as_one_by_one():
    """In their order, with pictures of one frame among clips of four, and with few calls of the tower."""
    rng = np.random.default_rng(0)
    counts = [1, 1, 4, 4, 4, 4, 1, 4]
    rows = [(key, rng.integers(0, 256, (count, 8, 8, 3), np.uint8)) for key, count in enumerate(counts)]
    map_PO, asked = rng.standard_normal((192, DIMS)).astype(np.float32), []

    def embed(pixels):
        asked.append(len(pixels))
        vectors = (pixels.reshape(len(pixels), -1) / 255 - 0.5).astype(np.float32) @ map_PO
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    together = dict(embed_rows(embed, rows, most=8))
    calls = list(asked)
    alone = [embed_frames(embed, frames[None])[0] for _, frames in rows]

    assert [*range(8)] == [*together]
    assert [2, 8, 8, 1, 4] == calls
    assert np.allclose(np.stack(alone), np.stack([*together.values()]), atol=1e-6)


def test_frozen_weights_need_weights():
    """Statistics that were never measured are no statistics."""
    with pytest.raises(ValidationError, match="is the dataset's CLIP"):
        TowerNet(pretrained="dataset")
    with pytest.raises(ValueError, match="pretrained is none"):
        TowerNet(norm="frozen")


def test_weights_of_another_backbone_are_refused(tmp_path):
    """With how many tensors are missing and unexpected, and the first."""
    import timm
    from safetensors.torch import save_file

    file = tmp_path / "resnet18.safetensors"
    save_file(timm.create_model("resnet18", num_classes=10).state_dict(), file)
    small = PictureInput(size_px=PX)
    fitting = ToyTower(net=TowerNet(pretrained=str(file), norm="frozen", input=small, unlock=1))
    open_task(fitting, tmp_path).build(0)
    other = ToyTower(net=TowerNet(backbone="resnet34", pretrained=str(file), norm="frozen", input=small))

    with pytest.raises(ConfigError, match=r"resnet18.safetensors is of another backbone: \d+ tensors"):
        open_task(other, tmp_path).build(0)


def test_a_picture_is_drawn_by_its_seed():
    """The same part and colours for one seed, others for another; unchanged without augmentation."""
    settings, drawn = PictureInput(size_px=48), PictureAugmentation()
    one, again, other = (
        draw_picture(JPEG, settings, drawn, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    plain = PictureAugmentation(crop=1.0, flip=False, colour=0.0)
    still = [draw_picture(JPEG, settings, plain, np.random.default_rng(seed)) for seed in (1, 2)]

    assert (48, 48, 3) == one.shape
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.array_equal(*still)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"clip": 90}, {"clip": 64}),
        ({"clip": 90, "image": 270}, {"clip": 16, "image": 48}),
        ({"clip": 1, "image": 10_000}, {"clip": 8, "image": 56}),
    ],
    ids=["one", "shares", "at-least-one-lane"],
)
def test_kinds_share_a_batch_by_their_rows(counts, expected):
    """In whole rows of lanes, and none is left out."""
    assert expected == share_batch(64, counts, 8)


def test_a_batch_without_a_lane_for_each_kind_is_refused():
    """Eight rows are one for each of eight lanes."""
    with pytest.raises(ConfigError, match="cannot be divided among 8 lanes and 2 kinds"):
        share_batch(8, {"clip": 5, "image": 5}, 8)


def test_noise_depends_on_row_and_epoch_alone():
    """So that two workers, and a training that goes on, see the same targets; sounds are left as they are."""
    units_NO = np.eye(6, 16, dtype=np.float32)
    keys_N, epochs_N = np.arange(6), np.array([0, 0, 0, 1, 1, 1])
    is_text_N = np.array([True, False, True, True, True, True])
    whole_NO = add_noise(units_NO, is_text_N, keys_N, epochs_N, 0.1, 0)
    part = np.array([4, 2])
    part_NO = add_noise(units_NO[part], is_text_N[part], keys_N[part], epochs_N[part], 0.1, 0)
    later_NO = add_noise(units_NO, is_text_N, keys_N, epochs_N + 1, 0.1, 0)

    assert np.array_equal(whole_NO[part], part_NO)
    assert (
        is_text_N.tolist() == (whole_NO != units_NO).any(1).tolist() == (whole_NO != later_NO).any(1).tolist()
    )
    assert np.allclose(1, np.linalg.norm(whole_NO, axis=1))


def test_rows_without_a_caption_match_themselves_alone():
    """Zeros have cosine 0, which a wide spread would take for a half match; nobody matches twice."""
    criterion = TowerCriterion(nn.ModuleDict(), TowerLoss(kind="siglip", soft_captions=2.0))
    captions_NO = torch.eye(4, 16)
    captions_NO[1] = 0
    captions_NO[3] = 1.01 * captions_NO[2]
    units_NO = torch.eye(4, 16)
    batch = PictureBatch(torch.empty(0), units_NO, captions_NO)
    found = criterion.compute(units_NO, batch, WorkerGroup()).parts["contrast"]
    half = float(np.exp(-0.5))
    right = torch.tensor([[1, 0, half, half], [0, 1, 0, 0], [half, 0, 1, 1], [half, 0, 1, 1]])

    assert float(found) == pytest.approx(float(siglip(units_NO, units_NO, 10.0, -10.0, right)), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "siglip", "negatives": 2}, "negatives are of info_nce, and the loss is siglip"),
        ({"temperature": 0.001}, "greater than or equal to 0.01"),
    ],
)
def test_what_a_loss_would_not_use_is_refused(settings, said):
    """Or a run would be named for what it has not."""
    with pytest.raises(ValidationError, match=said):
        TowerLoss(**settings)


@pytest.mark.parametrize("lanes", [0, -8, 7])
def test_lanes_that_divide_no_batch_are_one_sentence(lanes):
    """None, fewer than none, or seven."""
    with pytest.raises(ConfigError, match=f"cannot be divided among {lanes} lanes"):
        share_batch(8, {"clip": 24}, lanes)


class Touch:
    """Writes a file wherever it is unpickled."""

    def __init__(self, place) -> None:
        self.place = str(place)

    def __reduce__(self):
        return Path.touch, (Path(self.place),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda _: [1, 2], "holds no tensors by name"),
        (lambda _: {"0.weight": 3}, "holds no tensors by name"),
        (lambda _: {3: torch.zeros(2)}, "holds no tensors by name"),
        (lambda _: {"model": {"state": torch.zeros(2)}}, "is of another backbone: .* 1 are unexpected"),
        (lambda place: {"0.weight": Touch(place)}, "cannot be loaded"),
    ],
    ids=["list", "number", "keys", "wrapped", "code"],
)
def test_a_file_of_anything_else_is_refused(content, said, tmp_path):
    """Nothing of it is executed."""
    file, place = tmp_path / "weights.pt", tmp_path / "touched"
    torch.save(content(place), file)
    small = PictureInput(size_px=PX)
    net = TowerNet(backbone="pocket_resnet", pretrained=str(file), norm="frozen", input=small)
    task = open_task(ToyTower(net=net), tmp_path)

    with pytest.raises(ConfigError, match=said):
        task.build(0)
    assert not place.exists()
