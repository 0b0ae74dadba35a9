"""Towers: what is saved is what is loaded, what belongs to another net is refused, and no hub is asked."""

import json

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from pipelines.encode.loaders.pocket import WEIGHTS as POCKET
from pipelines.errors import ConfigError
from pipelines.models.backbones import build_backbone, unlock_last
from pipelines.models.batch_norms import FrozenBatchNorm, GlobalBatchNorm, replace_batch_norms
from pipelines.models.towers import CARD, WEIGHTS, build_towers, load_towers, save_towers
from schemas.towers import PictureInput, PictureTowerSettings, SoundTowerSettings, TowersCard

SMALL = PictureInput(size_px=32)
CLIP = json.loads((POCKET / "clip" / "open_clip_config.json").read_text())["model_cfg"]
CLIP_TOWER = {key: CLIP[key] for key in ("embed_dim", "vision_cfg")}


def card_of(**settings) -> TowersCard:
    return TowersCard(image=PictureTowerSettings(dims=16, **{"input": SMALL, **settings}))


def clip_of(**vision) -> dict[str, object]:
    return {"backbone": "clip", "clip": CLIP_TOWER | {"vision_cfg": CLIP_TOWER["vision_cfg"] | vision}}


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "pocket_resnet"},
        {"backbone": "resnet18", "norm": "batch", "layer_norm": True},
        {"backbone": "torchvision:shufflenet_v2_x0_5"},
        {"backbone": "vit_tiny_patch16_224"},
        {"backbone": "clip", "clip": CLIP_TOWER, "norm": "frozen", "input": PictureInput(size_px=64)},
    ],
    ids=lambda settings: settings["backbone"],
)
def test_what_is_saved_is_loaded(settings, tmp_path):
    """Of ours, timm's, torchvision's and CLIP's, convolutional or not."""
    card = card_of(**settings)
    torch.manual_seed(0)
    towers = build_towers(card).eval()
    save_towers(towers, card, tmp_path)
    loaded, found = load_towers(tmp_path)
    pixels = torch.rand(2, 3, card.image.input.size_px, card.image.input.size_px)

    assert card == found
    assert torch.equal(towers["image"](pixels), loaded["image"](pixels))
    assert (2, 16) == loaded["image"](pixels).shape


def test_both_towers_of_a_card_are_loaded(tmp_path):
    """The second seed's: ResNet18 and two linear layers."""
    card = TowersCard(
        image=PictureTowerSettings(input=SMALL, layer_norm=True, norm="batch"), audio=SoundTowerSettings()
    )
    towers = build_towers(card).eval()
    save_towers(towers, card, tmp_path)
    waves = torch.rand(2, 16_000)

    assert torch.equal(towers["audio"](waves), load_towers(tmp_path)[0]["audio"](waves))


@pytest.mark.parametrize(
    ("stored", "read", "said"),
    [
        ({"layer_norm": True}, {"layer_norm": False}, "0 tensors are missing, 2 are unexpected and 0 have"),
        ({"layer_norm": False}, {"layer_norm": True}, "2 tensors are missing, 0 are unexpected and 0 have"),
        ({}, {"backbone": "resnet18"}, "are missing, .* are unexpected"),
        ({}, {"dims": 8}, "0 tensors are missing, 0 are unexpected and 2 have another shape"),
        ({}, {"backbone": "vit_giant_patch14_224", "input": PictureInput()}, "are missing"),
    ],
    ids=["lost-layer-norm", "no-layer-norm", "backbone", "dims", "giant"],
)
def test_weights_of_another_net_are_refused(stored, read, said, tmp_path):
    """The seed dropped its LayerNorm silently; a card that asks for a giant gets no memory for it."""
    pocket = {"backbone": "pocket_resnet"}
    card = card_of(**(pocket | stored))
    save_towers(build_towers(card), card, tmp_path)
    other = {"dims": 16, "input": SMALL, **pocket, **read}
    (tmp_path / CARD).write_text(TowersCard(image=PictureTowerSettings(**other)).model_dump_json())

    with pytest.raises(ConfigError, match=said):
        load_towers(tmp_path)


