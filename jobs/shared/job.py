"""The frame of every job: read the user's file with overrides, report an error as one sentence."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import ConfigError, EcholensError
from pipelines.run import records
from pipelines.source.registry import check_kinds
from pipelines.store.root import Root
from pipelines.store.trust import check_classes, check_trust, find_classes, find_enclosing_root
from pipelines.store.validation import check_content
from schemas.dataset import Dataset
from schemas.encoders import Encode

# Includes what checks user-written content, for the jobs that take some.

# Set by Ray for the command that `ray job submit` starts.
_IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Verbs that write to a root or about it; the others only read.
_RECORDED = frozenset(
    {"build", "refresh", "clean", "report", "export", "train", "translate", "generate", "demo"}
)


def run(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Run a job's main; an error of ours is one sentence on stderr and exit code 1, without traceback."""
    arguments = sys.argv[1:] if argv is None else argv
    record = records.begin(_get_verb(main), arguments)
    try:
        main(arguments)
        record.end("ok")
    except EcholensError as error:
        record.end("failed", str(error))
        sys.exit(f"echolens: {error}")
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


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--trust` to a job's options."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="import this class if the root names it, as an encoder or else; repeat for more",
    )


def load(target: str, overrides: Sequence[str] = (), trust: Sequence[str] = ()) -> Dataset:
    """Return the dataset of a FILE that a person wrote, or of a ROOT that a job made.

    Relative paths in a file are relative to the file. A class of one's own may be imported if the file, an
    override or `trust` names it; neither a root nor a file inside of one can decide that.

    Args:
        target: FILE or ROOT.
        overrides: key.path=value.
        trust: classes that may be imported, as module:Class.

    Raises:
        ConfigError: there is neither, a key or value is unknown, or a class may not be imported.
    """
    check_trust(trust)
    dataset = _load(target, overrides, trust)
    # Those of one's own may import anything, which not every verb needs.
    check_kinds(dataset, target)
    if (job := records.get_current()) and job.verb in _RECORDED:
        job.root = Root.from_url(dataset.root)
    return dataset


def _load(target: str, overrides: Sequence[str], trust: Sequence[str]) -> Dataset:
    root = Root.from_url(target)
    if root.exists("dataset.json"):
        # A root may have been moved or copied since: its URL is the one it was opened by.
        try:
            content = json.loads(root.read("dataset.json"))["dataset"] | {"root": root.url}
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{root.url}/dataset.json is damaged ({error}); build its file again into another root"
            ) from error
        dataset = _validate(apply_overrides(content, overrides), target)
        return _trust(dataset, [*trust, *_find_override_classes(overrides)], f"{root.url}/dataset.json")
    content = read_content(target, overrides)
    if os.environ.get(_IN_RAY_JOB):
        check_root(str(content.get("root", "")))
    dataset = _resolve_paths(_validate(content, target), Path(target).resolve().parent)
    if enclosing := find_enclosing_root(Path(target)):
        own, where = _find_override_classes(overrides), f"{target}, a file of the root {enclosing},"
    else:
        own, where = find_classes(dataset.model_dump()), target
    return _trust(dataset, [*trust, *own], where)


def _trust(dataset: Dataset, classes: Iterable[str], where: str) -> Dataset:
    """Return a dataset that trusts these classes; another class in it is an error."""
    trusting = dataset.trust(classes)
    check_classes(trusting.model_dump(), trusting.trusted, where)
    return trusting


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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML ({' '.join(str(error).split())}); mend that line") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no keys; begin with `name:`, as the README's example does")
    return apply_overrides(content, overrides)


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
        return url if "://" in url else str(folder / Path(url).expanduser())

    sources = tuple(source.model_copy(update={"list": place(source.list)}) for source in dataset.sources)
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
        at: Any = content
        *folders, last = dotted.split(".")
        try:
            for folder in folders:
                at = at[int(folder)] if isinstance(at, list) else at.setdefault(folder, {})
            loaded = yaml.safe_load(value)
            if loaded is None and folders == ["encode"] and last not in Encode.model_fields and last in at:
                del at[last]  # an encoder that the file names is left out
            else:
                at[int(last) if isinstance(at, list) else last] = loaded
        except (IndexError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise ConfigError(f"{dotted} in {override!r} leads nowhere; name a key of the file") from error
    return content


def _validate(content: dict[str, Any], target: str) -> Dataset:
    return check_content(Dataset, content, target)
