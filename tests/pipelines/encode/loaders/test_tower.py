"""Trained towers as encoders: every property of the kit, by name, and one sentence for what is no tower."""

import shutil

import pytest

from pipelines.encode import conformance
from pipelines.encode.loaders.pocket import POCKET_TOWER
from pipelines.encode.loaders.tower import TrainedTower
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError, EcholensError
from pipelines.models.towers import CARD, build_towers, save_towers
from schemas.encoders import Encode
from schemas.towers import PictureInput, PictureTowerSettings, SoundTowerSettings, TowersCard

POCKET = {"clip": "pocket", "clap": "pocket", "clap_image": "pocket"}


def test_the_pocket_tower_keeps_every_property():
    """By the kit that encoders of one's own are tested with; at most 2.4 MB."""
    found = conformance.check("tower", {"weights": str(POCKET_TOWER)})

    assert [] == [each for each in found if not each.ok]
    assert sum(file.stat().st_size for file in POCKET_TOWER.iterdir()) < 2.4e6


def test_two_towers_of_a_space_of_their_own_are_a_family(tmp_path):
    """Of pictures and sounds, and no texts."""
    card = TowersCard(
        image=PictureTowerSettings(backbone="pocket_resnet", input=PictureInput(size_px=32)),
        audio=SoundTowerSettings(hidden=16),
    )
    save_towers(build_towers(card), card, tmp_path)
    loader = TrainedTower(str(tmp_path), "fp32")
    found = conformance.check(loader)

    assert ("image", "audio") == loader.modalities
    assert loader.space().joins is None
    assert [] == [each for each in found if not each.ok]


def test_the_pocket_tower_joins_pocket_clap():
    """So that its column can be compared with sounds and texts, and with no picture of CLIP's."""
    specs = resolve(Encode.model_validate(POCKET))
    space, clap, clip = (specs[key].space for key in ("clap_image", "clap", "clip"))

    assert space.is_comparable(clap)
    assert not space.is_comparable(clip)
    assert "tower:tower" == space.encoder


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (
            POCKET | {"clap_image": {"loader": "tower", "weights": "eye"}},
            "'eye' is a model of a root",
        ),
        (POCKET | {"clap_image": {"loader": "tower", "weights": "/no/where"}}, "holds no towers.json"),
        (
            POCKET | {"clap_image": {"loader": "tower", "weights": "pocket", "batch_rows": 0}},
            "batch_rows of a tower is 0; it must be 1 or more",
        ),
        (POCKET | {"clip_audio": {"loader": "tower", "weights": "pocket"}}, "joins the space"),
        (POCKET | {"clap": None}, "encode.clap is null"),
        (POCKET | {"clap_image": {"loader": "tower"}}, "missing a required argument: 'weights'"),
        (POCKET | {"clap_image": {"loader": "towers", "weights": "pocket"}}, "is no loader that it can have"),
    ],
    ids=["no-root", "no-folder", "no-rows", "no-such-tower", "no-family", "no-weights", "typo"],
)
def test_what_is_no_tower_is_one_sentence(encode, said):
    """What was found, what was wanted."""
    with pytest.raises(EcholensError, match=said):
        resolve(Encode.model_validate(encode))


def test_a_tower_of_a_card_that_was_changed_is_refused(tmp_path):
    """The card decides what is built; the weights say that it is another."""
    shutil.copytree(POCKET_TOWER, tmp_path / "tower")
    card = tmp_path / "tower" / CARD
    card.write_text(card.read_text().replace('"layer_norm": false', '"layer_norm": true'))

    with pytest.raises(ConfigError, match="2 tensors are missing"):
        TrainedTower(str(tmp_path / "tower"), "fp32").load()
