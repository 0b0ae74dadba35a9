"""The adapter of sounds: each of its choices does what it says, and what is saved is what is loaded."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from pipelines.errors import ConfigError, SpaceError
from pipelines.models.adapter_files import load_adapter, load_into_adapter, read_adapter_card, save_adapter
from pipelines.models.audio_adapter import AudioAdapter, make_image_embeds
from pipelines.models.audio_attention import attach_adapter, describe_shape, read_word_attention
from schemas.audio_adapter import AdapterCard, AdapterSettings, Annealing
from tests.pipelines.random_diffusion import CROSS, SOUND, make_sounds, make_unet

SHAPE = describe_shape(make_unet(), SOUND)


def make(**settings) -> AudioAdapter:
    torch.manual_seed(0)
    return AudioAdapter(AdapterSettings(hidden=16, **settings), SHAPE).eval()


def save(adapter: AudioAdapter, folder, **options) -> AdapterCard:
    card = AdapterCard(settings=adapter.settings, shape=SHAPE)
    save_adapter(adapter, card, folder, **options)
    return card


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"tokens": "flat"}, [16]),
        ({"tokens": "rigid"}, [10]),
        ({"tokens": "soft"}, [10]),
        ({"tokens": "resampler", "count": 7}, [7]),
        ({"tokens": "as-published"}, [77]),
        ({"tokens": "rigid", "routing": "early-mid-late"}, [5, 3, 2]),
        ({"tokens": "soft", "routing": "learnt", "depth": 0}, [5, 3, 2]),
    ],
    ids=str,
)
def test_what_is_saved_is_loaded(settings, counts, tmp_path):
    """With the gains of its routing in the values that are stored."""
    adapter, sounds = make(**settings), make_sounds(3)
    card = save(adapter, tmp_path)
    loaded, found = load_adapter(tmp_path)

    assert card == found
    with torch.inference_mode():
        tokens, again = adapter(sounds), loaded(sounds)
        assert counts == [each.shape[1] for each in tokens]
        for pair in zip(tokens, again, strict=True):
            torch.testing.assert_close(*pair, rtol=1e-5, atol=1e-4)
        for level, each in enumerate(tokens):
            for block in range(len(SHAPE.blocks)):
                own = adapter.compute_keys_values(level, block, each)
                assert all(
                    torch.equal(*pair)
                    for pair in zip(own, loaded.compute_keys_values(level, block, each), strict=True)
                )


@pytest.mark.parametrize("routing", ["none", "early-mid-late", "learnt"])
def test_training_goes_on_from_what_was_exported(routing, tmp_path):
    """The gains leave the values again, and are learnt on."""
    adapter = make(tokens="soft", routing=routing)
    if routing == "learnt":
        torch.nn.init.normal_(adapter.route.gates)
    save(adapter, tmp_path)
    torch.manual_seed(7)
    other = AudioAdapter(adapter.settings, SHAPE)
    load_into_adapter(other, tmp_path)
    # A block that a level never reaches has no values to keep.
    masks = torch.ones(3, len(SHAPE.blocks)) if other.route is None else other.route().detach()
    for (name, own), given in zip(adapter.named_parameters(), other.parameters(), strict=True):
        if not name.startswith("values.") or masks[int(name.split(".")[1]), int(name.split(".")[2])]:
            torch.testing.assert_close(given, own)


def test_the_temperature_is_in_the_path_of_the_tokens():
    """Not in the fifth seed's: there it changes nothing at all. Rigid tokens have no softmax."""
    sounds = make_sounds(2)

    def heat(tokens: str) -> float:
        adapter = make(tokens=tokens)
        adapter.temperature = 2.0
        with torch.inference_mode():
            hot = adapter(sounds)[0]
            adapter.temperature = 0.5
            return float((adapter(sounds)[0] - hot).abs().max())

    assert heat("as-published") == heat("rigid") == 0
    assert min(heat(tokens) for tokens in ("flat", "soft", "resampler")) > 1e-3


def test_anchors_and_gate_of_soft_tokens_learn_and_the_published_ones_do_not():
    for tokens, learns in (("soft", True), ("as-published", False)):
        adapter = make(tokens=tokens).train()
        adapter(make_sounds(2))[0].square().sum().backward()
        own = adapter.tokens if learns else adapter.tokens.soft
        gradients = [own.anchors.grad, own.gate[0].weight.grad]
        assert learns == all(each is not None and bool(each.abs().sum() > 0) for each in gradients)


