"""A shard of five rows in a root with a translator, and the step that translates its pictures."""

import numpy as np
import pytest

from pipelines.store.shards import Shard, commit_vectors
from pipelines.translate.step import TranslateStep
from pipelines.translate.translator import read_card
from tests.pipelines.train.spaces import space

SHARD = Shard(3, "image", "web", 5)
SPACES = {"clip_image": space("clip", 16), "clip_text": space("clip", 16), "clap_text": space("clap", 12)}


@pytest.fixture
def root(saved):
    """Five rows: the second has no picture vector, the third one of NaNs; the fifth was never fetched."""
    root, _ = saved
    batch = {
        "key": [f"0000300{row}" for row in range(5)],
        "id": [f"id{row}" for row in range(5)],
        "kind": ["image"] * 5,
        "source": ["cc3m"] * 5,
        "outcome": ["ok", "ok", "ok", "ok", "failed"],
        "reason": ["", "", "", "", "bug"],
    }
    rng = np.random.default_rng(0)
    for column, where in SPACES.items():
        batch[column] = [
            (v / np.linalg.norm(v)).astype(np.float16) for v in rng.standard_normal((5, where.dims))
        ]
        batch[f"{column}_norm"] = [1.0] * 5
    batch["clip_image"][1] = batch["clip_image"][4] = None
    batch["clip_image"][2] = np.full(16, np.nan, np.float16)
    commit_vectors(root, "main", SHARD, SPACES, [batch])
    return root


@pytest.fixture
def step(root):
    return TranslateStep(root, "main", read_card(root, "toy"), "clip_image")
