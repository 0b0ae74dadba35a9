"""Controls: what a generator is told the truth, nothing, or another row's."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.evaluate.crossing import cross_ways
from pipelines.evaluate.evaluation_set import SetRows
from pipelines.evaluate.plan import plan_evaluation
from pipelines.evaluate.request import EvaluationRequest
from pipelines.evaluate.table import CrossedWay, ScoreTable
from pipelines.evaluate.ways.shuffled import shuffle_groups
from tests.pipelines.evaluate.miniature_target import TARGET


def plan(*ways, direction="sound->picture", judges=("pocket-picture-cnn", "clip:pocket")):
    """Return the plan of some ways over four scenes."""
    request = EvaluationRequest(direction=direction, ways=ways, judges=judges, rows=4, gallery=8)
    return plan_evaluation(request, TARGET)


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 3], [2, 1, 3], [4, 1, 2, 1]])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_row_is_given_another_groups(sizes, seed):
    """Each source is used once, and none by its own group."""
    groups_N = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    others_N = shuffle_groups(groups_N, seed)

    assert sorted(others_N.tolist()) == list(range(len(groups_N)))
    assert (groups_N != groups_N[others_N]).all()


def test_one_large_group_cannot_be_shuffled():
    """It says how large it is."""
    with pytest.raises(ConfigError, match="3 of 5 rows are of one group"):
        shuffle_groups(np.array([0, 0, 0, 1, 2]), 0)


def test_each_way_has_the_generator_that_reads_what_it_makes():
    """Texts go to the one of words, sources to the one of sounds, vectors to the nearest picture."""
    ways = ("real", "retrieval", "caption", "true-caption", "true-label", "unconditional", "shuffled")
    found = plan(*ways, "generator:default", "translator:pocket", "true-label+generator:clap2diffusion")
    words, sounds = "generator:stable_diffusion", "generator:clap2diffusion of stable_diffusion"

    assert {
        "real": "real",
        "retrieval": "nearest",
        "caption": words,
        "true-caption": words,
        "true-label": words,
        "unconditional": words,
        "shuffled": sounds,
        "generator:default": sounds,
        "translator:pocket": "nearest",
        "true-label+generator:clap2diffusion": sounds,
    } == {way.name: way.output for way in found.ways}


def test_a_tower_that_read_the_words_is_no_judge():
    """The words of the pocket base go through the text tower of pocket CLIP."""
    independent = plan("true-label", "shuffled", "retrieval").independent

    assert [False, False, True] == [each["clip:pocket"] for each in independent.values()]
    assert all(each["pocket-picture-cnn"] for each in independent.values())


class Pairs:
    """Six rows whose vectors of a source are those of their target, which no space says."""

    def __init__(self):
        drawn = np.random.default_rng(0).standard_normal((6, 512)).astype(np.float32)
        self.units_ND = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def get_rows(self, part):
        return SetRows([*"abcdef"], np.arange(6), [*"abcdef"])

    def get_vectors(self, part, column):
        return self.units_ND


def test_a_source_has_no_cosine_to_the_target():
    """Sounds and pictures have 512 numbers both, and lie in two spaces."""
    found = plan("real", "shuffled", "generator:default", judges=())
    crossed = [
        CrossedWay(each, crossing, back_ND)
        for each, (crossing, back_ND) in zip(
            found.ways, cross_ways(Pairs(), found.bench, found.ways), strict=True
        )
    ]
    table = ScoreTable(Pairs(), found.bench, crossed, 0)
    table.add_vectors()

    assert all(each.crossing.sources_ND is not None for each in crossed[1:])
    assert {"real"} == {row.way for row in table.list_rows()}


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("shuffled", "gives a generator another row's clip_image, and nothing here makes a sound of that"),
        ("shuffled+generator:audioldm", "reads clap_audio, and this way makes its clip_image of a row"),
    ],
)
def test_a_source_goes_only_where_it_is_read(way, told):
    """A sound generator that reads CLAP is not given the vectors of pictures."""
    with pytest.raises(ConfigError, match=told):
        plan(way, direction="picture->sound", judges=("pocket-sound-cnn",))


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("translator:pocket+generator:clap2diffusion", "makes a vector in the family of clip_image"),
        ("generator:audioldm", "makes a sound, and sound->picture ends in a picture"),
        ("shuffled+generator:stable-diffusion", "reads caption, and this way makes its clap_audio"),
    ],
)
def test_what_does_not_fit_is_one_sentence(way, told):
    """Before anything is made."""
    with pytest.raises(ConfigError, match=told):
        plan(way)
