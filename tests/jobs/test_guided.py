"""Guided pictures by the command: prompts with weights join in one picture; what cannot lead is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline

from pipelines.errors import ConfigError
from pipelines.generate.guided.convert import convert_checkpoint
from pipelines.generate.guided.files import load_pixel_diffusion
from pipelines.generate.guided.spec import choose_guided
from pipelines.generate.params import make_params
from pipelines.generate.registry import choose_generator
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw_heldout
from pipelines.store.root import Root
from schemas.generators import OtherGenerator
from tests.commands import HOME
from tests.in_process import job_here
from tests.pipelines.generate.guided.random_pixels import save_random
from tests.pipelines.models.pixel_checkpoint import SMALL, make_state
from tests.saving import save_model_card

KEPT = HOME / "tests" / "data" / "root_2188a47" / "root"
FAST = ("--param", "respacing=2", "--param", "cutouts=2")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of a small root with a random net of small pictures among its models."""
    folder = shutil.copytree(KEPT, tmp_path_factory.mktemp("led") / "root")
    save_random(folder / "models" / "net")
    save_model_card(Root.from_url(str(folder)), "net")
    scene = draw_heldout(0, 1)
    (folder.parent / "heard.wav").write_bytes(sound_file(scene))
    (folder.parent / "seen.jpg").write_bytes(picture_file(scene))
    return folder


def generate(root, *arguments, check=True):
    return job_here("generate", root, "--generator", "guided:net", *FAST, *arguments, check=check)


def read_prompts(root, name):
    manifest = json.loads((root / "generated" / name / "wanted.json").read_text())
    return manifest, [(each["kind"], each["name"], each["weight"]) for each in manifest["params"]["prompts"]]


def test_prompts_join_in_one_picture(root):
    """Texts and a sound, and the words that are nearest to it; nothing else is needed."""
    sound = root.parent / "heard.wav"
    said = generate(
        root,
        *("--prompt", "a red bell:0.5", "--prompt", "snow:-1", "--sound-prompt", f"{sound}:2"),
        *("--keywords", 2, "--words", "animals", "--name", "joined"),
    )
    manifest, prompts = read_prompts(root, "joined")

    assert "1 picture of 1 prompt" in said.stdout
    assert prompts[:2] == [("text", "a red bell", 0.5), ("text", "snow", -1.0)]
    assert [(kind, weight) for kind, _, weight in prompts[2:]] == [
        ("text", 1.0),
        ("text", 1.0),
        ("sound", 2.0),
    ]
    assert manifest["generator"]["reads"] == []
    assert manifest["asked"]["limit"] == 1


def test_a_text_alone_leads_by_the_guides_own_words(root):
    generate(root, "--text", "a bell", "--name", "said", "--prompt", "snow:0.5")
    manifest, prompts = read_prompts(root, "said")

    assert manifest["generator"]["reads"] == ["clip_image"]
    assert prompts == [("text", "snow", 0.5)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--prompt", "a bell:0"), "all weights are 0"),
        (("--prompt", "a bell", "--keywords", 3), "--keywords names what is in a --sound-prompt"),
        (("--sound-prompt", "nowhere.wav:2"), "nowhere.wav is not a file"),
        (
            ("--prompt", "a bell", "--generator", "audioldm"),
            "lead the generator guided, and this one is audioldm",
        ),
        (("--prompt", "a bell", "--param", "respacing=never"), "respacing 'never' is none"),
    ],
)
def test_what_cannot_lead_is_refused(root, arguments, expected):
    refused = generate(root, *arguments, "--name", "never", check=False)

    assert refused.returncode != 0
    assert expected in refused.stderr
    assert not list((root / "generated").glob("never/*.tar"))


def test_an_empty_word_list_is_refused(root, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("# none\n")
    sound = ("--sound-prompt", root.parent / "heard.wav")
    refused = generate(root, *sound, "--keywords", 2, "--words", empty, "--name", "never", check=False)

    assert "has no word" in refused.stderr


def test_folders_that_are_no_net_are_refused(root, tmp_path):
    net = root / "models" / "net"
    for settings, expected in (
        ({"weights": str(tmp_path)}, "there is no model_index.json"),
        ({"weights": str(net), "column": "clap_audio"}, "is no column of its guide"),
        ({"weights": str(net), "init": "nowhere.png"}, "there is no init picture nowhere.png"),
        ({"weights": str(net), "guide": "clip"}, "is no CLIP; write pocket"),
    ):
        with pytest.raises(ConfigError, match=expected):
            choose_guided(**settings).describe()
    odd = save_random(tmp_path / "odd", out_channels=4)
    with pytest.raises(ConfigError, match="gives 4 channels of 3"):
        load_pixel_diffusion(odd)


def test_a_guide_of_ones_own_leads_if_it_is_trusted(root):
    """Its texts are its own, and its column is of its own family; a stranger's class is never imported."""
    own = "tests.pipelines.generate.guided.random_pixels:ColourGuide"
    entry = OtherGenerator.model_validate(
        {"name": "guided", "weights": str(root / "models" / "net"), "guide": own, "column": "colour_image"}
    )
    generator = choose_generator(entry, trusted=(own,))
    loaded = generator.open()
    params = make_params(generator.spec.params, {"respacing": 3, "cutouts": 2}, "guided")
    red = loaded.encode_text(["red"])
    made = loaded.generate({"colour_image": red}, [0], params)

    assert generator.info.reads == ("colour_image",)
    assert made.size == (8, 8)
    with pytest.raises(ConfigError, match="ColourGuide"):
        choose_generator(entry)


def test_a_converted_checkpoint_is_loaded_by_a_stock_pipeline(tmp_path):
    """As guided-diffusion saves it, through files; the pipeline of diffusers and ours read the same net."""
    torch.manual_seed(0)
    torch.save(make_state(**SMALL), tmp_path / "small.pt")
    count = convert_checkpoint(tmp_path / "small.pt", tmp_path / "net", size_px=16, head_dims=16)
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "net")
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0)
    ).images
    unet, scheduler = load_pixel_diffusion(tmp_path / "net")

    assert count == sum(each.numel() for each in unet.parameters())
    assert made.shape == (1, 16, 16, 3)
    assert np.isfinite(made).all()
    assert scheduler.config.variance_type == "learned_range"
    torch.save({"state": print}, tmp_path / "bad.pt")
    for file, expected in (("bad.pt", "cannot be loaded"), ("none.pt", "there is no file")):
        with pytest.raises(ConfigError, match=expected):
            convert_checkpoint(tmp_path / file, tmp_path / "never")
    assert not (tmp_path / "never").exists()
