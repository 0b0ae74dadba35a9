"""The pocket AudioLDM: trained on the miniature world, loaded like a real one."""

from __future__ import annotations

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import ConfigError
from pipelines.generate.audioldm.pipeline import AudioLdmLoader


def make_pocket_audioldm(batch_rows: int = 8) -> AudioLdmLoader:
    """Return the loader of pocket AudioLDM; like the other pocket models it runs in fp32.

    Raises:
        ConfigError: its weights are missing.
    """
    folder = WEIGHTS / "audioldm"
    if not (folder / "model_index.json").is_file():
        raise ConfigError(
            f"there is no model_index.json in {folder}; train it with `echolens pocket audioldm`"
        )
    return AudioLdmLoader(str(folder), batch_rows=batch_rows)
