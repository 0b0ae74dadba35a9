"""How scores are said."""

from jobs.shared.evaluate_generated import format_scores
from schemas.generated import ClassifierScores, FrechetDistance, GeneratedScores, JudgeScores, SetScores

HEARD = ClassifierScores(
    classes=("dog", "bell"), samples=20, accuracy=0.75, of_class={"dog": (8, 10), "bell": (7, 10)}
)
JUDGE = JudgeScores(
    judge="panns:Cnn14.pth",
    fingerprint="0" * 64,
    independent=True,
    sampling_rate_hz=32_000,
    resampler="soxr HQ",
    classified=HEARD,
    against_real=SetScores(
        made=20,
        real=30,
        pairs=20,
        frechet=FrechetDistance(
            distance=4.5, interval=(4.0, 5.0), dims=128, too_few=True, infinity=3.25, floor=(0.5, 1.5)
        ),
        kernel=2.5,
        density=0.9,
        coverage=0.8,
        kl_softmax=1.25,
        kl_sigmoid=None,
        inception_score=1.9,
        splits=1,
    ),
    text_score=0.3,
    undecodable=2,
)


def test_every_judge_says_what_it_found_and_whether_it_had_a_part():
    """A biased distance is followed by what to do, and has the floor of real halves beside it."""
    own = JUDGE.model_copy(update={"judge": "own", "independent": False, "against_real": None})
    heard, distance, kernel, biased, text, lost, second, *_ = format_scores(
        GeneratedScores(judges=(JUDGE, own))
    ).splitlines()

    assert "0.750 heard right, of 20 sounds by panns:Cnn14.pth at 32000 Hz (soxr HQ), independent" == heard
    assert distance.startswith("Fréchet distance 4.500 (4.000 to 5.000), 3.250 for endless sets, halves")
    assert "halves of the real ones 0.500 to 1.500; 20 generated, 30 real" in distance
    assert "kernel distance 2.500, KL 1.250 of 20 pairs, IS 1.90, density 0.90, coverage 0.80" == kernel
    assert "fewer than ten sounds for each of the 128 dimensions" in biased
    assert "mean cosine to the captions 0.300" == text
    assert "2 sounds could not be decoded and count in nothing" == lost
    assert second.endswith("by own at 32000 Hz (soxr HQ), not independent: it had a part in the making")


def test_what_is_not_known_is_not_said():
    """Without a known class there is one line; a judge of other classes says so."""
    heard = HEARD.model_copy(update={"accuracy": None, "samples": 0})
    plain = JUDGE.model_copy(
        update={"classified": heard, "against_real": None, "text_score": None, "undecodable": 0}
    )
    ignorant = plain.model_copy(update={"classified": None, "sampling_rate_hz": None})

    said = format_scores(GeneratedScores(judges=(plain,)))

    assert said.startswith("no sound has a class that is known, of 0 sounds by panns:Cnn14.pth at 32000 Hz")
    assert 1 == len(said.splitlines())
    assert "the classes are not known, by panns:Cnn14.pth, independent" == format_scores(
        GeneratedScores(judges=(ignorant,))
    )
