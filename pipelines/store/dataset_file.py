"""dataset.json: which dataset a root holds, and which of its settings can never change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipelines.errors import ConfigError, StorageError
from pipelines.store.json_file import make_damaged_error, read_json
from pipelines.store.root import Root
from pipelines.store.trust import with_root_keys
from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.encoders import Encode
from schemas.families import COLUMNS, FAMILIES, Column, check_column, get_family, list_columns, sort_columns
from schemas.space import Space
from schemas.stored_dataset import StoredDataset
from schemas.strict import Trust

_FILE = "dataset.json"


def read_stored(root: Root) -> StoredDataset:
    """Return what dataset.json says, of which the parts are still to be checked.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is damaged.
    """
    return read_json(root, _FILE, StoredDataset, "build its file again into another root")


def read_shard_rows(root: Root) -> int:
    """Return the rows of a shard, by which keys are numbered.

    Raises:
        StorageError: dataset.json is damaged.
    """
    rows = read_stored(root).dataset.get("shard_rows")
    if not isinstance(rows, int) or not 1 <= rows <= 1_000_000:
        raise make_damaged_error(root, _FILE, "it has no shard_rows", "put it back from a copy")
    return rows


def adopt_orientation(root: Root, dataset: Dataset) -> Dataset:
    """Return a dataset whose pictures stand as those of its root, where its file does not say how.

    So a file without the key goes on with a root whose pictures are as they were stored.
    """
    stored = None if "orientation" in dataset.fetch.model_fields_set else read_dataset(root, dataset.root)
    if stored is None or stored.fetch.orientation == dataset.fetch.orientation:
        return dataset
    fetch = dataset.fetch.model_copy(update={"orientation": stored.fetch.orientation})
    return dataset.model_copy(update={"fetch": fetch})


def check(root: Root, dataset: Dataset) -> None:
    """Check that a dataset may be built into a root: it is empty, or its pinned settings are the same.

    Raises:
        ConfigError: a pinned setting differs.
    """
    if stored := read_dataset(root, dataset.root):
        before, after = stored.get_pinned(), dataset.get_pinned()
        for key in before:
            if before[key] != after[key]:
                raise ConfigError(
                    f"{key} of {root.url} is {before[key]!r} for good, and {after[key]!r} was asked for; "
                    "set it back, or build into another root"
                )


def check_planned(root: Root, dataset: Dataset) -> None:
    """Check that a dataset has the sources and filters that its root was planned with.

    Raises:
        ConfigError: it has others.
    """
    if stored := read_dataset(root, dataset.root):
        for key in ("sources", "filter"):
            if _normalize_setting(stored, key) != _normalize_setting(dataset, key):
                raise ConfigError(
                    f"{key} of {root.url} differ from those it was planned with; run `echolens refresh` to "
                    "bring them in, set them back, or build into another root"
                )


def _normalize_setting(dataset: Dataset, key: str) -> object:
    """Return a setting without the folders of local lists: a list that was moved is still the same."""
    if key != "sources":
        setting: BaseModel = getattr(dataset, key)
        return setting.model_dump()
    return [source.with_places(_leave_out_folder).model_dump(mode="json") for source in dataset.sources]


def _leave_out_folder(place: str) -> str:
    return place if "://" in place else Path(place).name


def check_spaces(root: Root, dataset: Dataset, spaces: Mapping[Column, Space]) -> None:
    """Check that the vectors of a set stay in their spaces.

    Args:
        root: of the dataset.
        dataset: to be built.
        spaces: column -> the space of its vectors.

    Raises:
        ConfigError: a set would have vectors of two spaces.
    """
    if not root.exists(_FILE):
        return
    stored = read_stored(root)
    if dataset.encode.set in stored.sets:
        pinned = read_spaces(root, dataset.encode.set)
        changed = (
            column for column in sort_columns({*pinned, *spaces}) if pinned.get(column) != spaces.get(column)
        )
        if column := next(changed, None):
            raise _make_space_error(root, dataset.encode.set, column, pinned.get(column), spaces.get(column))
    _check_segment(root, dataset, stored)
    _check_windows(root, dataset, stored)


def _make_space_error(
    root: Root, set_name: str, column: Column, pinned: Space | None, requested: Space | None
) -> ConfigError:
    name = get_family(column) if column in COLUMNS else column
    if pinned is None:
        return ConfigError(
            f"set {set_name!r} of {root.url} holds no {name} vectors and {requested} was asked for; give the "
            "encoders another `encode.set`"
        )
    if requested is None:
        return ConfigError(
            f"set {set_name!r} of {root.url} holds {name} vectors of {pinned} and no encoder was asked for; "
            "name it again, or give the other encoders another `encode.set`"
        )
    return ConfigError(
        f"set {set_name!r} of {root.url} holds {name} vectors of {pinned} and {requested} was asked for "
        f"({requested.describe_differences(pinned)}); give the other encoder another `encode.set`"
    )


def _check_segment(root: Root, dataset: Dataset, stored: StoredDataset) -> None:
    name, requested = dataset.encode.set, dataset.encode.segment.get_pinned()
    pinned = stored.segments.get(name, {})
    if name in stored.sets and pinned != requested:
        before, after = _describe_segment(pinned), _describe_segment(requested)
        raise ConfigError(
            f"set {name!r} of {root.url} holds vectors of {before} and {after} was asked for; "
            "give another `encode.segment` another `encode.set`"
        )


def _check_windows(root: Root, dataset: Dataset, stored: StoredDataset) -> None:
    name, requested = dataset.encode.set, dataset.encode.windows
    if name in stored.sets and stored.windows.get(name, False) != requested:
        held, asked = ("no windows", "some were") if requested else ("windows of sounds", "none were")
        raise ConfigError(
            f"set {name!r} of {root.url} keeps {held} and {asked} asked for; give another `encode.windows` "
            "another `encode.set`"
        )


def has_windows(root: Root, set_name: str) -> bool:
    """Return whether the clips of a set have files of windows beside their vectors."""
    return root.exists(_FILE) and read_stored(root).windows.get(set_name, False)


def _describe_segment(settings: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"segments ({keys})" if keys else "whole clips"


def is_same(root: Root, dataset: Dataset) -> bool:
    """Return whether the root holds the same rows and encoders, however its media were fetched."""
    stored = read_dataset(root, dataset.root)
    if stored is None or stored.get_pinned() != dataset.get_pinned():
        return False
    keys = ("sources", "filter", "encode")
    return all(_normalize_setting(stored, key) == _normalize_setting(dataset, key) for key in keys)


def read_dataset(root: Root, url: str) -> Dataset | None:
    """Return the dataset of a root, under the URL that it has now; None if there is none."""
    if not root.exists(_FILE):
        return None
    return check_content(Dataset, read_stored(root).dataset | {"root": url}, f"{root.url}/{_FILE}")


def read_root_dataset(root: Root, trust: Trust) -> Dataset:
    """Return the dataset of a root, which knows that the root gives its places and classes, and no person.

    Args:
        root: of the dataset.
        trust: what the person who opens it vouches for.

    Raises:
        ConfigError: there is no dataset.
        StorageError: its file is damaged.
    """
    if not root.exists(_FILE):
        raise ConfigError(
            f"{root.url} is not the root of a dataset; give the folder or URL that one was built in"
        )
    content, where = read_stored(root).dataset | {"root": root.url}, f"{root.url}/{_FILE}"
    return check_content(Dataset, content, where).with_trust(with_root_keys(trust, content, where))


def pin(root: Root, dataset: Dataset, spaces: Mapping[Column, Space] | None = None) -> None:
    """Write dataset.json unless it is up to date; without spaces those of the file stay.

    The checks of this module come first.
    """
    stored = read_stored(root) if root.exists(_FILE) else StoredDataset()
    name, encode = dataset.encode.set, dataset.encode
    settings = encode.segment.get_pinned()
    segments = stored.segments | ({name: settings} if settings else {})
    windows = stored.windows | ({name: True} if encode.windows else {})
    written = {
        "dataset": dataset.model_dump(mode="json"),
        "sets": stored.sets | ({} if spaces is None else {name: _dump_spaces(spaces)}),
        **({"segments": segments} if segments else {}),
        **({"windows": windows} if windows else {}),
        # `dataset` has the settings of the newest build; the encoders of other sets are kept beside it.
        "encoders": stored.encoders | {name: encode.model_dump(mode="json")},
    }
    if StoredDataset.model_validate(written) != stored:
        root.write_json(_FILE, written)


def _dump_spaces(spaces: Mapping[Column, Space]) -> dict[str, Any]:
    """Return spaces as JSON, by column.

    The columns of CLIP, and those of CLAP, are one entry where their spaces are equal.
    """
    written = dict(spaces)
    for family in FAMILIES:
        columns = list_columns(family)
        if len({spaces.get(column) for column in columns}) == 1 and columns[0] in spaces:
            written[family] = spaces[columns[0]]
            for column in columns:
                del written[column]
    return {name: space.model_dump(mode="json") for name, space in sorted(written.items())}


def read_spaces(root: Root, set_name: str) -> dict[Column, Space]:
    """Return the spaces that a set is pinned to, by column; empty if it is not pinned yet.

    Raises:
        StorageError: a column or a space in the file is none.
    """
    if not root.exists(_FILE):
        return {}
    pinned = read_stored(root).sets.get(set_name, {})
    try:
        spaces = {
            column: Space.model_validate(space)
            for name, space in pinned.items()
            for column in (list_columns(name) if name in FAMILIES else (check_column(name),))
        }
    except ValueError as error:
        problem = str(error).splitlines()[0]
        raise StorageError(
            f"set {set_name!r} in {root.url}/{_FILE} has no spaces that can be read ({problem}); bring that "
            "file back from where the dataset came"
        ) from error
    return {column: spaces[column] for column in sort_columns(spaces)}


def with_vector_set(root: Root, dataset: Dataset, set_name: str | None) -> Dataset:
    """Return a root's dataset with the encoders of one of its sets; unchanged if the name is None.

    Raises:
        ConfigError: there is no such set.
    """
    if set_name is None or set_name == dataset.encode.set:
        return dataset
    known = read_stored(root).encoders if root.exists(_FILE) else {}
    if set_name not in known:
        raise ConfigError(
            f"{root.url} has no set {set_name!r} (it has: {', '.join(sorted(known)) or 'none'}); "
            f"build it with `encode.set={set_name}`"
        )
    where = f"{root.url}/{_FILE}: encoders.{set_name}"
    source = f"set {set_name!r} of {root.url}"
    trust = with_root_keys(dataset.given_trust, {"encode": known[set_name]}, source)
    encode = check_content(Encode, known[set_name], where).with_trust(trust).with_root(root.url)
    return dataset.model_copy(update={"encode": encode})


def list_sets(root: Root) -> list[str]:
    """Return the names of the vector sets of a root.

    Raises:
        StorageError: there is no dataset.
    """
    if not root.exists(_FILE):
        raise StorageError(f"{root.url} holds no dataset; run `echolens build` on its file first")
    return sorted(read_stored(root).sets)
