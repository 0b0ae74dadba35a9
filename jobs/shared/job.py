"""The frame of every job: read the user's file with overrides, report an error as one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.shared.terminal import format_text, replace_streams, replace_unknown
from jobs.shared.user_places import expand_places
from pipelines.errors import ConfigError, EcholensError
from pipelines.run import records
from pipelines.source.registry import check_kinds
from pipelines.store.dataset_file import read_stored
from pipelines.store.root import Root
from pipelines.store.trust import find_classes, find_enclosing_root, with_root_keys
from pipelines.store.user_yaml import parse_user_yaml
from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.encoders import Encode
from schemas.families import FAMILIES
from schemas.strict import Trust

# Includes what checks user-written content, for the jobs that take some.

# A list that is given in place of the file may have gigabytes.
_MAX_BYTES = 4 * 2**20
# Set by Ray for the command that `ray job submit` starts.
_IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Verbs that write to a root or about it; the others only read.
_RECORDED = frozenset(
    {"build", "refresh", "clean", "report", "export", "train", "translate", "generate", "evaluate", "demo"}
)

# Datasets that ship, by name.
_DATASETS = Path(__file__).parents[1] / "datasets"


def run(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Run a job's main; an error of ours is one sentence on stderr and exit code 1, without traceback."""
    arguments = sys.argv[1:] if argv is None else argv
    record = records.begin(_get_verb(main), arguments)
    try:
        with replace_streams():
            main(arguments)
        record.end("ok")
    except EcholensError as error:
        record.end("failed", str(error))
        sys.exit(f"echolens: {replace_unknown(format_text(str(error)), sys.stderr.encoding)}")
    except KeyboardInterrupt:
        record.end("interrupted")
        sys.exit("echolens: interrupted; run the same command again to go on where it stopped")
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; avoid a second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        record.end("ok")
    except Exception as error:
        record.end("failed", f"{type(error).__name__}: {error}")
        raise


def _get_verb(main: Callable[[Sequence[str]], None]) -> str:
    # `python -m jobs.VERB` calls its module __main__.
    module = main.__module__.rpartition(".")[2]
    return Path(sys.argv[0]).stem if module == "__main__" else module


def load(target: str, overrides: Sequence[str] = (), trust: Trust | None = None) -> Dataset:
    """Return the dataset of a FILE that a person wrote, or of a ROOT that a job made.

    Relative paths in a file are relative to the file; those of a dataset that ships (jobs/datasets) to the
    folder that the command runs in. The dataset knows which of its classes, places and guards the person
    gives, by the file, an override or `trust`; neither a root nor a file inside of one can.
    Whoever uses them asks for that.

    Args:
        target: FILE or ROOT, or the name of a dataset that ships.
        overrides: key.path=value.
        trust: what the person vouches for.

    Raises:
        ConfigError: there is neither, or a key or value is unknown.
    """
    dataset = _load(target, overrides, trust or Trust())
    # Those of one's own may import anything, which not every verb needs.
    check_kinds(dataset, target)
    if (job := records.get_current()) and job.verb in _RECORDED:
        job.root = Root.from_dataset(dataset)
    return dataset


def _load(target: str, overrides: Sequence[str], trust: Trust) -> Dataset:
    trust = replace(trust, classes=trust.classes | {*_find_override_classes(overrides)})
    root = Root.from_url(target, trust.links)
    if root.exists("dataset.json"):
        # A root may have been moved or copied since: its URL is the one it was opened by.
        content = read_stored(root).dataset | {"root": root.url}
        trust = _distrust(trust, content, overrides, f"{root.url}/dataset.json")
        return _validate(apply_overrides(content, overrides), target).with_trust(trust)
    shipped = _DATASETS / f"{target}.yaml"
    is_shipped = not Path(target).exists() and "/" not in target and shipped.is_file()
    # Of what ships, places are relative to where the command runs.
    folder = Path.cwd() if is_shipped else Path(target).resolve().parent
    target = str(shipped) if is_shipped else target
    content = read_dataset_content(target, overrides, trust)
    if enclosing := find_enclosing_root(Path(target)):
        trust = _distrust(trust, content, overrides, f"{target}, a file of the root {enclosing},")
    if os.environ.get(_IN_RAY_JOB):
        check_root(str(content.get("root", "")))
    dataset = _resolve_paths(_validate(content, target), folder)
    own = () if enclosing else find_classes(dataset.model_dump())
    return dataset.with_trust(trust).trust(own)


