"""Nets of full size with random weights, and committed shards to encode: nothing here is downloaded."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from pipelines.encode.encoder import EncoderSpec, get_spaces
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.stages import DecodeStage, EncodeStage
from pipelines.run.build_steps import VectorStep
from pipelines.run.runner import Runner
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_media
from schemas.sample import MEMBERS

WORDS = (
    "the",
    "red",
    "two",
    "old",
    "dog",
    "bird",
    "bell",
    "rain",
    "train",
    "street",
    "water",
    "sings",
    "loud",
)
SHARD_ROWS = 250


def size(name: str, full: int) -> int:
    """Return a size of a bench: that of the environment, for small tries, or the full one."""
    return int(os.environ.get(f"ECHOLENS_BENCH_{name}", full))


def picture(seed: int) -> bytes:
    """Return a JPEG as a dataset at image_size 256 holds them: 340 x 256, about 20 kB."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (16, 20, 3), dtype=np.uint8)).resize((340, 256))
    pixels_HWC = np.asarray(coarse, dtype=np.int16) + rng.integers(-12, 12, (256, 340, 3))
    made = io.BytesIO()
    Image.fromarray(pixels_HWC.clip(0, 255).astype(np.uint8)).save(made, "JPEG", quality=90)
    return made.getvalue()


def sound(seed: int, length_s: float = 10.0) -> bytes:
    """Return a FLAC as a dataset of clips holds them: mono, 48 kHz, ten seconds."""
    rng = np.random.default_rng(seed)
    times_T = np.arange(round(length_s * 48_000)) / 48_000
    tones_T = sum(np.sin(2 * np.pi * hz * times_T) for hz in rng.uniform(80, 6_000, 4))
    made = io.BytesIO()
    soundfile.write(made, 0.1 * tones_T + 0.05 * rng.standard_normal(len(times_T)), 48_000, format="FLAC")
    return made.getvalue()


def caption(seed: int) -> str:
    """Return 5 to 20 words, as captions of CC3M have."""
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(WORDS, rng.integers(5, 20)))


def committed(folder: Path, kind: str, rows: int) -> tuple[Root, list[Shard]]:
    """Write shards of `SHARD_ROWS` samples of a kind, as fetch commits them."""
    root = Root.from_url(str(folder))
    shards = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for number, start in enumerate(range(0, rows, SHARD_ROWS)):
            here = range(start, min(start + SHARD_ROWS, rows))
            shard = Shard(number, kind, "web", len(here))
            batch = {
                "key": [f"{row:08d}" for row in here],
                "id": [f"{row:032x}" for row in here],
                "kind": [kind] * len(here),
                "source": ["cc3m"] * len(here),
                "source_row": list(here),
                "lane": ["web"] * len(here),
                "licence": ["unknown"] * len(here),
                "url": [""] * len(here),
                "width": [340] * len(here),
                "outcome": ["ok"] * len(here),
                "reason": [""] * len(here),
                "status": ["success"] * len(here),
                "caption": [caption(row) for row in here],
            }
            for member in set(MEMBERS[kind]) - {"txt", "json"}:
                batch[member] = list(threads.map(sound if member == "flac" else picture, here))
            commit_media(root, shard, batch, 0.0)
            shards.append(shard)
    return root, shards


def full_clip(folder: Path) -> Path:
    """Write random weights of ViT-B-32 to a file that every version of open_clip loads."""
    import open_clip
    import torch

    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32")
    torch.save(model.state_dict(), folder / "vit-b-32.pt")
    return folder / "vit-b-32.pt"


def full_clap(folder: Path) -> Path:
    """Write a random ClapModel of the size of laion/clap-htsat-unfused, with its front end."""
    import torch
    from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    torch.manual_seed(0)
    ClapModel(ClapConfig()).save_pretrained(folder / "clap")
    extractor = ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)
    # Its words are those of the captions; RoBERTa's own need a download.
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "clap")
    ClapProcessor(extractor, tokenizer).save_pretrained(folder / "clap")
    return folder / "clap"


def clip_spec(weights: Path, precision: str, batch_rows: int = 32, model: str = "ViT-B-32") -> EncoderSpec:
    """Return the encoder of a file of weights."""
    loader = OpenClip(model, str(weights), precision, batch_rows)
    return EncoderSpec(loader.space(), loader)


def clap_spec(weights: Path, precision: str, batch_rows: int = 8) -> EncoderSpec:
    """Return the encoder of a folder of weights."""
    loader = TransformersClap(str(weights), None, precision, batch_rows)
    return EncoderSpec(loader.space(), loader)


def vector_step(root: Root, kind: str, specs: dict[str, EncoderSpec], set_name: str) -> VectorStep:
    """Return the step of a build that encodes, for one kind of shards."""
    chain = (DecodeStage(kind, specs), EncodeStage(kind, specs))
    return VectorStep(root, SHARD_ROWS, {kind: chain}, set_name, get_spaces(specs), 16)


def encoded(step: VectorStep, shards: list[Shard]) -> None:
    """Encode shards as a worker does: two at a time."""
    runner = Runner(step)
    with ThreadPoolExecutor(2) as two:
        assert [True] * len(shards) == list(two.map(runner.run, shards))
