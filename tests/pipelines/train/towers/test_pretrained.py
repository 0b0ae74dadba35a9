"""The weights that a tower begins with: what is refused, and in which words."""

import subprocess
import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.train.towers.pretrained import find_first_weights
from schemas.towers import PictureInput, TowerNet
from tests.pipelines.train.towers.toy_tower import DIMS, PX


@pytest.mark.parametrize("backbone", ["resnet18", "resnet18.a1_in1k", "torchvision:resnet18"])
@pytest.mark.parametrize("place", ["hub", "file"])
def test_statistics_of_pretrained_weights_are_not_dropped(backbone, place, tmp_path):
    """Before anything is fetched or read; a backbone without BatchNorm has none to drop."""
    (tmp_path / "weights.pt").touch()
    given = "hub" if place == "hub" else str(tmp_path / "weights.pt")
    small = PictureInput(size_px=PX)
    with pytest.raises(ConfigError, match=r"norm is group and .* would drop .* write norm: frozen"):
        find_first_weights(TowerNet(backbone=backbone, pretrained=given, input=small), DIMS)
    for net in ({"backbone": backbone, "norm": "batch"}, {"backbone": "vit_tiny_patch16_224"}):
        assert find_first_weights(TowerNet(pretrained=given, input=small, **net), DIMS).initialize


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ({"backbone": "clip", "pretrained": "local-dir:nowhere"}, r"^net\.pretrained: .*nowhere"),
        ({"backbone": "clip", "pretrained": "ViT-B-32:nothing"}, r"^net\.pretrained: .*'nothing' are"),
        ({"backbone": "clip", "pretrained": "ViT-B-23:openai"}, r"^net\.pretrained: open_clip knows no"),
        ({"backbone": "clip", "pretrained": "ViT-B-32:openai"}, r"^net\.pretrained: .* ViT-B-32-quickgelu"),
    ],
    ids=["folder", "tag", "model", "activation"],
)
def test_wrong_weights_name_the_key_of_the_preset(net, said):
    """The loaders know the keys of a dataset's file, and a preset has none of them."""
    with pytest.raises(ConfigError, match=said) as raised:
        find_first_weights(TowerNet(**net), DIMS)
    assert "encode." not in str(raised.value)


def test_a_download_that_fails_names_the_key_of_the_preset(tmp_path, monkeypatch):
    """And what else may be written there."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    net = TowerNet(backbone="resnet10t.c3_in1k", pretrained="hub", norm="batch")
    command = [
        sys.executable,
        "-c",
        "from pipelines.train.towers.pretrained import find_first_weights as find\n"
        "from pipelines.models.towers import PictureTower\n"
        "from schemas.towers import TowerNet\n"
        f"first = find(TowerNet.model_validate_json({net.model_dump_json()!r}), 16)\n"
        "PictureTower(first.settings, first.initialize)",
    ]
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()[-1]

    assert "ConfigError: net.pretrained: the hub's resnet10t.c3_in1k could not be fetched" in said
    assert "encode." not in said
