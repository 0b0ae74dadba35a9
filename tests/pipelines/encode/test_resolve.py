import hashlib
import pickle
import subprocess
import sys
from dataclasses import dataclass

import pytest

from pipelines.encode.encoder import get_spaces
from pipelines.encode.loaders import pocket
from pipelines.encode.loaders.custom import CustomEncoder
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError
from schemas.encoders import Encode
from schemas.families import list_columns


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
    pinned = get_spaces(resolve(tiny(precision=there)))

    assert pinned == get_spaces(resolve(tiny(), pinned))


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


@dataclass(frozen=True)
class Mine(CustomEncoder):
    """An encoder of one's own."""

    weights: str
    layers: tuple[int, ...] = ()
    dims = 6
    preprocessing = "none"

    def load(self):
        return {}


@dataclass(frozen=True)
class Precise(Mine):
    precision: str = "fp32"


def own(tmp_path, name="Mine", **keys):
    (tmp_path / "mine.pt").write_bytes(b"weights")
    asked = {"loader": f"{__name__}:{name}", "weights": str(tmp_path / "mine.pt")} | keys
    encode = Encode.model_validate({"clip": asked, "clap": None} | {"precision": "bf16"})
    return encode.trust([asked["loader"]])


def test_ones_own_encoder_is_named_in_the_file(tmp_path):
    """Other keys are arguments of the class, lists among them; its weights are hashed into its space."""
    spec = resolve(own(tmp_path, layers=[3, 4]))["clip"]

    assert (3, 4) == spec.loader.layers
    assert f"{__name__}:Mine" == spec.space.encoder
    assert hashlib.sha256(b"weights").hexdigest() == spec.space.weights_sha256
    assert ("fp32", 6) == (spec.space.precision, spec.space.dims)
    assert spec == pickle.loads(pickle.dumps(spec))


def test_ones_own_encoder_may_take_a_precision(tmp_path):
    """What the driver decided is given to a class that asks for it."""
    assert "bf16" == resolve(own(tmp_path, "Precise"))["clip"].space.precision


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({"name": "Nobody"}, r"encode\.clip: there is no 'Nobody' in", id="class"),
        pytest.param(
            {"wieghts": "a"}, r"unexpected keyword argument 'wieghts'\); it takes weights, layers", id="key"
        ),
        pytest.param({"weights": "nowhere.pt"}, "Mine: there is no file nowhere.pt", id="weights"),
        pytest.param({"loader": "no_such_module:Mine"}, "no_such_module'; .*PYTHONPATH", id="module"),
    ],
)
def test_ones_own_encoder_that_cannot_be_made(tmp_path, keys, said):
    """Each is one sentence that names the key, the class and what to do."""
    with pytest.raises(ConfigError, match=said):
        resolve(own(tmp_path, **keys))


@pytest.mark.parametrize("family", ["clip", "clap"])
def test_what_was_measured_stays_with_the_space(tiny, family):
    """The cosine to fp32 that was pinned is no other space, and is not forgotten."""
    pinned = get_spaces(resolve(tiny(precision="bf16")))
    for column in list_columns(family):
        pinned[column] = pinned[column].model_copy(update={"fp32_cosine": 0.9998})

    assert 0.9998 == resolve(tiny(), pinned)[family].space.fp32_cosine


def test_nothing_heavy_is_imported_before_it_is_needed():
    """Describing encoders, stages, an index and a lookup loads no net library."""
    code = (
        "import sys, pipelines.encode.resolve, pipelines.encode.stages, pipelines.index.build, "
        "pipelines.lookup.search; "
        "heavy = {'torch', 'open_clip', 'transformers', 'faiss', 'soundfile', 'PIL', 'duckdb'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"


def test_the_loss_of_a_precision_is_measured_once(tiny):
    """A space below fp32 says how near it is; where it is pinned that is taken, and fp32 needs no number."""
    measured = get_spaces(resolve(tiny(precision="bf16")))
    again = get_spaces(resolve(tiny(precision="bf16"), measured))

    cosines = [space.fp32_cosine for space in measured.values()]
    assert [True] * 4 == [cosine is not None and 0.99 < cosine < 1 for cosine in cosines], cosines
    assert cosines == [space.fp32_cosine for space in again.values()]
    assert [None, None] == [spec.space.fp32_cosine for spec in resolve(tiny(precision="fp32")).values()]


def test_auto_is_slow_rather_than_wrong(tiny, monkeypatch):
    """Where the machine's fastest precision loses too much, the driver decides for fp32."""
    monkeypatch.setattr("pipelines.encode.resolve._LEAST_COSINE", 1.1)

    assert {"fp32"} == {spec.space.precision for spec in resolve(tiny()).values()}
