"""The 17 columns of a row of the miniature WIT, of which three may hold its caption."""

from __future__ import annotations

from urllib.parse import quote

from pipelines.miniature import captions
from pipelines.miniature.rows import WorldRow
from pipelines.miniature.translations import LANGUAGES
from pipelines.miniature.world import Scene

COLUMNS = (
    "language",
    "page_url",
    "image_url",
    "page_title",
    "section_title",
    "hierarchical_section_title",
    "caption_reference_description",
    "caption_attribution_description",
    "caption_alt_text_description",
    "mime_type",
    "original_height",
    "original_width",
    "is_main_image",
    "attribution_passes_lang_id",
    "page_changed_recently",
    "context_page_description",
    "context_section_description",
)
_MIME = {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "tiff": "image/tiff"}
_PREFIXES = {
    "en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "it": "Italiano",
    "nl": "Nederlands", "pl": "Polski", "ru": "Русский", "uk": "Українська", "ja": "日本語",
    "zh": "中文",
}  # fmt: skip
# Languages that no detector takes for English.
_UNLIKE_ENGLISH = ("de", "fr", "ja", "pl")


def fields(row: WorldRow, scene: Scene, image_url: str, caption: str) -> list[str]:
    """Return the 17 columns of a row.

    Args:
        row: the row; its oddity decides the language and the caption columns.
        scene: what the picture shows.
        image_url: of the picture.
        caption: in English, for the column from which an English row is to be read.
    """
    language, rng = row.language, scene.rng(f"wit {row.number}")
    reference, attribution, alt, passes = _make_captions(row, scene, caption)
    title = _make_title(scene, language)
    section = "" if rng.random() < 0.4 else title.upper()
    height, width = (int(side) for side in rng.integers(600, 4000, 2))
    about = f'"{title}" ({row.number}): {reference or attribution}'
    # Some articles are long: fields of 40 kB are common in WIT.
    context = about if rng.random() < 0.98 else " ".join([about] * (40_000 // len(about) + 1))
    return [
        language,
        f"https://{language}.wikipedia.org/wiki/{quote(title)}_({row.number})",
        image_url,
        title,
        section,
        f"{title} / {section}" if section else title,
        reference,
        attribution,
        alt,
        _MIME.get(row.owner.oddity, "image/svg+xml" if row.oddity == "svg" else "image/jpeg"),
        str(height),
        str(width),
        _format_flag(rng.random() < 0.5),
        _format_flag(passes),
        _format_flag(rng.random() < 0.9),
        context,
        "" if rng.random() < 0.3 else about,
    ]


def _make_captions(row: WorldRow, scene: Scene, caption: str) -> tuple[str, str, str, bool]:
    """Return reference, attribution and alt text, and whether the attribution is in the row's language."""
    english = f"English: {caption}"
    german = f"Deutsch: {captions.translated(scene, 'picture', 'de')}"
    if row.oddity == "attribution":
        return "", english, "", True
    if row.oddity == "alt":
        return "", german, caption, False
    if row.oddity == "no_caption":
        return "", german if row.number % 2 else "", "", False
    if row.oddity == "other_language":
        other = _UNLIKE_ENGLISH[row.number % len(_UNLIKE_ENGLISH)]
        return captions.translated(scene, "picture", other), english, "", True
    if row.language == "en":
        attribution = ("", english, f"{german} {english}")[row.number % 3]
        return caption, attribution, caption if row.number % 5 == 0 else "", bool(row.number % 3 == 1)
    text = captions.translated(scene, "picture", row.language)
    own = f"{_PREFIXES[row.language]}: {text}"
    return ("", own, "", True) if row.number % 4 == 0 else (text, english, "", False)


def _make_title(scene: Scene, language: str) -> str:
    return scene.kind.capitalize() if language == "en" else LANGUAGES[language].kind(scene.kind)


def _format_flag(value: bool) -> str:
    return "true" if value else "false"
