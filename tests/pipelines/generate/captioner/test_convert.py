"""A checkpoint of ClipCap becomes a captioner that speaks by the user's GPT-2 vocabulary."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.errors import ConfigError
from pipelines.generate.captioner.convert import convert_checkpoint, main
from pipelines.generate.captioner.params import CaptionerParams
from pipelines.generate.captioner.spec import choose_captioner
from pipelines.models.prefix_captioner import build_gpt2
from schemas.captioner import Gpt2Shape
from tests.pipelines.train.captioner.toy_captions import write_gpt2

SHAPE = Gpt2Shape(width=64, layers=1, heads=1, positions=32, vocabulary=257, end=256)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint that says `dog.` of one vector and `rain.` of another, and a GPT-2's vocabulary."""
    torch.manual_seed(0)
    home = tmp_path_factory.mktemp("clipcap")
    write_gpt2(home / "gpt2")
    gpt2 = build_gpt2(SHAPE)
    mapper = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 128))
    state = {f"gpt.{name}": tensor for name, tensor in gpt2.state_dict().items()}
    state |= {f"clip_project.model.{name}": tensor for name, tensor in mapper.state_dict().items()}
    torch.save(state, home / "coco.pt")
    return home


def test_a_clipcap_speaks(folder, capsys):
    """A caption ends at its full stop if there is one, and a batch says what each vector says alone."""
    main([str(folder / "coco.pt"), "--gpt2", str(folder / "gpt2"), "--out", str(folder / "out")])
    spec = choose_captioner(str(folder / "out"), batch_rows=3)
    generator, units = spec.open(), np.eye(4, 8, dtype=np.float32)
    params = CaptionerParams(beams=2, tokens=6)
    together = [*generator.generate({"clip_image": units}, range(4), params).data]
    alone = [generator.generate({"clip_image": each[None]}, [0], params).data[0] for each in units]

    assert "a prefix of 2 tokens, 257 words" in capsys.readouterr().out
    assert spec.describe().reads == ("clip_image",)
    assert together == alone
    assert all(text.count(".") == 0 or text.endswith(".") for text in together)


def test_what_cannot_be_converted_leaves_nothing(folder, tmp_path):
    torch.save({"gpt.x": torch.ones(1), "clip_project.y": torch.ones(1)}, tmp_path / "odd.pt")
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for checkpoint, gpt2, expected in (
        (tmp_path / "odd.pt", folder / "gpt2", "is no ClipCap"),
        (tmp_path / "list.pt", folder / "gpt2", "holds no tensors by name"),
        (tmp_path / "none.pt", folder / "gpt2", "there is no file"),
        (folder / "coco.pt", tmp_path / "empty", "there is no vocabulary in"),
        (folder / "coco.pt", folder / "gpt2", "exists already"),
    ):
        target = tmp_path / "empty" if "exists" in expected else out
        with pytest.raises(ConfigError, match=expected):
            convert_checkpoint(checkpoint, gpt2, target)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "list.pt", "odd.pt"]
