"""Exports by name: `--to NAME` of a file of this folder, or `--to module:Class` of one's own."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError, EcholensError, StorageError
from pipelines.export.version import ExportCounts, ExportedVersion, VersionExport
from pipelines.store.atomic import TEMPORARY
from pipelines.store.classes import describe, find_offers, import_class, load_offer, make_instance

_PACKAGE = "pipelines.export"
_OFFER = "EXPORTS"


def make_export(name: str, options: Mapping[str, Any]) -> VersionExport:
    """Return an export.

    Args:
        name: of one of ours, or module:Class of one's own, which is imported.
        options: its fields.

    Raises:
        ConfigError: there is no such export, or it does not take these options.
    """
    where = f"--to {name}"
    if ":" in name:
        found, path = import_class(name, where, "export", ("write",)), name
    else:
        modules = find_offers(_PACKAGE, _OFFER)
        if name not in modules:
            raise ConfigError(
                f"{where}: there is no such export; give {', '.join(sorted(modules))}, or module:Class of "
                "your own"
            )
        found, path = load_offer(modules[name][0], _OFFER, name), name
    export: VersionExport = make_instance(found, path, options, where)
    return export


def write_export(
    export: VersionExport,
    exported: ExportedVersion,
    into: Path,
    report: Callable[[int], None] = lambda _: None,
) -> ExportCounts:
    """Write a folder, complete or not at all.

    Args:
        export: that writes it.
        exported: the version.
        into: a folder that does not exist yet, or is empty.
        report: called with the number of rows that have been read.

    Raises:
        ConfigError: the folder is not empty, the version lacks what is asked for, or code of one's own fails.
        StorageError: the folder cannot be written.
    """
    if into.is_file() or (into.is_dir() and any(into.iterdir())):
        raise ConfigError(f"{into} is there already and nothing is overwritten; name another folder")
    scratch = into.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{into.name}")
    try:
        scratch.mkdir(parents=True)
        counts = export.write(exported, scratch, report)
        scratch.replace(into)
    except EcholensError:
        raise
    except OSError as error:
        raise StorageError(f"{into} cannot be written ({error}); choose another folder") from error
    except Exception as error:
        if type(export).__module__.startswith(f"{_PACKAGE}."):
            raise
        raise ConfigError(f"export {type(export).__name__} failed ({describe(error)}); mend it") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return counts
