from jobs.shared.evaluate_generated import format_scores
from schemas.generated import ClassifierScores, FrechetDistance, GeneratedScores, SoundScores

HEARD = ClassifierScores(
    classifier="pocket CLAP",
    sampling_rate_hz=48_000,
    resampler="soxr",
    classes=("dog", "bell"),
    samples=20,
    accuracy=0.75,
    of_class={"dog": (8, 10), "bell": (7, 10)},
)
AGAINST_REAL = SoundScores(
    embedder="vggish",
    sampling_rate_hz=16_000,
    resampler="soxr",
    made=20,
    real=30,
    pairs=20,
    frechet=FrechetDistance(distance=4.5, interval=(4.0, 5.0), dims=128, too_few=True),
    kl_softmax=1.25,
    kl_sigmoid=None,
    inception_score=1.9,
)


def test_every_score_says_how_many_sounds_it_is_of():
    """A biased distance is followed by what to do."""
    scores = GeneratedScores(heard=HEARD, against_real=AGAINST_REAL, clap_score=0.3, clap_score_by=None)
    heard, distance, biased, clap = format_scores(scores).splitlines()

    assert "0.750 heard right, of 20 sounds by pocket CLAP at 48000 Hz (soxr)" == heard
    assert distance.startswith(
        "Fréchet distance 4.500 (4.000 to 5.000), KL 1.250 of 20 pairs, IS 1.90; 20 gen"
    )
    assert "no more sounds than the 128 dimensions" in biased
    assert clap.startswith("CLAP score 0.300 by")


def test_without_a_known_class_there_is_one_line():
    """Nothing is said of scores that are not there."""
    heard = HEARD.model_copy(update={"accuracy": None, "samples": 0})
    scores = GeneratedScores(heard=heard, against_real=None, clap_score=None, clap_score_by=None)

    assert (
        "no sound has a class that is known, of 0 sounds by pocket CLAP at 48000 Hz (soxr)"
        == format_scores(scores)
    )
