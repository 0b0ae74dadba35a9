"""Generate sounds of the same pictures by several translators, and a page that plays them side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.shared.generation import generate
from pipelines.errors import EcholensError
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.generated import GenerationParams
from schemas.translator_card import TranslatorCard


def compare_translators(
    dataset: Dataset,
    cards: Sequence[TranslatorCard],
    pictures: Sequence[str],
    params: GenerationParams | None = None,
) -> str:
    """Generate a sound of every picture by every translator from pictures to sounds; return the page's URL.

    Args:
        dataset: of the translators.
        cards: of translators; those between other columns are left out.
        pictures: files, folders and URLs.
        params: how sounds are generated; the defaults if None.

    Raises:
        EcholensError: no translator leads from pictures to sounds, or the generator refuses their vectors.
    """
    from pipelines.generate.request import GenerationRequest
    from pipelines.report.players import render_players
    from pipelines.run.ray_plan import Session

    to_sounds = [card for card in cards if card.source == "clip_image" and card.target.startswith("clap")]
    if not to_sounds:
        raise EcholensError(
            "none of these translators leads from clip_image to a clap column, so no picture can become a "
            "sound; train one that does"
        )
    generated = []
    with Session():
        for card in to_sounds:
            print(f"generate: {card.name}", file=sys.stderr)
            request = GenerationRequest(
                make_name(card), card.name, pictures=tuple(pictures), params=params or GenerationParams()
            )
            generated.append(generate(dataset, request))
    root = Root.from_url(dataset.root)
    name = f"reports/side_by_side-{to_sounds[0].weights_sha256[:8]}.html"
    title = f"{dataset.name}: {len(generated)} translators, the same pictures"
    root.write(name, render_players(root, dataset.shard_rows, generated, title).encode())
    return f"{root.url}/{name}"


def make_name(card: TranslatorCard) -> str:
    """Return the NAME of a translator's sounds; other weights give another name."""
    return f"{card.name.lower().replace('.', '_')}-{card.weights_sha256[:8]}"
