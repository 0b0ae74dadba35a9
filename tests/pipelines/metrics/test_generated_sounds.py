import numpy as np
import pytest

from pipelines.metrics import generated_sounds


def test_twice_as_loud_is_six_decibels():
    """In every band; silence below the floor differs from nothing."""
    rng = np.random.default_rng(0)
    mel_NFB = rng.uniform(0.1, 1, (2, 5, 8))
    silent_NFB = np.zeros((1, 5, 8))

    assert generated_sounds.log_mel_distance(mel_NFB, 2 * mel_NFB) == pytest.approx(20 * np.log10(2))
    assert generated_sounds.log_mel_distance(silent_NFB, silent_NFB + 1e-7).tolist() == [0]
    assert generated_sounds.log_mel_distance(silent_NFB, silent_NFB + 1) == pytest.approx(100)


def test_diversity_is_that_of_all_pairs():
    """0 for copies, 1 for right angles, and the mean over pairs for others."""
    eye_33 = np.eye(3)
    vectors_ND = np.stack([eye_33[0], eye_33[0], eye_33[0], eye_33[1], eye_33[2], eye_33[2], eye_33[1]])
    labels_N = np.array(["dog", "dog", "cat", "cat", "bird", "bird", "bee"])
    found = generated_sounds.diversity_within_classes(vectors_ND, labels_N)
    rng = np.random.default_rng(0)
    many_ND = rng.normal(size=(40, 6))
    many_ND /= np.linalg.norm(many_ND, axis=1, keepdims=True)
    pairs = (many_ND @ many_ND.T)[np.triu_indices(40, 1)]

    assert found == pytest.approx({"bird": 0, "cat": 1, "dog": 0})
    assert generated_sounds.diversity_within_classes(many_ND, np.full(40, "x"))["x"] == pytest.approx(
        1 - pairs.mean()
    )


def test_copies_are_found():
    """A sound that was trained on is its own neighbour; a fresh one is as near as held-out ones are."""
    rng = np.random.default_rng(0)

    def draw(count):
        vectors_ND = rng.normal(size=(count, 32))
        return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)

    training_MD, held_out_ND, fresh_ND = draw(3000), draw(1000), draw(2000)
    rows_N, cosines_N = generated_sounds.nearest_training_sounds(training_MD[[5, 7]], training_MD)
    held_out_N = generated_sounds.nearest_training_sounds(held_out_ND, training_MD)[1]
    fresh_N = generated_sounds.nearest_training_sounds(fresh_ND, training_MD)[1]

    assert rows_N.tolist() == [5, 7]
    assert cosines_N == pytest.approx([1, 1])
    assert generated_sounds.copied_share(cosines_N, held_out_N) == 1
    assert generated_sounds.copied_share(fresh_N, held_out_N) == pytest.approx(0.01, abs=0.01)
