"""What is known of an evaluation before any of it is done."""

from dataclasses import replace

import numpy as np
import pytest

from jobs.shared.evaluation_manifest import make_manifest
from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Crossing
from pipelines.evaluate.crossing import take_back
from pipelines.evaluate.plan import plan_evaluation
from pipelines.evaluate.request import EvaluationRequest
from pipelines.evaluate.translators import find_translator
from tests.pipelines.evaluate.miniature_target import TARGET

REQUEST = EvaluationRequest(
    direction="sound->picture",
    ways=("real", "retrieval", "untrained", "translator:pocket"),
    judges=("clip:pocket", "pocket-picture-cnn"),
    rows=4,
    gallery=8,
)


@pytest.fixture(scope="module")
def plan():
    return plan_evaluation(REQUEST, TARGET)


def test_who_chose_the_output_is_no_judge_of_it(plan):
    """The nearest picture of a vector is chosen by CLIP, even of one that was only drawn."""
    by_clip = {way: judges["clip:pocket"] for way, judges in plan.independent.items()}

    assert {"real": True, "retrieval": True, "untrained": False, "translator:pocket": False} == by_clip
    assert all(judges["pocket-picture-cnn"] for judges in plan.independent.values())


def test_another_set_of_vectors_is_another_evaluation(plan):
    """The same rows, ways and judges in another space do not have the table of the first."""
    others = {
        column: space.model_copy(update={"weights_sha256": "0" * 64})
        for column, space in plan.bench.spaces.items()
    }
    other = replace(plan, bench=replace(plan.bench, spaces=others))

    assert make_manifest(REQUEST, TARGET, plan).name != make_manifest(REQUEST, TARGET, other).name


def test_another_translator_back_is_another_evaluation(plan):
    """Its cosine is among the scores, so that one that is trained later does not find the old table."""
    assert {"picture_to_sound", "sound_to_picture"} == {model.name for model in plan.list_models()}
    assert (
        make_manifest(REQUEST, TARGET, plan).name
        != make_manifest(REQUEST, TARGET, replace(plan, back=None)).name
    )


def test_a_shipped_translator_leads_back_from_another_precision(plan):
    """Vectors of the same weights in bf16 have the same meaning, and the cycle has a cosine."""
    found = find_translator(plan.bench, "pocket")
    space = found.card.source_space.model_copy(update={"precision": "bf16"})
    fitted = replace(found, card=found.card.model_copy(update={"source_space": space}))
    column = plan.bench.reverse().target
    bench = replace(plan.bench.reverse(), spaces=plan.bench.spaces | {column: space})
    units = np.eye(3, space.dims, dtype=np.float32)

    cycled = take_back(Crossing(units, column), fitted, bench)
    assert cycled is not None
    assert np.allclose(1, np.linalg.norm(cycled, axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("direction", "column"), [("picture->text", "clip_image"), ("sound->text", "clap_audio")]
)
def test_a_captioner_reads_what_it_is_to_tell_of(direction, column):
    """The pocket one is of both families; its own captions are no way to text."""
    request = replace(
        REQUEST, direction=direction, ways=("generator:captioner",), judges=("words:miniature",)
    )
    (planned,) = plan_evaluation(request, TARGET).ways

    assert planned.generator.info.reads == (column,)
    with pytest.raises(ConfigError, match="ends in text, which a captioner makes by itself"):
        plan_evaluation(replace(request, ways=("captioner",)), TARGET)
    with pytest.raises(ConfigError, match="takes no name"):
        plan_evaluation(replace(request, ways=("captioner:",)), TARGET)


def test_a_generator_of_several_media_makes_the_one_that_is_asked_for():
    """`vae` makes sounds by itself, and pictures where a sound is to become one."""
    found = plan_evaluation(replace(REQUEST, ways=("generator:vae", "retrieval")), TARGET)
    (made, ready) = found.samples

    assert ("picture", ("clap_audio",)) == (made.generator.info.medium, made.generator.info.reads)
    assert made.generator.info.spaces[0][1] == found.bench.spaces["clap_audio"].identity
    assert ready is None