@pytest.mark.parametrize("norm", [60.0, 5.0])
def test_a_norm_is_that_of_each_token_whatever_its_batch(norm):
    adapter, sounds = make(norm=norm), make_sounds(4)
    with torch.inference_mode():
        tokens = adapter(sounds)[0]
        torch.testing.assert_close(tokens.norm(dim=-1), torch.full((4, 10), norm), rtol=1e-3, atol=0)
        torch.testing.assert_close(adapter(sounds[:1])[0], tokens[:1])
        published = make(tokens="as-published")
        apart = (published(sounds[:1])[0] - published(sounds)[0][:1]).abs().max()
        of_batch = (adapter(sounds[:1])[0] - tokens[:1]).abs().max()
    assert apart > 10 * of_batch


def test_a_norm_can_be_given_after_training():
    adapter, other = make(), make(norm=60.0)
    adapter.rescale_tokens(60.0)
    with torch.inference_mode():
        torch.testing.assert_close(adapter(make_sounds(2))[0], other(make_sounds(2))[0])
    with pytest.raises(ConfigError, match="norm of their batch"):
        make(tokens="as-published").rescale_tokens(1.0)


def test_a_level_is_routed_to_its_place():
    """Foreground up, background in the middle, ambience down; a learnt route begins with the seed's."""
    gains = make(routing="early-mid-late").route()
    places = [block.place for block in SHAPE.blocks]
    for level, place in enumerate(("up", "mid", "down")):
        assert [float(each == place) for each in places] == gains[level].tolist()
    learnt = make(routing="learnt").route().detach()
    assert learnt[0, places.index("up")] > learnt[0, places.index("mid")] > learnt[0, places.index("down")]


def test_a_temperature_falls_as_half_a_cosine_and_is_held():
    annealing = Annealing(start=2.0, steps=5_000, warmup=200)
    temperatures = [annealing.compute(step, 0.5) for step in (0, 200, 2_600, 5_000, 9_000)]
    assert [2.0, 2.0, 1.25, 0.5, 0.5] == pytest.approx(temperatures)
    later = Annealing(start=2.0, steps=5_000, warmup=200, first=3_000)
    assert annealing.compute(3_100, 0.5) == later.compute(100, 0.5)


def test_it_begins_with_the_attention_to_words():
    unet, adapter = make_unet(), make()
    adapter.copy_attention(read_word_attention(unet))
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    assert torch.equal(adapter.values[0][-1].weight, attention.to_v.weight)
    assert torch.equal(adapter.keys[0][-1].weight, attention.to_k.weight)


def test_levels_of_different_sounds_take_the_place_of_each_other():
    adapter, (first, second) = make(routing="early-mid-late", depth=0, tokens="rigid"), make_sounds(2)
    swapped = make_image_embeds(
        adapter, {"foreground": first, "background": second, "ambience": second}, guided=False
    )
    alone = [make_image_embeds(adapter, each, guided=False) for each in (first, second)]
    assert torch.equal(swapped[0], alone[0][0])
    assert torch.equal(swapped[1], alone[1][1])
    with pytest.raises(ConfigError, match="are given for foreground and the adapter has foreground, back"):
        make_image_embeds(adapter, {"foreground": first})


def test_wrong_files_and_bases_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no audio_adapter\.json"):
        read_adapter_card(tmp_path)
    save(make(), tmp_path)
    file = tmp_path / "adapter.safetensors"
    weights = load_file(file)
    save_file({name: each for name, each in weights.items() if "proj.3" not in name}, file)
    with pytest.raises(ConfigError, match=r"2 tensors are missing.*image_proj\.proj\.3\.bias"):
        load_adapter(tmp_path)
    file.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="train the adapter again"):
        load_adapter(tmp_path)
    with pytest.raises(SpaceError, match=f"to {CROSS} numbers and this base has .* to 16 numbers"):
        attach_adapter(make_unet(cross=16), make())
    with pytest.raises(ConfigError, match="other settings"):
        load_into_adapter(make(tokens="flat"), tmp_path)
    with pytest.raises(ValidationError, match="flat tokens have no levels"):
        AdapterSettings(tokens="flat", routing="learnt")
    with pytest.raises(ConfigError, match="7 heads do not divide"):
        make(heads=7)
