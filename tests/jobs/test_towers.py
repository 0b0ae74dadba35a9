"""A tower from its training to its use: a model, a column, searches and sounds without a translator."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pipelines.errors import ConfigError, EcholensError
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw_heldout
from pipelines.store.keyed_vectors import read_keyed_vectors
from pipelines.store.root import Root
from pipelines.store.split_groups import find_parts
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.store.versions import open_vectors, read_current
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.task import TaskContext
from pipelines.train.towers.dataset_task import DatasetTower
from pipelines.train.towers.joint import JointTowers
from pipelines.train.towers.leaks import find_leaked
from pipelines.train.trainer import Trainer
from schemas.recipe import Recipe
from schemas.towers import PictureInput, TowerLoss, TowerNet, TowerPairs
from schemas.training import SplitSettings
from tests.clip_world import write_clip_world
from tests.commands import echolens
from tests.in_process import job_here

SMALL = PictureInput(size_px=32, resize="squash")
SPLIT = {"validation": 0.25}
SIGLIP = TowerLoss(kind="siglip")
RECIPE = Recipe(epochs=2, batch=8)
PRESET = {
    "name": "eye",
    "task": "tower",
    "net": {"backbone": "pocket_resnet", "input": {"size_px": 32, "resize": "squash"}},
    "pairs": {"frame": "nearest"},
    "split": SPLIT,
    "recipe": {"epochs": 2, "batch": 8},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """The folder of a dataset of clips and pictures, built."""
    folder = tmp_path_factory.mktemp("towers")
    job_here("build", write_clip_world(folder))
    (folder / "eye.yaml").write_text(yaml.safe_dump(PRESET))
    return folder


@pytest.fixture(scope="module")
def dataset(world) -> TrainingDataset:
    root = Root.from_url(str(world / "data"))
    rows = json.loads((world / "data" / "dataset.json").read_text())["dataset"]["shard_rows"]
    return TrainingDataset(root, "clips", rows, 1)


@pytest.fixture
def picture(tmp_path) -> Path:
    file = tmp_path / "bell.jpg"
    file.write_bytes(picture_file(draw_heldout(0, 0)))
    return file


def tower_of(dataset, **settings) -> DatasetTower:
    net = TowerNet(backbone="pocket_resnet", input=SMALL)
    return DatasetTower(**({"dataset": dataset, "net": net, "split": SPLIT} | settings))


def begin(task, folder, recipe=RECIPE):
    folder.mkdir(exist_ok=True)
    return Trainer(task, recipe, Root.from_url(str(folder / "run")), caches=folder)


def weights_of(trainer) -> np.ndarray:
    return np.concatenate([each.detach().numpy().ravel() for each in trainer.net.parameters()])


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_tower_is_trained_and_becomes_a_column(world, picture):
    """The column lies in the space of sounds: pictures find them and become them with no translator."""
    data = world / "data"
    (card,) = json.loads(echolens("train", data, "--preset", world / "eye.yaml", "--json").stdout)
    columns = ["encode.set=seen", "encode.clap_image.loader=tower", "encode.clap_image.weights=eye"]
    job_here("build", world / "clips.yaml", *columns)
    hits = json.loads(
        echolens("lookup", data, "--image", picture, "--in", "clap_audio", "--set", "seen", "--json").stdout
    )
    made = json.loads(
        job_here(
            "generate", data, "--set", "seen", "--images", picture, "--steps", "1", "--name", "bell", "--json"
        ).stdout
    )
    rows = json.loads(
        echolens(
            "evaluate", data, "--set", "seen", "--direction", "picture->sound", "--all-rows", "--json",
            "--ways", "tower:eye,tower:clap_image,tower:pocket,retrieval",
        ).stdout
    )  # fmt: skip

    assert card["retrieval"]["pairs"] >= 2
    assert 0 <= card["retrieval"]["back_r1"] <= 1
    assert "clap_image" in json.loads(echolens("status", data, "--set", "seen", "--json").stdout)["vectors"]
    assert hits
    assert all(hit["source"] in ("vggsound", "audiocaps") for hit in hits)
    assert "clap_image" == made["wanted"]["asked"]["column"]
    cosines = {row["way"]: row["value"] for row in rows if row["score"] == "pair_cosine"}
    assert cosines["tower:eye"] == cosines["tower:clap_image"] != cosines["tower:pocket"]


@pytest.mark.parametrize(
    ("settings", "recipe", "said"),
    [
        ({"pairs": TowerPairs(target="other_audio")}, {}, "has no vector other_audio"),
        ({"pairs": TowerPairs(text_target="clip_text")}, {}, "clip_text is in .* and the target in"),
        ({}, {"batch": 64}, "are too few for batches of 64; build more rows, or take a smaller recipe.batch"),
        (
            {"loss": TowerLoss(negatives=16), "split": {"validation": 0.45}},
            {},
            "loss.negatives is 16, and there are",
        ),
        ({"net": TowerNet(backbone="nothing_at_all")}, {}, "there is no 'nothing_at_all'"),
    ],
    ids=["column", "space", "rows", "negatives", "backbone"],
)
def test_a_wrong_tower_is_one_sentence(dataset, tmp_path, settings, recipe, said):
    """Before anything is written."""
    with pytest.raises(EcholensError, match=said):
        begin(tower_of(dataset, **settings), tmp_path, RECIPE.model_copy(update=recipe))

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pairs": TowerPairs(text_target="clap_text", noise=0.02)},
        {
            "pairs": TowerPairs(mined={"mined_by": "clap_text", "least_cosine": 0.3}),
            "loss": TowerLoss(kind="siglip"),
        },
        {"loss": TowerLoss(soft_captions=0.1, negatives=2)},
        {"net": TowerNet(backbone="clip", pretrained="dataset", norm="frozen", unlock=1, backbone_rate=0.1)},
    ],
    ids=["plain", "captions", "mined", "negatives", "clip"],
)
def test_a_training_that_is_cut_goes_on_to_the_same_weights(dataset, tmp_path, settings):
    """With every kind of pairs, targets and weights to begin with."""
    # Pictures beside clips are a second stream, of eight lanes, too.
    recipe = Recipe(steps=4, batch=16 if "pairs" in settings else 8, checkpoint_every=2)
    whole = begin(tower_of(dataset, **settings), tmp_path / "whole", recipe).train()
    begin(tower_of(dataset, **settings), tmp_path / "cut", recipe).train(until=3)
    resumed = begin(tower_of(dataset, **settings), tmp_path / "cut", recipe)
    at = resumed.step
    resumed.train()

    assert 2 == at
    assert np.array_equal(weights_of(whole), weights_of(resumed))


def test_two_workers_have_the_batch_of_one(dataset, tmp_path):
    """Pictures, targets with their noise, captions and negatives: whoever has a row, it is the same."""
    loss, pairs = TowerLoss(soft_captions=0.1, negatives=2), TowerPairs(text_target="clap_text", noise=0.05)
    found = []
    for groups in ([WorkerGroup()], [WorkerGroup(0, 2), WorkerGroup(1, 2)]):
        rows = []
        for group in groups:
            with closing(tower_of(dataset, loss=loss, pairs=pairs)) as task:
                task.open(
                    TaskContext("eye", Recipe(epochs=1, batch=16), tmp_path, torch.device("cpu"), group)
                )
                batches = [task.make_batch(step, group) for step in range(2)]
            for batch in batches:
                negatives = batch.negatives_MO.reshape(len(batch.pixels), -1)
                parts = (batch.pixels.flatten(1).float(), batch.targets_NO, batch.captions_NO, negatives)
                rows.append(torch.cat(parts, 1).numpy())
        found.append(np.concatenate(rows))
    alone_NO, shared_NO = (rows[np.lexsort(rows[:, :64].T)] for rows in found)

    assert (32, alone_NO.shape[1]) == shared_NO.shape
    assert np.array_equal(alone_NO, shared_NO)


def test_a_series_is_checked_before_it_begins(world, tmp_path):
    """A key that the last of its presets misspells is said before the first is trained."""
    typo = PRESET | {"name": "last", "pairs": {"fame": "nearest"}}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump({"name": "both", "presets": [PRESET, typo]}))
    before = sorted((world / "data" / "runs").glob("train-*"))
    refused = echolens("train", world / "data", "--preset", tmp_path / "both.yaml", check=False)

    assert "preset last: " in refused.stderr
    assert "pairs.fame" in refused.stderr
    assert before == sorted((world / "data" / "runs").glob("train-*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": {"target": "other_audio"}}, "has no vector other_audio"),
        ({"net": {"backbone": "nothing_at_all"}}, "there is no 'nothing_at_all'"),
        ({"recipe": {"epochs": 1, "batch": 64}}, "too few for batches of 64"),
    ],
    ids=["column", "backbone", "rows"],
)
def test_a_member_that_cannot_open_stops_a_series_before_it_begins(world, tmp_path, change, said):
    """One sentence names it; the first has trained nothing."""
    presets = [PRESET | {"name": "never"}, PRESET | {"name": "last"} | change]
    (tmp_path / "both.yaml").write_text(yaml.safe_dump({"name": "both", "presets": presets}))
    before = sorted((world / "data" / "runs").glob("train-*"))
    refused = job_here("train", world / "data", "--preset", tmp_path / "both.yaml", check=False)

    assert 1 == len(refused.stderr.strip().splitlines()), refused.stderr
    assert "preset last: " in refused.stderr
    assert said in refused.stderr
    assert before == sorted((world / "data" / "runs").glob("train-*"))
    assert not (world / "data" / "models" / "never").exists()


@pytest.mark.parametrize("cosine", [0.5, 0.9, 0.99])
def test_held_out_pictures_near_a_trained_one_are_dropped(dataset, cosine):
    """As translators drop them: by the cosines of CLIP, test also against validation."""
    reader = dataset.read_vectors()
    known = read_keyed_vectors(reader, "clip_image")
    split = SplitSettings(validation=0.25, test=0.25, leak_cosine=cosine)
    part_N = find_parts(dataset.root, reader.shards, dataset.shard_rows, known.keys_N, split)
    parts = {part: known.keys_N[part_N == part] for part in (TRAIN, VALIDATION, TEST)}
    cosines_NN = known.vectors_ND.astype(np.float32) @ known.vectors_ND.astype(np.float32).T
    seen_NN = np.where(
        part_N[:, None] == VALIDATION, part_N == TRAIN, (part_N[:, None] == TEST) & (part_N != TEST)
    )
    expected = known.keys_N[((cosines_NN >= cosine) & seen_NN).any(1)]

    assert expected.tolist() == find_leaked(reader, parts, cosine).tolist()
    assert cosine > 0.5 or len(expected)


@pytest.mark.parametrize("kind", [DatasetTower, JointTowers], ids=["tower", "joint"])
def test_a_tower_drops_what_leaks(dataset, tmp_path, kind):
    """Where every held-out picture is like one that is trained on, nothing is left to validate on."""
    net = TowerNet(backbone="pocket_resnet", norm="batch", input=SMALL)
    split = SplitSettings(validation=0.25, leak_cosine=1e-9)

    with pytest.raises(ConfigError, match=r" and 0 to validate on are too few"):
        begin(kind(dataset=dataset, net=net, split=split), tmp_path, Recipe(steps=1, batch=8))


def test_a_cosine_with_nothing_to_compare_is_refused(dataset):
    """Nobody asked for the usual one, so it is left out in silence."""
    nobody = {part: np.array([10**9 + part]) for part in (TRAIN, VALIDATION, TEST)}

    assert not len(find_leaked(dataset.read_vectors(), nobody, SplitSettings().leak_cosine))
    with pytest.raises(ConfigError, match=r"split.leak_cosine is 0.5, .* has no clip_image"):
        find_leaked(dataset.read_vectors(), nobody, 0.5)


def test_another_backbone_does_not_resume(dataset, tmp_path):
    """The checkpoint says of which tower it is."""
    begin(tower_of(dataset), tmp_path, Recipe(steps=2, batch=8)).train()
    other = tower_of(dataset, net=TowerNet(backbone="resnet18", input=SMALL))

    with pytest.raises(EcholensError, match=r"holds a training of DatasetTower with net .*pocket_resnet"):
        begin(other, tmp_path, Recipe(steps=2, batch=8))


@pytest.mark.slow
def test_no_generator_takes_a_family_of_its_own(world, dataset, tmp_path):
    """Two towers that were trained together fill two columns, and are nowhere near the sounds of CLAP."""
    net = TowerNet(backbone="pocket_resnet", norm="batch", layer_norm=True, input=SMALL)
    task = JointTowers(dataset, net=net, split=SPLIT, buffer=4)
    trainer = begin(task, tmp_path, Recipe(steps=4, batch=8)).train()
    out = world / "data" / "models"
    out.mkdir(exist_ok=True)
    (card,) = trainer.export(out)
    (out / card.name / "card.json").write_text(card.model_dump_json())
    columns = ["encode.set=own", "encode.ciap.loader=tower", f"encode.ciap.weights={card.name}"]
    job_here("build", world / "clips.yaml", *columns)
    flags = ["--set", "own", "--column", "ciap_image", "--limit", "1"]
    refused = job_here("generate", world / "data", *flags, check=False)
    seen_ND, heard_ND = (_read_vectors(world, column) for column in ("ciap_image", "clap_audio"))

    assert abs(float((seen_ND * heard_ND).sum(1).mean())) < 0.3
    assert _read_vectors(world, "ciap_audio").shape == heard_ND.shape
    assert 0 != refused.returncode
    assert 1 == len(refused.stderr.strip().splitlines())
    assert "ciap_image" in refused.stderr


def _read_vectors(world, column):
    """Return the vectors of a column of the set `own` of all clips, in the order of their keys."""
    root = Root.from_url(str(world / "data"))
    reader = open_vectors(root, read_current(root, "own"))
    keys = reader.read_keys("ciap_image")[1]
    keys = keys[np.isin(keys, reader.read_keys("clap_audio")[1])]
    found = [vectors for _, vectors in reader.read_vectors(column, keys)]
    return np.concatenate(found)
