"""How much of the hardware encoding uses: `pytest -m bench -s tests/pipelines/encode/test_speed.py`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from pipelines.compute import timing
from pipelines.compute.cpu import count_cpus
from pipelines.compute.device import get_decode_pool, get_forward_pool
from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.encode.stages import DecodeStage
from pipelines.stage import count_rows
from schemas.families import get_family
from tests.pipelines.encode import full_size
from tests.pipelines.encode.full_size import clap_spec, clip_spec, committed, encoded, size, vector_step

pytestmark = pytest.mark.bench

PICTURES = size("PICTURES", 2000)
SOUNDS = size("SOUNDS", 500)
# Where one exists already; made in a folder of its own otherwise.
CLIP_RETRIEVAL = os.environ.get("ECHOLENS_BENCH_CLIP_RETRIEVAL")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("speed")


@pytest.fixture(scope="module")
def pictures(folder):
    return committed(folder / "pictures", "image", PICTURES)


@pytest.fixture(scope="module")
def sounds(folder):
    return committed(folder / "sounds", "clip", SOUNDS)


@pytest.fixture(scope="module")
def clip_weights(folder):
    return full_size.full_clip(folder)


@pytest.fixture(scope="module")
def clap_weights(folder):
    return full_size.full_clap(folder)


def computes(precision: str) -> bool:
    import torch

    if precision == "fp32" or torch.cuda.is_available():
        return True
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


@dataclass
class Taken:
    """Seconds of a block: on the wall, of the cores by this process and those it ran, and by nobody."""

    wall: float = 0.0
    own: float = 0.0
    idle: float = 0.0

    @property
    def cores(self) -> float:
        """Seconds that the cores worked for this process or for nobody."""
        return self.own + self.idle

    @property
    def others(self) -> float:
        """The share of the machine that others used."""
        return max(0.0, 1 - self.cores / self.wall / count_cpus())


@contextmanager
def timed() -> Iterator[Taken]:
    """Give what the block takes, once it is over."""
    taken = Taken()
    begun = clocks()
    yield taken
    taken.wall, taken.own, taken.idle = (now - before for now, before in zip(clocks(), begun, strict=True))


def clocks() -> tuple[float, float, float]:
    each = psutil.cpu_times(percpu=True)
    idle = sum(each[core].idle + each[core].iowait for core in os.sched_getaffinity(0))
    return time.perf_counter(), sum(os.times()[:4]), idle


def forward_s(tower, full: np.ndarray) -> np.ndarray:
    """Return the seconds, on the wall and of the cores, of one full batch when every lane works."""
    count = 2 * count_cpus()
    for begun in [get_forward_pool().run(lambda: tower.forward(full)) for _ in range(count_cpus())]:
        begun.result()
    with timed() as taken:
        for begun in [get_forward_pool().run(lambda: tower.forward(full)) for _ in range(count)]:
            begun.result()
    return np.array([taken.wall, taken.own]) / count


def ceiling(step, kind: str, specs: dict[str, EncoderSpec], shards: list) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds a sample needs for its nets alone, and for decoding and preprocessing alone.

    Each on the wall and of the cores. The nets run as they do in a build, one batch on each core; pieces of
    each shape in full batches.
    """
    prepare = DecodeStage(kind, specs)
    work, batch = prepare.open(), next(step.read(shards[0]))
    made = [prepare.decode_row(work.towers, batch, row)[0] for row in range(count_rows(batch))]
    count = 8 * count_rows(batch)
    with timed() as decoding:
        list(
            get_decode_pool().map(
                lambda row: prepare.decode_row(work.towers, batch, row % count_rows(batch)), range(count)
            )
        )
    nets = np.zeros(2)
    for column, tower in work.towers.items():
        batch_rows = specs[get_family(column)].space.batch_rows
        pieces = [piece for row in made for piece in row[column]]
        for shape in {piece.shape for piece in pieces}:
            of_shape = [piece for piece in pieces if piece.shape == shape]
            full = np.stack((of_shape * batch_rows)[:batch_rows])
            nets += forward_s(tower, full) / batch_rows * len(of_shape) / len(made)
    return nets, np.array([decoding.wall, decoding.own]) / count


