"""The same pictures through several translators: their sounds, and a page that plays them side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.generate import generate
from pipelines.errors import EcholensError
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.generated import GenerationParams
from schemas.translator_card import TranslatorCard


def compare_translators(
    dataset: Dataset,
    cards: Sequence[TranslatorCard],
    pictures: Sequence[str],
    making: GenerationParams | None = None,
) -> str:
    """Generate a sound of every picture by every translator from pictures to sounds; return the page.

    Args:
        dataset: that has the translators.
        cards: of them; those that lead elsewhere are left out.
        pictures: files, folders and URLs.
        making: how sounds are made.

    Raises:
        EcholensError: there is no such translator, or a generator refuses all of them.
    """
    from pipelines.generate.request import GenerationRequest
    from pipelines.report.players import render_players
    from pipelines.run.ray_plan import Session

    ways = [card for card in cards if card.source == "clip_image" and card.target.startswith("clap")]
    if not ways:
        raise EcholensError(
            "none of these translators leads from clip_image to a clap column, so no picture can become a "
            "sound; train one that does"
        )
    made = []
    with Session():
        for card in ways:
            print(f"generate: {card.name}", file=sys.stderr)
            order = GenerationRequest(
                make_name(card), card.name, pictures=tuple(pictures), making=making or GenerationParams()
            )
            made.append(generate(dataset, order))
    root = Root.from_url(dataset.root)
    place = f"reports/side_by_side-{ways[0].weights_sha256[:8]}.html"
    title = f"{dataset.name}: {len(made)} translators, the same pictures"
    root.write(place, render_players(root, dataset.shard_rows, made, title).encode())
    return f"{root.url}/{place}"


def make_name(card: TranslatorCard) -> str:
    """Return the NAME of a translator's sounds; one that is trained again has another."""
    return f"{card.name.lower().replace('.', '_')}-{card.weights_sha256[:8]}"
