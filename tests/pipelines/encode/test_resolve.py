import subprocess
import sys

import pytest

from pipelines.encode import pocket
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError
from schemas.dataset import Encode


@pytest.fixture
def tiny(tiny_clip, tiny_clap):
    """An `encode` of random models."""

    def make(**keys):
        clip = {"model": f"local-dir:{tiny_clip}", "batch_rows": 4}
        clap = {"weights": str(tiny_clap), "batch_rows": 2}
        return Encode.model_validate({"clip": clip, "clap": clap} | keys)

    return make


def test_the_file_decides(tiny):
    """Both families come out with the batch size and precision that the file says."""
    specs = resolve(tiny(precision="bf16"))

    found = {family: (spec.space.batch_rows, spec.space.precision) for family, spec in specs.items()}
    assert found == {"clip": (4, "bf16"), "clap": (2, "bf16")}


def test_null_leaves_a_family_out(tiny):
    """No CLAP asked for, none resolved, and none looked for."""
    assert ["clip"] == list(resolve(tiny(clap=None)))


def test_auto_follows_the_machine_once(tiny):
    """Without a GPU: bf16 if the CPU computes in it, fp32 otherwise."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    expected = "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"

    assert {expected} == {spec.space.precision for spec in resolve(tiny()).values()}


@pytest.mark.parametrize("there", ["fp32", "bf16", "fp16"])
def test_auto_follows_what_is_there(tiny, there):
    """Vectors that are there already decide for every machine that adds to them or asks them."""
    pinned = {family: spec.space for family, spec in resolve(tiny(precision=there)).items()}

    assert pinned == {family: spec.space for family, spec in resolve(tiny(), pinned).items()}


@pytest.mark.parametrize("family", ["clip", "clap"])
def test_pocket_that_is_not_there(monkeypatch, tmp_path, family):
    """The pocket models are named with the verb that makes them."""
    monkeypatch.setattr(pocket, "WEIGHTS", tmp_path)
    other = {"clip": "clap", "clap": "clip"}[family]

    with pytest.raises(ConfigError, match=f"encode.{family}=pocket: .*echolens pocket"):
        resolve(Encode.model_validate({family: "pocket", other: None}))


def test_pocket_is_found_by_name_not_by_path(monkeypatch, tiny_clip, tiny_clap, tmp_path):
    """Its space is the same in every clone, in fp32 on every machine."""
    (tmp_path / "clip").symlink_to(tiny_clip)
    (tmp_path / "clap").symlink_to(tiny_clap)
    monkeypatch.setattr(pocket, "WEIGHTS", tmp_path)

    spaces = {spec.space for spec in resolve(Encode(clip="pocket", clap="pocket")).values()}

    assert {("open_clip:pocket", "fp32"), ("transformers:pocket", "fp32")} == {
        (space.encoder, space.precision) for space in spaces
    }
    assert not [space for space in spaces if str(tmp_path) in space.model_dump_json()]


def test_nothing_heavy_is_imported_before_it_is_needed():
    """Describing encoders, stages, an index and a lookup loads no net library."""
    code = (
        "import sys, pipelines.encode.resolve, pipelines.encode.encode, pipelines.index.build, "
        "pipelines.lookup.search; "
        "heavy = {'torch', 'open_clip', 'transformers', 'faiss', 'soundfile', 'PIL', 'duckdb'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"