def measured(root, shards, kind, specs, name: str) -> float:
    """Return the share of its ceiling that a worker reaches from committed tars to committed vectors.

    By the time of the cores: what nets and decoding need alone, over what the worker took or left idle. On
    the wall it is a few hundredths more; the line that is printed has both.
    """
    warm = vector_step(root, kind, specs, f"{name}-warm")
    encoded(warm, shards[:1])
    before = ceiling(warm, kind, specs, shards)
    timing.drain()
    with timed() as whole:
        encoded(vector_step(root, kind, specs, name), shards)
    spent = timing.drain()
    # The first shard alone, and side by side with the next: other neighbours in a batch, the same bits.
    alone, beside = (
        root.compute_sha256(f"vectors/{of}/{shards[0].name}.parquet") for of in (f"{name}-warm", name)
    )
    assert alone == beside
    after = ceiling(warm, kind, specs, shards)
    nets, decoding = ((one + other) / 2 for one, other in zip(before, after, strict=True))
    count = sum(shard.rows for shard in shards)
    wall, of_cores = (nets + decoding) * count / [whole.wall, whole.cores]
    profile = ", ".join(
        f"{word} {seconds / count_cpus() / whole.wall:.0%}" for word, seconds in spent.items()
    )
    print(
        f"\n{name}: {count / whole.wall:.1f} samples/s of at most {1 / (nets + decoding)[0]:.1f}: "
        f"{wall:.2f} on the wall, {of_cores:.2f} of the cores (others used {whole.others:.0%} of the "
        f"machine); nets alone {1 / nets[0]:.1f}/s, decoding alone {1 / decoding[0]:.1f}/s; "
        f"of the wall: {profile}, idle {whole.idle / count_cpus() / whole.wall:.0%}"
    )
    return float(of_cores)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_full_size_clip_is_near_its_ceiling(pictures, clip_weights, precision):
    """ViT-B-32, pictures and captions: at least 0.95 of what nets and decoding alone allow."""
    if not computes(precision):
        pytest.skip(f"this CPU does not compute in {precision}")
    specs = {"clip": clip_spec(clip_weights, precision)}

    assert measured(*pictures, "image", specs, f"clip-{precision}") >= 0.95


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_full_size_clap_is_near_its_ceiling(sounds, clap_weights, precision):
    """ClapModel, ten seconds of sound and a caption: at least 0.95 of what nets and decoding alone allow."""
    if not computes(precision):
        pytest.skip(f"this CPU does not compute in {precision}")
    specs = {"clap": clap_spec(clap_weights, precision)}

    assert measured(*sounds, "clip", specs, f"clap-{precision}") >= 0.95


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_pocket_models_show_the_overhead(request, kind):
    """Nets of a millisecond: at least 0.6 of the ceiling, and the profile says where the rest goes."""
    loaders = {"clip": make_pocket_clip("fp32"), "clap": make_pocket_clap("fp32")}
    specs = {family: EncoderSpec(loader.space(), loader) for family, loader in loaders.items()}
    root, shards = request.getfixturevalue("pictures" if kind == "image" else "sounds")

    assert measured(root, shards, kind, specs, f"pocket-{kind}") >= 0.6


def their_environment(folder: Path) -> Path:
    """Return the folder of an environment that holds clip-retrieval and nothing of ours."""
    if CLIP_RETRIEVAL:
        return Path(CLIP_RETRIEVAL)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here, and ECHOLENS_BENCH_CLIP_RETRIEVAL names no environment")
    subprocess.run([uv, "venv", "--quiet", "--python", "3.11", folder / "theirs"], check=True)
    python = folder / "theirs" / "bin" / "python"
    # Its CLIP still imports pkg_resources, which later setuptools dropped.
    wanted = ["clip-retrieval", "setuptools<70"]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
    return folder / "theirs"


def theirs(folder: Path, weights: Path, tars: list[Path]) -> tuple[float, dict[str, np.ndarray]]:
    """Run clip-retrieval's inference; return its samples/s after loading, and a picture's vector by key.

    The time that others took of the machine is none of its own.
    """
    out = folder / "theirs-out"
    listed = f"{tars[0].parent}/{{{tars[0].stem}..{tars[-1].stem}}}.tar" if len(tars) > 1 else str(tars[0])
    command = [
        their_environment(folder) / "bin" / "clip-retrieval", "inference", "--input_dataset", listed,
        "--output_folder", out, "--input_format", "webdataset", "--output_partition_count", "1",
        "--clip_model", f"open_clip:ViT-B-32/{weights}", "--num_prepro_workers", str(count_cpus()),
        "--enable_metadata", "False",
    ]  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "disabled", "CUDA_VISIBLE_DEVICES": ""}
    with timed() as taken:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert 0 == ended.returncode, ended.stderr[-2000:]
    stats = json.loads((out / "stats" / "0.json").read_text())
    vectors_ND = np.load(out / "img_emb" / "img_emb_0.npy")
    keys = pq.read_table(out / "metadata" / "metadata_0.parquet")["image_path"].to_pylist()
    took_s = stats["total_duration"] * (1 - taken.others)
    return stats["sample_count"] / took_s, dict(zip(keys, vectors_ND, strict=True))


