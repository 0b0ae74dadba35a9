"""The frame of every job: read the user's file with overrides, report an error as one sentence."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError, EcholensError
from pipelines.run import records
from pipelines.store.root import Root
from pipelines.store.trust import check_classes, check_trust, find_classes, find_enclosing_root
from schemas.dataset import Dataset
from schemas.encoders import Encode

# Set by Ray for the command that `ray job submit` starts.
_IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Verbs that write to a root or about it; the others only read.
_RECORDED = frozenset(
    {"build", "refresh", "clean", "report", "export", "train", "translate", "generate", "demo"}
)

M = TypeVar("M", bound=BaseModel)


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
        help="import this class if the root names it as an encoder; repeat for more",
    )


def load(target: str, overrides: Sequence[str] = (), trust: Sequence[str] = ()) -> Dataset:
    """Return the dataset of a FILE that a person wrote, or of a ROOT that a job made.

    Relative paths in a file are relative to the file. A custom encoder's class may be imported if the file,
    an override or `trust` names it; neither a root nor a file inside of one can decide that.

    Args:
        target: FILE or ROOT.
        overrides: key.path=value.
        trust: classes that may be imported, as module:Class.

    Raises:
        ConfigError: there is neither, a key or value is unknown, or a class may not be imported.
    """
    check_trust(trust)
    dataset = _load(target, overrides, trust)
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
        own, where = find_classes(dataset.encode.model_dump()), target
    return _trust(dataset, [*trust, *own], where)


def _trust(dataset: Dataset, classes: Sequence[str], where: str) -> Dataset:
    """Return a dataset that trusts these classes; another class in it is an error."""
    trusting = dataset.model_copy(update={"encode": dataset.encode.trust(classes)})
    check_classes(trusting.encode, where)
    return trusting


def _find_override_classes(overrides: Sequence[str]) -> list[str]:
    encode = apply_overrides({}, overrides).get("encode")
    return find_classes(encode) if isinstance(encode, dict) else []


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


def check_content(model: type[M], content: dict[str, Any], target: str) -> M:
    """Return user-written content as a model.

    Raises:
        ConfigError: a key or a value is unknown to the model.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # Unknown keys first: a misspelt key is often why another is missing. Of a union, the closest member.
        order = {"extra_forbidden": 0, "missing": 2, "model_type": 3}
        problems = sorted(error.errors(), key=lambda problem: order.get(problem["type"], 1))
        raise ConfigError(f"{target}: {_format_problem(dict(problems[0]), model)}") from error


def _format_problem(problem: dict[str, Any], model: type[BaseModel]) -> str:
    """Return one of pydantic's problems as a sentence: what was found, what is expected, what to do."""
    # A union adds the names of its members to the location; they are not keys of the file.
    is_unknown = problem["type"] == "extra_forbidden"
    last = len(problem["loc"]) - 1
    parts = [
        part
        for number, part in enumerate(problem["loc"])
        if isinstance(part, int) or part[:1].islower() or (is_unknown and number == last)
    ]
    parts = [part for part in parts if not str(part).startswith(("literal[", "function-"))]
    key = ".".join(str(part) for part in parts)
    if is_unknown:
        general = ".".join("[]" if isinstance(part, int) else str(part) for part in parts)
        known = list(_iterate_keys(model))
        nearest = difflib.get_close_matches(general, known, n=1, cutoff=0.0)[0]
        unknown = f"unknown key {key!r}; the nearest known one is {nearest.replace('.[]', '[]')!r}"
        is_encoder = model is Dataset and parts[:-1] == ["encode"]
        return f"{unknown}, and an encoder of your own is {{loader: module:Class}}" if is_encoder else unknown
    if problem["type"] == "missing":
        return f"key {key!r} is missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    found = problem["input"]
    shown = "" if isinstance(found, dict | list) else f" (found {found!r})"
    return f"{key or 'the file'}: {message[:1].lower()}{message[1:]}{shown}"


def _iterate_keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{before}{name}"
        for inner in _iterate_models(field.annotation):
            middle = f"{name}.[]." if field.annotation is not inner and name == "sources" else f"{name}."
            yield from _iterate_keys(inner, before + middle)


def _iterate_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _iterate_models(argument)
