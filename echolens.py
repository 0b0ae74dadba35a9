"""Echolens from Python: open a root, search it, and take its vectors, tables and samples.

    import echolens

    animals = echolens.open("/data/animals")
    for hit in animals.search(text="a dog barking", into="clap_audio", k=3):
        print(hit.score, hit.key, hit.caption)
    keys, vectors = animals.vectors("clip_image")

Nothing here starts Ray.
"""

from pipelines.api.client import Client
from pipelines.api.dataset import EmbeddingDataset as Dataset
from pipelines.api.dataset import open_dataset as open  # noqa: A004 - as files are opened
from pipelines.errors import ConfigError, EcholensError, ServiceError, SpaceError, StorageError
from schemas.query import Hit

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
