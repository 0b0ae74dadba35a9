"""A prefix captioner: its loss, its beam search, its files, and published checkpoints in its names."""

import json

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from pipelines.errors import ConfigError
from pipelines.models.captioner_checkpoints import convert_clipcap, convert_gpt2
from pipelines.models.prefix_captioner import (
    CAPTIONER_CARD,
    PrefixCaptioner,
    build_gpt2,
    load_captioner,
    load_weights,
    save_captioner,
)
from schemas.captioner import CaptionerCard, Gpt2Shape, MapperShape

SHAPE = Gpt2Shape(width=64, layers=2, heads=1, positions=24, vocabulary=60, end=59)
CARD = CaptionerCard(
    gpt2=SHAPE,
    prefix=4,
    mappers={"clip": MapperShape(dims=16, hidden=8), "clap": MapperShape(dims=12, hidden=8)},
)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PrefixCaptioner(CARD).eval()


def test_the_loss_is_that_of_the_tokens_alone(net):
    """ClipCap's own slice of the logits, without the padding behind each caption."""
    vectors, ids = torch.randn(2, 16), torch.tensor([[3, 5, 59, 0], [7, 59, 1, 2]])
    found = net(vectors, "clip", ids, torch.tensor([3, 2]))
    prefix = net.embed_prefix(vectors, "clip")
    for row, count in enumerate((3, 2)):
        whole = torch.cat([prefix[row], net.gpt2.transformer.wte(ids[row, :count])])[None]
        logits = net.gpt2(inputs_embeds=whole).logits[0, CARD.prefix - 1 : -1]

        torch.testing.assert_close(found[row], cross_entropy(logits, ids[row, :count]))


def test_a_batch_says_what_its_vectors_say_alone(net):
    vectors = torch.randn(5, 12)
    together = net.generate_tokens(vectors, "clap", beams=3, most=8)
    alone = [net.generate_tokens(each[None], "clap", beams=3, most=8)[0] for each in vectors]

    assert len({tuple(row) for row in together.tolist()}) > 1
    for row, single in zip(together.tolist(), alone, strict=True):
        assert row[: len(single)] == single.tolist()
        assert set(row[len(single) :]) <= {SHAPE.end}


def test_the_norm_of_a_vector_does_not_matter_but_that_of_the_card_does(net):
    vectors = torch.randn(2, 16)
    louder = CARD.model_copy(update={"mappers": {"clip": MapperShape(dims=16, hidden=8, norm=10)}})
    other = PrefixCaptioner(louder)
    other.mappers["clip"].load_state_dict(net.mappers["clip"].state_dict())

    torch.testing.assert_close(net.embed_prefix(vectors, "clip"), net.embed_prefix(7 * vectors, "clip"))
    expected = net.mappers["clip"](10 * normalize(vectors)).view(2, 4, 64)
    torch.testing.assert_close(other.embed_prefix(vectors, "clip"), expected)


def test_what_is_saved_is_loaded_again(net, tmp_path):
    save_captioner(net, tmp_path)
    loaded, vectors = load_captioner(tmp_path), torch.randn(2, 16)

    assert loaded.card == CARD
    assert torch.equal(loaded.embed_prefix(vectors, "clip"), net.embed_prefix(vectors, "clip"))
    assert loaded.gpt2.lm_head.weight is loaded.gpt2.transformer.wte.weight


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prefix": 5}, "is of another net"),
        ({"prefix": 24}, "leaves no room for words"),
        ({"extra": 1}, "is no card of a captioner"),
        (None, "so it is no captioner"),
    ],
)
def test_a_card_that_is_not_of_the_weights_is_refused(net, tmp_path, change, expected):
    save_captioner(net, tmp_path)
    file = tmp_path / CAPTIONER_CARD
    if change is None:
        file.unlink()
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.raises(ConfigError, match=expected):
        load_captioner(tmp_path)


def make_clipcap():
    """A small ClipCap as its train.py saves it, with the buffers of an old transformers."""
    torch.manual_seed(1)
    gpt2 = build_gpt2(SHAPE)
    mapper = nn.Sequential(nn.Linear(16, 128), nn.Tanh(), nn.Linear(128, 256))
    state = {f"gpt.{name}": tensor for name, tensor in gpt2.state_dict().items()}
    for layer in range(SHAPE.layers):
        state[f"gpt.transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 24, 24)
        state[f"gpt.transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    state |= {f"clip_project.model.{name}": tensor for name, tensor in mapper.state_dict().items()}
    return gpt2.eval(), mapper, state


def test_a_clipcap_gives_the_same_numbers_in_our_names(tmp_path):
    """Through a file as train.py writes it: the logits of raw vectors of the stated norm are equal."""
    gpt2, mapper, state = make_clipcap()
    torch.save(state, tmp_path / "coco.pt")
    read = torch.load(tmp_path / "coco.pt", weights_only=True)
    card, weights = convert_clipcap(read, "coco.pt", norm=10.0)
    net = PrefixCaptioner(card).eval()
    load_weights(net, weights)
    raw = 10.0 * normalize(torch.randn(3, 16))
    prefix = mapper(raw).view(3, 4, 64)

    assert (card.prefix, card.stop, card.mappers["clip"].hidden) == (4, ".", 128)
    torch.testing.assert_close(net.embed_prefix(raw, "clip"), prefix, rtol=0, atol=2e-6)
    expected, found = (one(inputs_embeds=net.embed_prefix(raw, "clip")).logits for one in (gpt2, net.gpt2))
    assert torch.equal(expected, found)


def test_the_published_gpt2_has_no_prefix_in_its_names():
    gpt2 = build_gpt2(SHAPE)
    bare = {
        name.removeprefix("transformer."): tensor
        for name, tensor in gpt2.state_dict().items()
        if not name.startswith("lm_head")
    }
    converted = convert_gpt2(bare, "gpt2")

    assert converted.shape == SHAPE
    assert converted.weights.keys() == gpt2.state_dict().keys() - {"lm_head.weight"}


def test_checkpoints_of_other_nets_are_refused():
    _, _, state = make_clipcap()
    odd = {"gpt.transformer.h.0.attn.rotary": torch.ones(1)}
    lacking = {name: each for name, each in state.items() if name != "gpt.transformer.h.1.ln_1.bias"}
    other_mapper = {**state, "clip_project.prefix_const": torch.ones(4, 64)}
    other_width = {**state, "clip_project.model.2.weight": torch.ones(250, 128)}
    for broken, expected in (
        (state | odd, "0 tensors are missing and 1 are unexpected .first h.0.attn.rotary."),
        (lacking, "1 tensors are missing and 0 are unexpected .first h.1.ln_1.bias."),
        (other_mapper, "only MLPs are converted"),
        (other_width, "no prefix of a GPT-2 of width 64"),
        ({"gpt.wte.weight": torch.ones(1)}, "it has gpt. and not gpt. and clip_project. alone"),
    ):
        with pytest.raises(ConfigError, match=expected):
            convert_clipcap(broken, "mine.pt")