def test_a_name_with_a_tag_of_timm_is_the_same_net():
    """The tag names weights, which a card has beside it."""
    tagged, plain = (
        build_towers(card_of(backbone=name, input=SMALL)) for name in ("resnet18.a1_in1k", "resnet18")
    )
    shapes = [{key: each.shape for key, each in net.state_dict().items()} for net in (tagged, plain)]

    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": "hf-hub:timm/resnet18.a1_in1k"}, "there is no 'hf-hub:timm/resnet18.a1_in1k'"),
        ({"backbone": "local-dir:/etc"}, "there is no 'local-dir:/etc'"),
        ({"backbone": "resnet81"}, "there is no .resnet81.; .* such as resnet"),
        ({"backbone": "resnet18.a1_in2k"}, "there is no .resnet18.a1_in2k.; .* such as .*resnet18.a1_in1k"),
        ({"backbone": "resnet18.a1/../x"}, "there is no .resnet18.a1/"),
        ({"backbone": "torchvision:deeplabv3_resnet50"}, "torchvision has no classifier .deeplab"),
        (
            {"backbone": "clip", "clip": CLIP_TOWER | {"vision_cfg": {"hf_model_name": "a/b"}}},
            "is none of open",
        ),
        (
            {
                "backbone": "clip",
                "clip": CLIP_TOWER
                | {"vision_cfg": CLIP_TOWER["vision_cfg"] | {"timm_model_pretrained": True}},
            },
            "timm_model_pretrained would load weights from elsewhere",
        ),
        (
            {"backbone": "torchvision:vit_b_16", "input": SMALL},
            "takes no pictures of 32 px",
        ),
        (clip_of(timm_model_name="hf-hub:a/b"), "backbone clip: timm has no 'hf-hub:a/b'"),
        (clip_of(timm_model_name="local-dir:/etc"), "backbone clip: timm has no 'local-dir:/etc'"),
        (clip_of(layers=10**9), "vision_cfg.layers is 1000000000; it must be 1 to 256"),
        (clip_of(timm_model_name=None, head_width=0), "open_clip cannot build it .*zero"),
        (clip_of(timm_model_name=None, width="wide"), "open_clip cannot build it"),
    ],
    ids=[
        *("hub", "folder", "typo", "tag", "path", "no-classifier", "hub-tower", "pretrained", "size"),
        *("hub-trunk", "folder-trunk", "layers", "zero", "text"),
    ],
)
def test_a_card_cannot_ask_for_anything_else(changes, said, tmp_path):
    """A card is data: its backbone is a name that is known, and nothing is loaded from elsewhere."""
    card = card_of(backbone="pocket_resnet")
    save_towers(build_towers(card), card, tmp_path)
    content = json.loads((tmp_path / CARD).read_text())
    content["image"] |= json.loads(PictureTowerSettings(dims=16, **changes).model_dump_json())
    (tmp_path / CARD).write_text(json.dumps(content))

    with pytest.raises(ConfigError, match=said):
        load_towers(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", '{"image": 3}', '{"image": null}', "[" * 100_000])
def test_a_damaged_card_is_one_sentence(damage, tmp_path):
    """Which file, and what to do."""
    (tmp_path / CARD).write_text(damage)

    with pytest.raises(ConfigError, match="is no card of a tower"):
        load_towers(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("std", [1e-300, 1, 1], "image.input. .*must be 0.001 or more"),
        ("mean", [1e30, 0, 0], "image.input.mean.0. Input should be less"),
        ("size_px", "huge", "image.input.size_px. Input should be a valid integer"),
    ],
)
def test_a_card_of_no_numbers_says_which(key, value, said, tmp_path):
    """A picture divided by nearly nothing would have no finite vector."""
    content = json.loads(card_of(backbone="pocket_resnet").model_dump_json())
    content["image"]["input"][key] = value
    (tmp_path / CARD).write_text(json.dumps(content))

    with pytest.raises(ConfigError, match=rf"is no card of a tower \({said}") as raised:
        load_towers(tmp_path)
    assert "pydantic" not in str(raised.value)


def test_weights_that_are_cut_are_one_sentence(tmp_path):
    """Before a net is built."""
    card = card_of(backbone="pocket_resnet")
    save_towers(build_towers(card), card, tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])

    with pytest.raises(ConfigError, match="cannot be read as weights"):
        load_towers(tmp_path)


@pytest.mark.parametrize("kind", ["group", "batch", "frozen"])
def test_no_batch_norm_is_left(kind):
    """Neither torch's nor timm's, which has an activation inside."""
    backbone, _ = build_backbone("test_resnet", 32)
    replace_batch_norms(backbone, kind)
    left = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)]
    held = [each for each in backbone.modules() if isinstance(each, FrozenBatchNorm)]

    assert len(held) == len(left)
    assert all(isinstance(each.norm, BatchNormAct2d | nn.BatchNorm2d) for each in held)


def test_statistics_of_one_worker_are_those_of_batch_norm():
    """In training and, by their running means, in use; the gradient is the same, too."""
    torch.manual_seed(0)
    plain, features = nn.BatchNorm2d(6), torch.randn(5, 6, 4, 4)
    own = GlobalBatchNorm(nn.BatchNorm2d(6))
    found = []
    for norm in (plain, own):
        given = features.clone().requires_grad_()
        norm(given).pow(3).sum().backward()
        found.append((norm.eval()(features), given.grad))

    # torch's running variance is the unbiased one of 80 numbers, ours that of the batch: 0.1 / 80 of it.
    assert torch.allclose(found[0][0], found[1][0], rtol=1e-3, atol=1e-3)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4)


def test_frozen_statistics_stay():
    """Whatever a training sees; weights and biases may learn."""
    norm = FrozenBatchNorm(nn.BatchNorm2d(4)).train()
    before = norm.norm.running_mean.clone()
    norm(torch.randn(8, 4, 3, 3) + 5)

    assert torch.equal(before, norm.norm.running_mean)
    assert all(weight.requires_grad for weight in norm.parameters())


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_only_the_last_groups_are_unlocked(name):
    """None, the last, or all."""
    backbone, _ = build_backbone(name, 32)
    counts = []
    for groups in (0, 1, 99):
        unlock_last(backbone, groups)
        counts.append(sum(weight.requires_grad for weight in backbone.parameters()))

    assert 0 == counts[0] < counts[1] < counts[2] == len([*backbone.parameters()])
