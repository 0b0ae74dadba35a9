"""Where the media of every kind of list of ours may be, for tests of what fetches them."""

from pipelines.source.registry import find_origins

ORIGINS = find_origins()
