"""Captions by the command: of rows, of files, by the pocket captioner and by one that was trained here."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.generate.captioner.spec import choose_captioner
from pipelines.miniature.caption_reader import read_caption
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw_heldout
from pipelines.models.prefix_captioner import CAPTIONER_CARD, load_captioner, save_captioner
from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.train.captioner.dataset_task import DatasetCaptioner
from pipelines.train.dataset import TrainingDataset
from pipelines.train.trainer import fit
from schemas.captioner import CaptionerCard
from schemas.recipe import OptimizerSettings, Recipe
from tests.commands import HOME
from tests.in_process import job_here
from tests.pipelines.train.captioner.toy_captions import write_gpt2
from tests.saving import save_model_card

KEPT = HOME / "tests" / "data" / "root_2188a47" / "root"
WEIGHTS = HOME / "pipelines" / "miniature" / "weights" / "captioner"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of a small root of pictures, clips and texts."""
    return shutil.copytree(KEPT, tmp_path_factory.mktemp("captioned") / "root")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A picture and a sound of one held-out scene."""
    folder, scene = tmp_path_factory.mktemp("files"), draw_heldout(0, 1)
    (folder / "seen.jpg").write_bytes(picture_file(scene))
    (folder / "heard.wav").write_bytes(sound_file(scene))
    return folder


def caption(root, *arguments, generator="captioner", check=True):
    return job_here("generate", root, "--generator", generator, *arguments, check=check)


def test_captions_of_rows_are_a_table_that_joins_by_key(root):
    """Every row with a vector of a picture has one; who wrote it stands beside it."""
    caption(root, "--column", "clip_image", "--name", "seen")
    rows = pq.read_table(root / "generated" / "seen" / "captions.parquet").to_pylist()
    keys = {
        row["key"]
        for path in sorted((root / "vectors" / "main").glob("*.parquet"))
        for row in pq.ParquetFile(path).read(columns=["key", "clip_image"]).to_pylist()
        if row["clip_image"] is not None
    }

    assert {row["key"] for row in rows} == keys
    assert len(rows) > 1
    assert {row["written_by"] for row in rows} == {"captioner of pocket"}
    assert all(read_caption(row["caption"])["kind"] for row in rows)


def test_a_picture_and_a_sound_are_told_of_on_the_terminal(root, files):
    """The family follows from the file; `--image` is enough."""
    seen = caption(root, "--image", files / "seen.jpg", "--name", "one_seen").stdout.splitlines()[0]
    heard = caption(root, "--audio", files / "heard.wav", "--name", "one_heard").stdout.splitlines()[0]

    assert read_caption(seen.partition("jpg")[2])["kind"] == draw_heldout(0, 1).kind
    assert heard.split()[0] == "heard.wav"
    assert read_caption(heard.partition("wav")[2])["kind"] == draw_heldout(0, 1).kind


def test_a_column_of_another_family_is_refused(root):
    refused = caption(root, "--column", "ciap_image", "--name", "never", check=False)

    assert "the captioner reads vectors of clap and clip, and ciap_image is none of them" in refused.stderr
    assert not (root / "generated" / "never").exists()


def test_a_captioner_of_another_clip_is_refused(root, tmp_path):
    """Its card says the space that it was trained on, so nothing is written."""
    net = load_captioner(WEIGHTS)
    other = {"space": "0" * 64 + "/512d"}
    mappers = {family: shape.model_copy(update=other) for family, shape in net.card.mappers.items()}
    net.card = net.card.model_copy(update={"mappers": mappers})
    own = root / "models" / "stranger"
    shutil.copytree(WEIGHTS, own)
    save_captioner(net, own)
    save_model_card(Root.from_url(str(root)), "stranger")
    refused = caption(
        root, "--column", "clip_image", "--name", "none", generator="captioner:stranger", check=False
    )

    assert "take the encoder that it was trained with" in refused.stderr
    assert not list((root / "generated" / "none").glob("*.tar"))


def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path):
    folder = shutil.copytree(WEIGHTS, tmp_path / "other")
    card = CaptionerCard.model_validate_json((folder / CAPTIONER_CARD).read_text())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="there is no vocabulary in"):
        choose_captioner(str(folder)).open()
    bigger = write_gpt2(tmp_path / "gpt2")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(bigger / name, folder / name)
    with pytest.raises(ConfigError, match=rf"has \d+ tokens and the captioner {card.gpt2.vocabulary}"):
        choose_captioner(str(folder)).open()
    with pytest.raises(ConfigError, match="there is no captioner in"):
        choose_captioner(str(tmp_path / "nowhere"))


def test_a_dataset_trains_a_captioner_of_its_captions(root, tmp_path):
    """On the vectors of texts alone, over a GPT-2 of the user's; its card says so."""
    home = Root.from_url(str(root))
    version = versions.read_current(home, "main")
    dataset = TrainingDataset(home, "old", 100, version.number)
    gpt2 = write_gpt2(tmp_path / "gpt2")
    task = DatasetCaptioner(dataset=dataset, gpt2=str(gpt2), columns=("clap_text",), most=20)
    recipe = Recipe(steps=3, batch=2, optimizer=OptimizerSettings(lr=1e-3))
    made = tmp_path / "made"
    made.mkdir()
    (card,) = fit(
        task,
        recipe,
        Root.from_url(str(tmp_path / "run")),
        name="mine",
        out=made,
        caches=tmp_path,
    )
    net = load_captioner(made / "mine")

    assert card.task["gpt2"].startswith("gpt2 ")
    assert net.card.trained_on == "texts"
    assert net.card.mappers["clap"].space is not None
    assert np.isfinite(card.loss)
    assert torch.isfinite(net.mappers["clap"][0].weight).all()
