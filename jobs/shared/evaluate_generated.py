"""Evaluate generated samples: compute, store and format their scores."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.errors import ConfigError
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.generated import GeneratedCard, GeneratedScores, JudgeScores, SetScores, SplitCounts


def score_generated(
    dataset: Dataset,
    card: GeneratedCard,
    classes: Sequence[str],
    judges: Sequence[str] = (),
    second_clap: str | None = None,
) -> GeneratedScores:
    """Score the samples of a card, write scores.json, and return it.

    Args:
        dataset: that they were generated from; its encoder of their medium is the first judge.
        card: of the samples.
        classes: words; a sample is of the class that its row's label, or else its caption alone, names.
        judges: names of others.
        second_clap: the folder of a CLAP, as a judge of sounds.

    Raises:
        ConfigError: a judge is not there, or of another medium.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.evaluate.generated import evaluate_samples

    medium = card.wanted.generator.medium
    if second_clap and medium != "sound":
        raise ConfigError(f"--second-clap is for sounds, and these are {medium}s; leave it out")
    named = (*judges, *([f"clap:{second_clap}"] if second_clap else ()))
    root = Root.from_dataset(dataset)
    pinned = read_spaces(root, card.wanted.set)
    # A class among the judges is trusted: a person named it.
    rows, encode, trusted = dataset.shard_rows, dataset.encode, (*dataset.trusted, *named)
    scores: GeneratedScores = run_in_subprocess(
        evaluate_samples, root, rows, encode, pinned, card, tuple(classes), named, trusted
    )
    scores = scores.model_copy(update={"rows": _count_rows(root, rows, card)})
    root.write(
        f"generated/{card.wanted.name}/scores.json", (scores.model_dump_json(indent=2) + "\n").encode()
    )
    return scores


def _count_rows(root: Root, shard_rows: int, card: GeneratedCard) -> SplitCounts | None:
    """Return how many of the rows were held out; None if the samples are of no rows."""
    from pipelines.generate.held_out import count_rows
    from pipelines.generate.output import read_rows
    from pipelines.generate.prompts import PromptTables
    from pipelines.generate.step import get_folder

    manifest = card.wanted
    shards = (
        PromptTables(root, get_folder(manifest.name), manifest.settings.shard_samples).read_shards() or []
    )
    made = read_rows(root, manifest.name, shards)
    keys = [row["source_key"] for row in made if row["prompt"] == "row" and row["outcome"] == "ok"]
    return count_rows(root, shard_rows, manifest, keys) if keys else None


def format_scores(scores: GeneratedScores) -> str:
    """Return scores as lines, each with the number of samples that it is computed on."""
    lines = [line for judge in scores.judges for line in _format_judge(judge)]
    if scores.rows is not None and scores.rows.not_held_out:
        beside = f", beside {scores.rows.held_out} others," if scores.rows.held_out else ""
        lines.append(
            f"{scores.rows.not_held_out} rows{beside} are not held out: these scores are not of unseen rows "
            "alone, as with --held-out"
        )
    return "\n".join(lines)


def _format_judge(scores: JudgeScores) -> list[str]:
    is_heard = scores.sampling_rate_hz is not None
    noun, done = ("sound", "heard") if is_heard else ("sample", "classified")
    rate = f" at {scores.sampling_rate_hz} Hz ({scores.resampler})" if is_heard else ""
    part = "independent" if scores.independent else "not independent: it had a part in the making"
    by = f"by {scores.judge}{rate}, {part}"
    if (of := scores.classified) is None:
        lines = [f"the classes are not known, {by}"]
    elif of.accuracy is None:
        lines = [f"no {noun} has a class that is known, of {of.samples} {noun}s {by}"]
    else:
        lines = [f"{of.accuracy:.3f} {done} right, of {of.samples} {noun}s {by}"]
    if scores.against_real is not None:
        lines += _format_sets(scores.against_real, noun)
    if scores.text_score is not None:
        lines.append(f"mean cosine to the captions {scores.text_score:.3f}")
    if scores.undecodable:
        lines.append(f"{scores.undecodable} {noun}s could not be decoded and count in nothing")
    return lines


def _format_sets(sets: SetScores, noun: str) -> list[str]:
    found = sets.frechet
    low, high = found.interval
    floor = (
        ""
        if found.floor is None
        else f", halves of the real ones {found.floor[0]:.3f} to {found.floor[1]:.3f}"
    )
    kl = "" if sets.kl_softmax is None else f", KL {sets.kl_softmax:.3f} of {sets.pairs} pairs"
    splits = "" if sets.splits == 1 else f" in {sets.splits} splits"
    inception = "" if sets.inception_score is None else f", IS {sets.inception_score:.2f}{splits}"
    coverage = "" if sets.coverage is None else f", density {sets.density:.2f}, coverage {sets.coverage:.2f}"
    lines = [
        f"Fréchet distance {found.distance:.3f} ({low:.3f} to {high:.3f}), {found.infinity:.3f} for endless "
        f"sets{floor}; {sets.made} generated, {sets.real} real",
        f"kernel distance {sets.kernel:.3f}{kl}{inception}{coverage}",
    ]
    if found.too_few:
        lines.append(
            f"fewer than ten {noun}s for each of the {found.dims} dimensions of the judge: the Fréchet "
            "distance is biased; make more, or read the kernel distance"
        )
    return lines
