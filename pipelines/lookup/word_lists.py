"""Lists of words that a picture or a sound is asked with: a file of a person's own, or one that ships.

A line has a word or a phrase; what begins with # is a comment.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import ConfigError

_FOLDER = Path(__file__).parent / "words"
# A text tower takes a second for a thousand words.
_MOST_WORDS, _MOST_CHARS, _MOST_BYTES = 20_000, 200, 4_000_000


def list_word_lists() -> list[str]:
    """Return the names of the lists that ship."""
    return sorted(file.stem for file in _FOLDER.glob("*.txt"))


def read_words(name: str) -> list[str]:
    """Return the words of a list in their order, each once.

    Args:
        name: of a list that ships, or a file.

    Raises:
        ConfigError: there is none, it has no words or too many, or it is no text.
    """
    shipped = name in list_word_lists()
    file = _FOLDER / f"{name}.txt" if shipped else Path(name)
    if not file.is_file():
        raise ConfigError(
            f"--words {name[:80]!r} is no file and no list that ships; name a file of a word a line, or one "
            f"of {', '.join(list_word_lists())}"
        )
    try:
        size = file.stat().st_size
        text = file.read_bytes()[: _MOST_BYTES + 1].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--words {file} cannot be read as UTF-8 ({error}); save it as text") from error
    lines = [" ".join(line.split()) for line in text.splitlines()]
    words = [*dict.fromkeys(line for line in lines if line and not line.startswith("#"))]
    if not words:
        raise ConfigError(f"--words {file} has no word; write one a line")
    if long := [word for word in words if len(word) > _MOST_CHARS]:
        raise ConfigError(
            f"--words {file} has a line of {len(long[0])} characters, which is no word; write one a line, of "
            f"{_MOST_CHARS} at most"
        )
    if size > _MOST_BYTES or len(words) > _MOST_WORDS:
        raise ConfigError(f"--words {file} has more than {_MOST_WORDS:,} words; ask with fewer")
    return words
