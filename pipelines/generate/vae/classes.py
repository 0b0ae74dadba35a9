"""The words that a VAE can be told."""

from __future__ import annotations

from pipelines.errors import ConfigError
from schemas.spectrogram_vae import VaeCard


def find_class(card: VaeCard, label: str | None) -> int:
    """Return the number of a class; that of none for None.

    Raises:
        ConfigError: the VAE was not trained on it.
    """
    classes = card.classes
    if label is None:
        return len(classes)
    if not classes:
        raise ConfigError(
            f"this VAE was trained without classes, and --class {label} names one; leave it out"
        )
    if label not in classes:
        shown = ", ".join(classes[:30]) + (", ..." if len(classes) > 30 else "")
        raise ConfigError(
            f"this VAE has never heard --class {label!r}; name one that it was trained on: {shown}"
        )
    return classes.index(label)
