"""Render sets of generated samples side by side: a row per prompt, a sample per set. One HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from pipelines.generate.media import MEDIA, decode_sound
from pipelines.generate.output import read_rows, read_samples
from pipelines.generate.prompts import PromptTables
from pipelines.generate.step import get_folder, get_pictures_folder
from pipelines.report import media
from pipelines.store.root import Root
from schemas.candidate import parse_key
from schemas.generated import GeneratedCard

# A page of 30 rows and 18 sets is 60 MB, which a browser still opens.
_MAX_ROWS = 30
_SPECTROGRAM_PX = (180, 64)
_WINDOW_S, _RANGE_DB = 0.032, 60.0
# Of a sound that is drawn: almost six minutes at 48 kHz. Each takes 40 bytes while it is.
_MOST_SAMPLES = 2**24
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif }}
body {{ margin: 1.5rem }} .wide {{ overflow-x: auto }} table {{ border-collapse: collapse }}
th, td {{ padding: .4rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid #8886 }}
th {{ font-weight: 600 }} small {{ opacity: .75 }} audio {{ width: 180px; display: block }}
img {{ display: block; max-width: 180px }} .text {{ max-width: 24rem; white-space: pre-wrap; margin: 0 }}
</style>
<h1>{title}</h1><p>{said}</p><div class="wide"><table><thead><tr><th>made of</th>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div></html>
"""


def render_players(root: Root, shard_rows: int, cards: Sequence[GeneratedCard], title: str) -> str:
    """Return the page.

    Args:
        root: of the dataset.
        shard_rows: of the dataset, and of the pictures from outside it.
        cards: of the sets, in the order of the columns; a row is a prompt id.
        title: of the page.
    """
    sets = [_SampleSet(root, card) for card in cards]
    first = sets[0].rows if sets else {}
    ids = list(first)[:_MAX_ROWS]
    pictures = _read_thumbnails(root, shard_rows, cards[0], [first[each] for each in ids]) if ids else {}
    heads = "".join(_render_head(card) for card in cards)
    rows = "".join(
        _render_row(first[each], pictures.get(each), [one.render_cell(each) for one in sets]) for each in ids
    )
    shown = f"{len(ids)} of {len(first)}" if len(first) > len(ids) else str(len(ids))
    return _PAGE.format(
        title=escape(title),
        said=f"{shown} prompts, {len(cards)} ways to a {_name_media(cards)}.",
        heads=heads,
        rows=rows,
    )


def _name_media(cards: Sequence[GeneratedCard]) -> str:
    media = {card.wanted.generator.medium: None for card in cards}
    return " or ".join(medium for medium in media) or "sound"


def _render_head(card: GeneratedCard) -> str:
    manifest = card.wanted
    params = "".join(f"{key} {_format_value(value)}, " for key, value in manifest.params.items())
    score = "" if card.mean_score is None else f"<br>cosine to the vector {card.mean_score:.3f}"
    path = manifest.translator.name if manifest.translator else manifest.via
    return (
        f"<th>{escape(manifest.name)}<br><small>{escape(path)} · {escape(manifest.generator.name)}<br>"
        f"{escape(params)}seed {manifest.settings.seed}{score}</small></th>"
    )


def _format_value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _render_row(row: Mapping[str, object], picture: str | None, cells: Sequence[str]) -> str:
    image = f'<img alt="" src="{picture}">' if picture else ""
    caption = escape(str(row["caption"]))
    return f"<tr><td>{image}<small>{caption}</small></td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


class _SampleSet:
    """The samples of one NAME, by prompt id."""

    def __init__(self, root: Root, card: GeneratedCard) -> None:
        manifest = card.wanted
        self._medium, self._format = manifest.generator.medium, str(manifest.settings.format)
        shard_samples = manifest.settings.shard_samples
        shards = PromptTables(root, get_folder(manifest.name), shard_samples).read_shards() or []
        self.rows = {row["id"]: row for row in read_rows(root, manifest.name, shards)}
        kept = {row["key"] for row in list(self.rows.values())[: 4 * _MAX_ROWS]}
        self._samples = {
            key: data
            for shard in shards
            if any(parse_key(key, shard_samples)[0] == shard.number for key in kept)
            for key, data in read_samples(root, manifest.name, shard)
            if key in kept
        }

    def render_cell(self, row_id: str) -> str:
        """Return a sample as a page shows its medium, or the reason why there is none."""
        row = self.rows.get(row_id)
        if row is None:
            return "<small>not asked for</small>"
        if (data := self._samples.get(row["key"])) is None:
            return f"<small>{escape(row['outcome'])} {escape(row['reason'])}</small>"
        score = "" if row["score"] is None else f"<small>{row['score']:.3f}</small>"
        medium = MEDIA[self._medium]
        if medium.element == "words":
            return f'<p class="text" dir="auto">{escape(medium.read(data))}</p>{score}'
        uri = f"data:{medium.mime[self._format]};base64,{base64.b64encode(data).decode()}"
        if medium.element == "picture":
            return f'<img alt="generated" src="{uri}">{score}'
        return (
            f'<audio controls preload="none" src="{uri}"></audio>'
            f'<img alt="spectrogram" src="{draw_spectrogram(*decode_sound(data))}">{score}'
        )


def draw_spectrogram(wave_T: np.ndarray, rate_hz: int) -> str:
    """Return the spectrogram of a sound as a data: URI of a PNG; time is to the right, frequency upwards.

    Args:
        wave_T: samples in [-1, 1].
        rate_hz: sampling rate.
    """
    from PIL import Image

    size = max(16, int(_WINDOW_S * rate_hz))
    drawn_T = wave_T[:_MOST_SAMPLES]
    padded_T = np.pad(drawn_T, (0, max(0, size - len(drawn_T))))
    frames_FN = np.lib.stride_tricks.sliding_window_view(padded_T, size)[:: size // 2]
    level_FK = 20 * np.log10(np.abs(np.fft.rfft(frames_FN * np.hanning(size), axis=1)) + 1e-9)
    shade_FK = np.clip((level_FK - level_FK.max() + _RANGE_DB) / _RANGE_DB, 0, 1)
    image = Image.fromarray((255 * shade_FK.T[::-1]).astype(np.uint8)).resize(_SPECTROGRAM_PX)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _read_thumbnails(
    root: Root, shard_rows: int, card: GeneratedCard, rows: Sequence[Mapping[str, object]]
) -> dict[str, str]:
    """Return the thumbnails of rows that have a picture, by prompt id."""
    thumbnails: dict[str, str] = {}
    for kind, source in (("row", root), ("picture", _open_pictures(root, card))):
        keys = {str(row["source_key"]): str(row["id"]) for row in rows if row["prompt"] == kind}
        for number in sorted({parse_key(key, shard_rows)[0] for key in keys}):
            if not source.exists(f"media/{number:05d}.tar"):
                continue
            of_shard = {key for key in keys if parse_key(key, shard_rows)[0] == number}
            for key, members in media.read_members(source, number, of_shard).items():
                if (thumbnail := media.make_thumbnail(members)) is not None:
                    thumbnails[keys[key]] = thumbnail
    return thumbnails


def _open_pictures(root: Root, card: GeneratedCard) -> Root:
    return root.enter(get_pictures_folder(card.wanted.asked.pictures or ""))
