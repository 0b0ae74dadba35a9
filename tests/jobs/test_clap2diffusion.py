"""Sounds and words to pictures with the command: each text beside each sound, on one sheet."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from jobs.shared.presets import read_preset
from jobs.shared.training import _resolve_initial
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError
from pipelines.generate.stable_diffusion.base import hash_unet
from pipelines.miniature.media import sound_file
from pipelines.miniature.world import draw
from pipelines.models.adapter_files import ADAPTER_CARD, read_adapter_card, save_adapter
from pipelines.models.audio_adapter import AudioAdapter
from pipelines.models.audio_attention import describe_shape
from pipelines.store.root import Root
from schemas.audio_adapter import AdapterCard, AdapterSettings
from schemas.encoders import Encode
from tests.commands import HOME
from tests.in_process import job_here
from tests.pipelines.random_diffusion import make_unet, save_base
from tests.saving import save_model_card

KEPT = HOME / "tests" / "data" / "root_2188a47"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of a small root with a random adapter in its models, of the pocket CLAP and a random base."""
    folder = shutil.copytree(KEPT / "root", tmp_path_factory.mktemp("heard") / "root")
    save_base(folder.parent / "base")
    own = folder / "models" / "heard"
    own.mkdir(parents=True)
    torch.manual_seed(0)
    shape = describe_shape(make_unet(cross=96), 512)
    settings = AdapterSettings(hidden=16, depth=0)
    space = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))["clap"].space
    card = AdapterCard(
        settings=settings, shape=shape, space=space.identity, base=hash_unet(folder.parent / "base")
    )
    save_adapter(AudioAdapter(settings, shape), card, own)
    save_model_card(Root.from_url(str(folder)), "heard")
    return folder


@pytest.fixture
def sounds(tmp_path):
    """Two sounds of the miniature world."""
    files = [tmp_path / f"{number}.wav" for number in range(2)]
    for number, file in enumerate(files):
        file.write_bytes(sound_file(draw(11, "heldout", number)))
    return files


def generate(root, *arguments, check=True):
    """Generate pictures by the adapter of the root."""
    chosen = ("--generator", "clap2diffusion:heard", "--base", root.parent / "base", "--batch-rows", 2)
    return job_here("generate", root, *chosen, "--steps", 2, *arguments, check=check)


def table(root, name):
    paths = sorted((root / "generated" / name).glob("*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def test_each_text_stands_beside_each_sound(root, sounds, tmp_path):
    """A picture of each pair, all different, in the order of the sheet; the licence of the base is said."""
    texts = ("--text", "a beach", "--text", "a city", "--text", "a beach")
    sheet = tmp_path / "sheet.png"
    made = generate(root, "--audio", *sounds, *texts, "--name", "crossed", "--sheet", sheet)
    rows = table(root, "crossed")

    assert [(file.name, text) for file in sounds for text in texts[1::2]] == [
        (row["url"], row["caption"]) for row in rows
    ]
    assert {"ok"} == {row["outcome"] for row in rows}
    assert 6 == len({row["sha256"] for row in rows})
    assert (3 * 68, 2 * 68) == Image.open(sheet).size
    assert "openrail" in made.stderr
    alone = generate(root, "--audio", sounds[0], "--name", "alone")
    assert "1 picture" in alone.stdout
    assert "" == table(root, "alone")[0]["caption"]


def test_rows_give_their_sound_and_caption_or_no_caption(root):
    generate(root, "--column", "clap_audio", "--limit", 2, "--name", "rows")
    generate(root, "--column", "clap_audio", "--limit", 2, "--param", "words=false", "--name", "wordless")
    told, untold = table(root, "rows"), table(root, "wordless")
    assert [row["id"] for row in told] == [row["id"] for row in untold]
    assert all(row["sha256"] != other["sha256"] for row, other in zip(told, untold, strict=True))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--text", "a beach", "--limit", 2), "--text goes beside --audio alone"),
        (("--audio", "SILENT"), "is silent"),
        (("--audio", "SHORT"), "too short to hear anything in"),
    ],
)
def test_requests_that_say_nothing_are_refused(arguments, sentence, root, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "SILENT", np.zeros(48_000), 48_000, format="WAV")
    soundfile.write(tmp_path / "SHORT", np.ones(480), 48_000, format="WAV")
    given = [tmp_path / each if each in ("SILENT", "SHORT") else each for each in arguments]
    found = generate(root, *given, "--name", "refused", check=False)
    assert 1 == found.returncode
    assert sentence in found.stderr


def test_sounds_and_texts_to_what_reads_one_of_them_are_refused(root, sounds):
    found = job_here(
        "generate", root, "--audio", sounds[0], "--text", "a beach", "--name", "wrong", check=False
    )
    assert "not a sound and a text; give --audio or --text alone" in found.stderr


def test_an_adapter_of_another_clap_is_refused(root, sounds):
    """Its vectors have as many numbers, and mean something else."""
    own = shutil.copytree(root / "models" / "heard", root / "models" / "deaf")
    (own / "card.json").unlink()
    card = read_adapter_card(own)
    (own / ADAPTER_CARD).write_text(card.model_copy(update={"space": "0" * 64 + "/512d"}).model_dump_json())
    save_model_card(Root.from_url(str(root)), "deaf")
    chosen = ("--generator", "clap2diffusion:deaf", "--base", root.parent / "base")
    found = job_here("generate", root, *chosen, "--audio", sounds[0], "--name", "deaf", check=False)
    assert 1 == found.returncode
    assert "take the encoder that it was trained with" in found.stderr


def test_a_stage_begins_with_a_model_of_the_root(root):
    """models/NAME of a recipe is the folder of that model; a missing one is told."""
    series = read_preset("clap2diffusion", ())
    assert ["clap2diffusion-align", "clap2diffusion-adapt", "clap2diffusion"] == [
        each.name for each in series.presets
    ]
    assert [3_000, 2_000, 1_000] == [each.recipe.steps for each in series.presets]
    own = series.presets[1]
    place = own.recipe.model_copy(update={"init_from": "models/heard"})
    found = _resolve_initial(Root.from_url(str(root)), own.model_copy(update={"recipe": place}))
    assert str(root / "models" / "heard") == found.recipe.init_from
    with pytest.raises(ConfigError, match="clap2diffusion-align"):
        _resolve_initial(Root.from_url(str(root)), own)
