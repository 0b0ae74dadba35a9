"""Evaluate generated samples: compute, store and format their scores."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.generated import GeneratedCard, GeneratedScores


def score_generated(
    dataset: Dataset, card: GeneratedCard, classes: Sequence[str], second: str | None = None
) -> GeneratedScores:
    """Score the samples of a card with the dataset's encoders, write scores.json, and return it.

    Args:
        dataset: that they were generated from.
        card: of the samples.
        classes: words; a sample is of the class that its row's label, or else its caption alone, names.
        second: the folder of another CLAP, which computes the CLAP score of sounds.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.evaluate.sounds import evaluate_samples

    root = Root.from_url(dataset.root)
    pinned = read_spaces(root, card.wanted.set)
    rows, encode = dataset.shard_rows, dataset.encode
    scores: GeneratedScores = run_in_subprocess(
        evaluate_samples, root, rows, encode, pinned, card.wanted, tuple(classes), second
    )
    root.write(
        f"generated/{card.wanted.name}/scores.json", (scores.model_dump_json(indent=2) + "\n").encode()
    )
    return scores


def format_scores(scores: GeneratedScores) -> str:
    """Return scores as lines, each with the number of samples that it is computed on."""
    of = scores.heard
    is_heard = of.sampling_rate_hz is not None
    noun, done = ("sound", "heard") if is_heard else ("sample", "classified")
    known = of.accuracy is not None
    share = f"{of.accuracy:.3f} {done} right" if known else f"no {noun} has a class that is known"
    rate = f" at {of.sampling_rate_hz} Hz ({of.resampler})" if is_heard else ""
    lines = [f"{share}, of {of.samples} {noun}s by {of.classifier}{rate}"]
    if (real := scores.against_real) is not None:
        low, high = real.frechet.interval
        kl = "" if real.kl_softmax is None else f", KL {real.kl_softmax:.3f} of {real.pairs} pairs"
        lines.append(
            f"Fréchet distance {real.frechet.distance:.3f} ({low:.3f} to {high:.3f}){kl}, IS "
            f"{real.inception_score:.2f}; {real.made} generated, {real.real} real, "
            f"{real.sampling_rate_hz} Hz ({real.resampler})"
        )
        if real.frechet.too_few:
            lines.append(
                f"no more sounds than the {real.frechet.dims} dimensions of the embedder: the Fréchet "
                "distance is biased; make more"
            )
    if scores.clap_score is not None:
        lines.append(f"CLAP score {scores.clap_score:.3f} by {scores.clap_score_by}")
    return "\n".join(lines)