def _distrust(trust: Trust, content: dict[str, Any], overrides: Sequence[str], source: str) -> Trust:
    """Return what a person vouches for of the content of a root, some of which they override."""
    trust = with_root_keys(trust, content, source)
    for override in overrides:
        trust = trust.exclude(override.partition("=")[0])
    return trust


def _find_override_classes(overrides: Sequence[str]) -> Iterable[str]:
    return find_classes(apply_overrides({}, overrides))


def read_content(file: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a dataset's file, with overrides, not yet validated.

    Raises:
        ConfigError: there is no such file, or it is no YAML mapping.
    """
    path = Path(file)
    if not path.is_file():
        raise ConfigError(
            f"{file} is neither a dataset file nor the root of a dataset; "
            "give the YAML file that describes it, or the folder or URL it was built in"
        )
    try:
        content = parse_user_yaml(_read_text(path))
    except ValueError as error:
        raise ConfigError(f"{file} {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no keys; begin with `name:`, as the README's example does")
    return apply_overrides(content, overrides)


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(
            f"has {size:,} bytes and is no dataset file; give the YAML file that names this list"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start:,}); save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); let this user read it") from error


def read_dataset_content(
    target: str, overrides: Sequence[str] = (), trust: Trust | None = None
) -> dict[str, Any]:
    """Return the content of a dataset's file, with overrides, and with `~` and $NAME in its places expanded.

    Args:
        target: the file.
        overrides: key.path=value.
        trust: what the person vouches for; without it a file inside of a root learns nothing of this machine.

    Raises:
        ConfigError: there is no such file, it is no YAML mapping, or names what the environment lacks.
    """
    content = read_content(target, overrides)
    if find_enclosing_root(Path(target)) is None or (trust is not None and trust.whole_root):
        return expand_places(content)
    return expand_places(content, {override.partition("=")[0] for override in overrides})


def check_root(root: str) -> None:
    """Refuse a root that is a different folder on every node of a cluster.

    Raises:
        ConfigError: it is relative.
    """
    if "://" not in root and not Path(root).is_absolute():
        raise ConfigError(
            f"root {root!r} is relative and each node of a cluster would have its own; "
            "give an absolute path or a URL that all nodes see"
        )


def _resolve_paths(dataset: Dataset, folder: Path) -> Dataset:
    def place(url: str) -> str:
        return url if "://" in url else str(folder / url)

    sources = tuple(source.with_places(place) for source in dataset.sources)
    return dataset.model_copy(update={"root": Root.from_url(place(dataset.root)).url, "sources": sources})


def apply_overrides(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return content with `key.path=value` set in it.

    Raises:
        ConfigError: an override has no `=`, or its path does not exist.
    """
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"{override!r} is not an override; write key.path=value")
        try:
            loaded = parse_user_yaml(value)
        except ValueError as error:
            raise ConfigError(f"the override {override[:80]!r} {error}") from error
        at: Any = content
        *folders, last = dotted.split(".")
        try:
            for folder in folders:
                at = _enter(at, folder, content)
            if loaded is None and folders == ["encode"] and last not in Encode.model_fields and last in at:
                del at[last]  # an encoder that the file names is left out
            else:
                at[int(last) if isinstance(at, list) else last] = loaded
        except (IndexError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{dotted} in {override!r} leads nowhere; name a key of the file") from error
    return content


def _enter(at: Any, key: str, content: Mapping[str, Any]) -> Any:
    """Return what is below a key; nothing, or null, becomes a mapping."""
    if isinstance(at, list):
        return at[int(key)]
    if at.get(key) is None:
        # `encode: null` names no encoder, so an override adds the one that it names and no other.
        is_media_alone = at is content and key == "encode" and key in at
        at[key] = dict.fromkeys(FAMILIES) if is_media_alone else {}
    return at[key]


def _validate(content: dict[str, Any], target: str) -> Dataset:
    return check_content(Dataset, content, target)