def test_beside_clip_retrieval(folder, pictures, clip_weights):
    """The same tars and weights: no slower in fp32, 2.5 times as fast in bf16, and the same vectors."""
    root, shards = pictures
    tars = sorted((folder / "pictures" / "media").glob("*.tar"))
    their_rate, their_vectors = theirs(folder, clip_weights, tars)
    rates = {}
    for precision in filter(computes, ("fp32", "bf16")):
        name = f"beside-{precision}"
        specs = {"clip": clip_spec(clip_weights, precision)}
        encoded(vector_step(root, "image", specs, f"{name}-warm"), shards[:1])
        with timed() as taken:
            encoded(vector_step(root, "image", specs, name), shards)
        rates[precision] = len(their_vectors) * count_cpus() / taken.cores
        print(f"\n{precision}: {rates[precision]:.1f} samples/s, clip-retrieval {their_rate:.1f} in fp32")
    ours = {}
    for shard in shards:
        table = root.read_table(f"vectors/beside-fp32/{shard.name}.parquet", columns=["key", "clip_image"])
        ours |= dict(zip(table["key"].to_pylist(), table["clip_image"].to_pylist(), strict=True))

    assert set(ours) == set(their_vectors)
    assert max(np.abs(np.float32(ours[key]) - their_vectors[key]).max() for key in ours) <= 1e-3
    assert rates["fp32"] >= their_rate
    assert rates.get("bf16", 2.5 * their_rate) >= 2.5 * their_rate


@contextmanager
def gpu_busy() -> Iterator[list[float]]:
    """Give the GPU's own percentages, one for each second of the block."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop=1"]
    busy: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        yield busy
        asking.terminate()
        busy += map(float, asking.stdout.read().split())


def gpu_share(root, shards, kind, specs, name: str, modality: str) -> float:
    """Return a worker's rate beside the bare forward of one net, whose batch is on the GPU already."""
    import torch

    tower = specs["clip" if modality == "image" else "clap"].open()[modality]
    batch_rows = next(iter(specs.values())).space.batch_rows
    piece = tower.prepare(full_size.picture(0) if modality == "image" else full_size.sound(0))[:1]
    full = np.repeat(piece, batch_rows, axis=0)
    tower.forward(full)
    torch.cuda.synchronize()
    with timed() as bare:
        for _ in range(20):
            tower.forward(full)
    encoded(vector_step(root, kind, specs, f"{name}-warm"), shards[:1])
    with timed() as whole, gpu_busy() as busy:
        encoded(vector_step(root, kind, specs, name), shards)
    rates = sum(shard.rows for shard in shards) / whole.wall, 20 * batch_rows / bare.wall
    print(
        f"\n{name}: {rates[0]:.0f} samples/s, bare {rates[1]:.0f}/s, {count_cpus()} cores decode, "
        f"GPU busy {np.mean(busy or [0]):.0f}%"
    )
    return rates[0] / rates[1]


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-L-14"])
def test_gpu_is_kept_busy_with_pictures(pictures, folder, model):
    """Where there is a GPU: pictures/s of a build's worker beside the bare net, in bf16."""
    import open_clip
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    weights = folder / f"{model}.pt"
    torch.save(open_clip.create_model(model).state_dict(), weights)
    specs = {"clip": clip_spec(weights, "bf16", 256, model)}

    assert gpu_share(*pictures, "image", specs, f"gpu-{model}", "image") > 0


def test_gpu_is_kept_busy_with_sounds(sounds, clap_weights):
    """Where there is a GPU: clips/s of a build's worker beside the bare net, in bf16."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    specs = {"clap": clap_spec(clap_weights, "bf16", 64)}

    assert gpu_share(*sounds, "clip", specs, "gpu-clap", "audio") > 0


def test_memory_of_a_worker_is_flat(pictures):
    """A worker that encodes 50,000 rows holds no more after the last of them than after the first tenth."""
    root, shards = pictures
    loader = make_pocket_clip("fp32")
    specs = {"clip": EncoderSpec(loader.space(), loader)}
    passes = max(10, size("ROWS", 50_000) // PICTURES)
    held = []
    for number in range(passes):
        encoded(vector_step(root, "image", specs, f"memory-{number}"), shards)
        held.append(psutil.Process().memory_info().rss / 2**20)
    early, late = held[passes // 10], held[-1]
    print(f"\n{passes * PICTURES:,} rows: {early:.0f} MiB after a tenth, {late:.0f} MiB at the end")

    assert late <= early + 50
