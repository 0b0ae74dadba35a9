"""What can go wrong with a job, as opposed to a row. A bad row is an outcome, never an error.

    EcholensError
    ├── ConfigError     the file or the command line asks for something that cannot be
    ├── ListError       a list is missing, unreadable or in another format than its kind says
    ├── StorageError    a root cannot be reached or written, or holds something else
    ├── SpaceError      vectors of two spaces would be mixed
    └── StopJob         going on would lose rows: disk full, a broken resolver

Every message is one sentence: what was found, what was wanted, what to do.
"""

from __future__ import annotations


class EcholensError(Exception):
    """An error whose text is meant for the person at the keyboard; shown without a traceback."""


class ConfigError(EcholensError):
    """The file or the command line asks for something that cannot be."""


class ListError(EcholensError):
    """A list is missing, unreadable or in another format than its kind says."""


class StorageError(EcholensError):
    """A root cannot be reached or written, or holds something else."""


class SpaceError(EcholensError):
    """Vectors of two spaces would be mixed."""


class StopJob(EcholensError):
    """Going on would lose rows."""
