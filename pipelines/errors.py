"""All errors. An error ends a job, a query or a request; a `MediaError` is the outcome of one row.

    EcholensError
    ├── ConfigError                    the file or the command line asks for something impossible
    │   └── NoSuchRowError             a version has no row of this key
    ├── ListError                      a list is missing, unreadable or in another format than its kind says
    ├── StorageError                   a root cannot be reached or written, or holds something else
    │   └── LeaseHeldError             another job is writing to the root
    ├── DamagedArchiveError            an archive lacks its end, or is none
    ├── SpaceError                     vectors of two spaces would be mixed
    ├── StopJob                        going on would lose rows: disk full, a broken resolver
    │   └── NoMediaError               no media arrived, and most were out of reach
    ├── NoSampleError                  a version was published, and no row is in it
    ├── ServiceError                   a running service cannot be reached, or refuses
    ├── RequestRefusedError            an HTTP request is answered with a status of its own
    ├── GenerationCancelledError       nobody waits for the generation any more
    └── MediaError                     one row's media cannot be had or used
        ├── HostUnavailableError       the host is down, or asks for a pause longer than rows may wait
        ├── UnreadableMediaError       a file is not there, not for us, empty or too large
        ├── NoVideoError               a video site has no such video
        ├── ClipCutError               no clip can be cut out of a file
        │   └── FfmpegError            ffmpeg failed on it
        └── UndecodableMediaError      an encoder cannot decode the media

A message that reaches a person is one sentence: what was found, what was expected, what to do.
"""

from __future__ import annotations

from schemas.outcome import Outcome, make_outcome


class EcholensError(Exception):
    """An error whose text is meant for the user; shown without a traceback."""


class ConfigError(EcholensError):
    """The file or the command line asks for something impossible."""


class NoSuchRowError(ConfigError):
    """No row of the version has this key, or it is not what was asked for."""


class ListError(EcholensError):
    """A list is missing, unreadable or in another format than its kind says."""


class StorageError(EcholensError):
    """A root cannot be reached or written, or holds something else."""


class LeaseHeldError(StorageError):
    """Another job has the lease of the root."""


class SpaceError(EcholensError):
    """Vectors of two spaces would be mixed."""


class ServiceError(EcholensError):
    """A running service cannot be reached, refuses, or answers with something else."""


class StopJob(EcholensError):
    """Going on would lose rows."""


class NoMediaError(StopJob):
    """Not one picture or clip arrived, and most were out of reach."""


class NoSampleError(EcholensError):
    """What was built has not one sample."""


class RequestRefusedError(EcholensError):
    """A request that is answered with its own HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[RequestRefusedError], tuple[int, str]]:
        """Pickle the status, too: by default an exception is rebuilt from its text alone."""
        return type(self), (self.status, str(self))


class GenerationCancelledError(EcholensError):
    """Raised by a progress callback to end a generation."""


class MediaError(EcholensError):
    """The media of one row cannot be had or used; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome

    def __reduce__(self) -> tuple[type[MediaError], tuple[object, ...]]:
        """Pickle the outcome: by default an exception is rebuilt from its text alone."""
        return type(self), (self.outcome,)


class HostUnavailableError(MediaError):
    """A host is not asked: it is down, or asks for a longer pause than rows may wait."""


class UnreadableMediaError(MediaError):
    """A file is not there, not for us, empty or too large."""


class DamagedTableError(EcholensError):
    """A table that takes more memory than one has."""


class DamagedArchiveError(EcholensError):
    """An archive that lacks its end, or is none."""


class NoVideoError(MediaError):
    """A video site has no such video; `message` is the site's sentence if our table does not list it."""

    def __init__(self, outcome: Outcome, message: str | None = None) -> None:
        super().__init__(outcome)
        self.message = message

    def __reduce__(self) -> tuple[type[MediaError], tuple[object, ...]]:
        """Pickle the sentence of the site, too."""
        return type(self), (self.outcome, self.message)


class ClipCutError(MediaError):
    """No clip can be cut out of a file."""


class FfmpegError(ClipCutError):
    """ffmpeg failed, took too long or wrote too much; `printed` is the beginning of what it said."""

    def __init__(self, outcome: Outcome, printed: str) -> None:
        super().__init__(outcome)
        self.printed = printed

    def __reduce__(self) -> tuple[type[MediaError], tuple[object, ...]]:
        """Pickle what it said, too."""
        return type(self), (self.outcome, self.printed)


class UndecodableMediaError(MediaError):
    """Media that a tower cannot decode; `reason` is one of `invalid` in schemas/outcome.py."""

    def __init__(self, reason: str) -> None:
        super().__init__(make_outcome("invalid", reason))
        self.reason = reason

    def __reduce__(self) -> tuple[type[MediaError], tuple[object, ...]]:
        """Pickle the reason, which is what it is made from."""
        return type(self), (self.reason,)
