"""Generate samples of the same pictures by several translators, and a page that shows them side by side."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.shared.generation import generate, resolve_generator
from pipelines.errors import EcholensError
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.families import get_family
from schemas.translator_card import TranslatorCard


def compare_translators(
    dataset: Dataset,
    cards: Sequence[TranslatorCard],
    pictures: Sequence[str],
    params: Mapping[str, Any] | None = None,
) -> str:
    """Generate a sample of every picture by every translator to the generator; return the page's URL.

    Args:
        dataset: of the translators.
        cards: of translators; those between other columns are left out.
        pictures: files, folders and URLs.
        params: of the generator; its defaults if None.

    Raises:
        EcholensError: no translator leads from pictures to the generator, or it refuses their vectors.
    """
    from pipelines.generate.request import GenerationRequest
    from pipelines.report.players import render_players
    from pipelines.run.ray_plan import Session

    info = resolve_generator(dataset).info
    families = {get_family(column) for column in info.columns}
    fitting = [card for card in cards if card.source == "clip_image" and get_family(card.target) in families]
    if not fitting:
        raise EcholensError(
            f"none of these translators leads from clip_image to a {' or '.join(sorted(families))} column, "
            f"so no picture can become a {info.medium}; train one that does"
        )
    generated = []
    with Session():
        for card in fitting:
            print(f"generate: {card.name}", file=sys.stderr)
            request = GenerationRequest(
                make_name(card), card.name, pictures=tuple(pictures), params=params or {}
            )
            generated.append(generate(dataset, request))
    root = Root.from_dataset(dataset)
    name = f"reports/side_by_side-{fitting[0].weights_sha256[:8]}.html"
    title = f"{dataset.name}: {len(generated)} translators, the same pictures"
    root.write(name, render_players(root, dataset.shard_rows, generated, title).encode())
    return f"{root.url}/{name}"


def make_name(card: TranslatorCard) -> str:
    """Return the NAME of a translator's samples; other weights give another name."""
    return f"{card.name.lower().replace('.', '_')}-{card.weights_sha256[:8]}"
