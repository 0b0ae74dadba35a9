"""Echolens from Python: open a root, search it, and take its vectors, tables and samples.

    import echolens

    animals = echolens.open("/data/animals")
    for hit in animals.search(text="a dog barking", into="clap_audio", k=3):
        print(hit.score, hit.key, hit.caption)
    keys, vectors = animals.vectors("clip_image")

Nothing here starts Ray.
"""

from importlib.util import find_spec
from pathlib import Path

for _name in ("schemas", "pipelines", "jobs"):
    # Names that others use, too: another package of that name, found earlier, would answer in place of ours.
    _found = find_spec(_name)
    _places = list(_found.submodule_search_locations or ()) if _found else []
    if Path(__file__).with_name(_name) not in map(Path, _places):
        raise ImportError(
            f"echolens needs its own package {_name!r} and Python finds {_places[:1] or 'none'}; put that "
            "one behind the folder of echolens on sys.path, or install echolens into its own environment"
        )

from pipelines.api.client import Client  # noqa: E402
from pipelines.api.dataset import EmbeddingDataset as Dataset  # noqa: E402
from pipelines.api.dataset import open_dataset as open  # noqa: A004, E402 - as files are opened
from pipelines.errors import ConfigError, EcholensError, ServiceError, SpaceError, StorageError  # noqa: E402
from schemas.query import Hit  # noqa: E402

__all__ = [
    "Client",
    "ConfigError",
    "Dataset",
    "EcholensError",
    "Hit",
    "ServiceError",
    "SpaceError",
    "StorageError",
    "open",
]
