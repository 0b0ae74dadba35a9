import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.custom import CustomTower
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.errors import ConfigError, SpaceError
from pipelines.lookup.search import Lookup
from pipelines.store.trust import find_classes
from schemas.dataset import Dataset


def asking_with(root, dataset, version, **encode):
    content = dataset.model_dump(mode="json")
    content["encode"] |= encode
    asking = Dataset.model_validate(content)
    trusting = asking.encode.trust(find_classes({"encode": encode}))
    return Lookup.open(root, asking.model_copy(update={"encode": trusting}), version)


def test_another_encoder_is_refused(ask, root, dataset, version, tiny_clip, tmp_path, jpeg):
    """Vectors of two spaces are never compared; both are named, and what differs."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_clip, tmp_path / "tiny-clip")
    file = tmp_path / "tiny-clip" / "open_clip_model.safetensors"
    save_file({name: tensor + torch.tensor(0.01) for name, tensor in load_file(file).items()}, file)
    lookup = asking_with(root, dataset, version, clip={"model": f"local-dir:{file.parent}", "batch_rows": 4})

    with pytest.raises(SpaceError, match=r"weights_sha256 .*\); use the encoder"):
        ask(image=jpeg(1), by=lookup)


@dataclass(frozen=True)
class Upgraded(OpenClip):
    """The encoder of the dataset, under another version of its library that may not be like the old one."""

    turned: bool = False

    def space(self):
        return super().space().model_copy(update={"library": "open_clip_torch 99"})

    def load(self):
        towers = super().load()
        forward = towers["text"].forward
        turned = CustomTower(towers["text"].prepare, lambda pieces_B: np.roll(forward(pieces_B), 1, axis=1))
        return towers | ({"text": turned} if self.turned else {})


@pytest.mark.parametrize("turned", [False, True], ids=["the-same", "another"])
def test_the_same_weights_in_another_library(ask, root, dataset, version, lookup, tiny_clip, jpeg, turned):
    """The dataset's own captions decide whether the same weights are still the same encoder."""
    keys = {"model": f"local-dir:{tiny_clip}", "weights": "", "batch_rows": 4, "turned": turned}
    asking = asking_with(root, dataset, version, clip={"loader": f"{__name__}:Upgraded"} | keys)

    if turned:
        with pytest.raises(SpaceError, match=r"open_clip_torch 99.*open_clip_torch 3.*mean cosine of 27 cap"):
            ask(image=jpeg(1), by=asking)
    else:
        assert ask(image=jpeg(1), by=lookup) == ask(image=jpeg(1), by=asking)


def test_auto_asks_in_the_precision_of_the_vectors(ask, root, dataset, version, lookup, jpeg):
    """A machine that would encode in bf16 still asks a dataset of fp32 in fp32."""
    asking = asking_with(root, dataset, version, precision="auto")

    assert ask(image=jpeg(1)) == ask(image=jpeg(1), by=asking)


def test_no_encoder_no_media_query(ask, root, dataset, version):
    """Without an encoder, vectors and keys can still ask."""
    lookup = asking_with(root, dataset, version, clap=None)

    with pytest.raises(
        ConfigError, match=r"encode\.clap is null in this dataset; ask with a vector or a key"
    ):
        ask(text="rain", into="clap_audio", by=lookup)
    assert ask(key="000023", into="clap_audio", by=lookup)


def test_opening_loads_nothing(ask, root, dataset, version, monkeypatch):
    """Encoders are opened by the first question that needs them."""
    monkeypatch.setattr(EncoderSpec, "open", lambda spec: pytest.fail("opened"))

    lookup = Lookup.open(root, dataset, version)

    assert {"clip_image", "clip_text", "clap_text", "clap_audio"} == set(lookup.cards)
    assert ask(key="000004", k=2, by=lookup)
