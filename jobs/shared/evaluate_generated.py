"""Evaluate generated sounds: compute, store and format their scores."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.generated import GeneratedCard, GeneratedScores


def score_generated(
    dataset: Dataset, card: GeneratedCard, classes: Sequence[str], second: str | None = None
) -> GeneratedScores:
    """Score the sounds of a card with the dataset's CLAP, write scores.json, and return it.

    Args:
        dataset: that they were generated from.
        card: of the sounds.
        classes: words; a sound is of the class that its row's label, or else its caption alone, names.
        second: the folder of another CLAP, which computes the CLAP score.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.evaluate.sounds import evaluate_sounds

    root = Root.from_url(dataset.root)
    pinned = read_spaces(root, card.wanted.set)
    scores: GeneratedScores = run_in_subprocess(
        evaluate_sounds, root, dataset.shard_rows, dataset.encode, pinned, card.wanted, tuple(classes), second
    )
    root.write(
        f"generated/{card.wanted.name}/scores.json", (scores.model_dump_json(indent=2) + "\n").encode()
    )
    return scores


def format_scores(scores: GeneratedScores) -> str:
    """Return scores as lines, each with the number of sounds that it is computed on."""
    of = scores.heard
    share = "no sound has a class that is known" if of.accuracy is None else f"{of.accuracy:.3f} heard right"
    lines = [
        f"{share}, of {of.sounds} sounds by {of.classifier} at {of.sampling_rate_hz} Hz ({of.resampler})"
    ]
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
