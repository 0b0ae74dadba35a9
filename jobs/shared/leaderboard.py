"""Cards of what was trained, as the lines that `echolens train` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.model_card import ModelCard
from schemas.training import FitSettings
from schemas.translator_card import RetrievalScores, TranslatorCard

_HEAD = "  cosine            R@1    R@5   R@10  mAP@10  class R@1  hub    gap    rank  name"


def format_leaderboard(cards: Sequence[TranslatorCard]) -> str:
    """Return cards as lines, by data set, the highest cosine first."""
    lines = []
    for data in dict.fromkeys(_get_data(card) for card in cards):
        group = [card for card in cards if _get_data(card) == data]
        first = group[0]
        lines.append(
            f"{data}: {first.source} -> {first.target}, {first.counts.train:,} pairs to train on"
            f"{_format_mined(first)}, "
            f"{first.scores.pairs:,} held out, gallery of {first.scores.gallery:,}"
        )
        lines.append(_HEAD)
        ranked = sorted(group, key=lambda card: -card.scores.cosine)
        lines += [_format_line(card.scores, card.name) for card in ranked]
        # A mix may hide that a kind of its pairs is not learned.
        for direction in first.scores_of:
            kind = first.scores_of[direction]
            lines.append(f"  of these, {direction} alone: {kind.pairs:,} held out")
            kinds = [card for card in ranked if direction in card.scores_of]
            kinds.sort(key=lambda card: -card.scores_of[direction].cosine)
            lines += [_format_line(card.scores_of[direction], card.name) for card in kinds]
        lines += [_explain_weights(fit) for fit in dict.fromkeys(card.fit for card in group) if fit]
    return "\n".join(lines)


def _format_mined(card: TranslatorCard) -> str:
    if card.mined is None:
        return ""
    return f" ({card.mined.pairs:,} mined, cosine of captions {card.mined.score:.3f})"


def _get_data(card: TranslatorCard) -> str:
    return card.cell.data if card.cell else card.name.removesuffix(f"-{card.method}")


def _explain_weights(fit: FitSettings) -> str:
    kept = "of the best validation" if fit.select == "best" else "after the last"
    return f"  weights are those {kept} of {fit.epochs} epochs"


def _format_line(scores: RetrievalScores, name: str) -> str:
    half = (scores.cosine_interval[1] - scores.cosine_interval[0]) / 2
    class_r1 = "     -" if scores.class_r1 is None else f"{scores.class_r1:6.3f}"
    return (
        f"  {scores.cosine:6.3f} +- {half:.3f}  {scores.r1:6.3f} {scores.r5:6.3f} {scores.r10:6.3f}"
        f"  {scores.map10:6.3f}  {class_r1}   {scores.hubness:6.2f} {scores.gap:6.3f}"
        f" {scores.effective_rank:6.1f}  {name}"
    )


def format_models(cards: Sequence[ModelCard]) -> str:
    """Return cards of models as lines."""
    lines = []
    for card in cards:
        if card.retrieval is not None:
            lines.append(_format_tower(card, card.retrieval))
            continue
        scores = ", ".join(f"{name} {value:.3f}" for name, value in card.scores.items())
        lines.append(
            f"{card.name}: {card.parameters:,} parameters, {card.steps:,} steps, "
            f"{scores or _format_loss(card)}"
        )
    return "\n".join(lines)


def _format_loss(card: ModelCard) -> str:
    return "no loss" if card.loss is None else f"loss {card.loss:.3f}"


def _format_tower(card: ModelCard, scores: RetrievalScores) -> str:
    began = f", from the weights {card.weights}" if card.weights not in (None, "none") else ""
    first = (
        f"{card.name}: a tower of {card.parameters:,} parameters{began}, {card.steps:,} steps, "
        f"{scores.pairs:,} held out, gallery of {scores.gallery:,}"
    )
    return "\n".join([first, _HEAD, _format_line(scores, card.name)])


def format_comparison(
    cards: Sequence[TranslatorCard], models: Sequence[ModelCard], times_ms: Mapping[str, float]
) -> str:
    """Return translators and towers as one table, the highest cosine first.

    Args:
        cards: of translators, all into one column.
        models: of towers into the same column.
        times_ms: name -> milliseconds from a picture's file to its vector; absent where they were not taken.
    """
    found = [(card.name, card.scores) for card in cards]
    found += [(card.name, card.retrieval) for card in models if card.retrieval is not None]
    lines = [
        _describe_pairs([scores for _, scores in found]),
        "  cosine            R@1    R@5   R@10   back R@1    R@5   R@10  class R@1  class    hub    gap"
        "      ms  name",
    ]
    for name, scores in sorted(found, key=lambda each: -each[1].cosine):
        half = (scores.cosine_interval[1] - scores.cosine_interval[0]) / 2
        lines.append(
            f"  {scores.cosine:6.3f} +- {half:.3f}  {scores.r1:6.3f} {scores.r5:6.3f} {scores.r10:6.3f}   "
            f"{_show(scores.back_r1, 8)} {_show(scores.back_r5, 6)} {_show(scores.back_r10, 6)}  "
            f"{_show(scores.class_r1, 9)} {_show(scores.class_accuracy, 6)} {scores.hubness:6.2f} "
            f"{scores.gap:6.3f} {_show(times_ms.get(name), 7, 2)}  {name}"
        )
    return "\n".join(lines)


def _describe_pairs(scores: Sequence[RetrievalScores]) -> str:
    """Return the head of a comparison: it is one only on the same pairs."""
    counts = {(each.pairs, each.gallery) for each in scores}
    if len(counts) > 1:
        held = " and ".join(f"{pairs:,}" for pairs, _ in sorted(counts))
        return f"translators and towers; held out are {held} pairs, so their scores do not compare"
    both = "".join(f", {pairs:,} in a gallery of {gallery:,}" for pairs, gallery in counts)
    return f"translators and towers, on the same held-out pairs{both}"


def _show(value: float | None, width: int, digits: int = 3) -> str:
    return "-".rjust(width) if value is None else f"{value:{width}.{digits}f}"
