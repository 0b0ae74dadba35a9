"""Hand a job to a Ray cluster: upload the code and the file, follow the log, end with the job's exit code.

What travels is a folder made for it: our packages, the dataset's file, and the lists that lie beside it.
Nothing else does: no cookies, no tokens, no data. The cluster's token is read by Ray itself, from
RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or the home folder, and goes to the cluster's address alone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from jobs.shared.job import check_root, load, read_content
from pipelines.errors import ConfigError, StopJob
from pipelines.run import records

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

# Every node downloads the upload; lists that are larger belong where all nodes see them.
LISTS_MAX_BYTES = 64 * 2**20

_PACKAGES = ("schemas", "pipelines", "jobs")
_SKIPPED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
# No telemetry; the same as the Makefile says.
_ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# What Ray's core writes into the driver's log says nothing of rows.
_START = ("env", "RAY_BACKEND_LOG_LEVEL=fatal", "python", "-m")
_POLL_S = 2.0
# A cluster that has just started takes no job for some seconds.
_AGENT_WITHIN_S = 60.0


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add `--address` to a job's options."""
    parser.add_argument(
        "--address",
        metavar="URL",
        help="submit to the Ray cluster whose dashboard is there, http://HOST:8265",
    )


def submit(  # noqa: PLR0913, PLR0917
    address: str,
    verb: str,
    target: str,
    overrides: Sequence[str] = (),
    flags: Sequence[str] = (),
    files: Sequence[Path] = (),
) -> int:
    """Run `echolens VERB` on a cluster, print its log, and return its exit code.

    Args:
        address: of the cluster's dashboard, http://HOST:8265.
        verb: what to run.
        target: the dataset's file or root; the root must be absolute or a URL.
        overrides: key.path=value.
        flags: options of the verb.
        files: that travel too, each under its own name beside our packages.

    Raises:
        ConfigError: the root is not one that every node sees, or no cluster answers there.
        StopJob: the cluster stopped answering while the job ran.
    """
    with tempfile.TemporaryDirectory(prefix="echolens-") as folder:
        staged = stage_files(target, overrides, Path(folder))
        for file in files:
            shutil.copyfile(file, Path(folder) / file.name)
        client = _client(address)
        if job := records.get_current():
            job.root = None  # the job on the cluster keeps the record
        command = shlex.join([*_START, f"jobs.{verb}", *staged, *flags])
        submitted = _submitted(client, address, command, folder)
    print(f"{verb}: submitted to {address} as {submitted}", file=sys.stderr)
    return _followed(client, submitted)


def stage_files(target: str, overrides: Sequence[str], folder: Path) -> list[str]:
    """Fill a folder with what travels to the cluster; return the dataset as the cluster's command names it.

    Raises:
        ConfigError: the root is relative, or lists are too large to travel.
    """
    load(target, overrides)
    home = Path(__file__).resolve().parents[2]
    for package in _PACKAGES:
        shutil.copytree(home / package, folder / package, ignore=_SKIPPED)
    if not Path(target).is_file():
        check_root(target)
        check_secrets(list(overrides))
        return [target, *overrides]
    content = read_content(target, overrides)
    check_root(content["root"])
    check_secrets(content)
    place = folder / "dataset"
    place.mkdir()
    _stage_lists(content, Path(target).resolve().parent, place)
    (place / "dataset.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return ["dataset/dataset.yaml"]


def check_secrets(content: Any, where: str = "") -> None:
    """Refuse what others on a cluster could read: passwords and signatures in addresses.

    Args:
        content: of a dataset's file.
        where: the key that it stands under.

    Raises:
        ConfigError: there is one.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            check_secrets(value, f"{where}.{key}" if where else str(key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            check_secrets(value, f"{where}.{number}" if where else f"override {number + 1}")
    elif isinstance(content, str) and records.redact(content) != content:
        raise ConfigError(
            f"{where} holds a password or signature ({records.redact(content)}), which everybody on the "
            "cluster could read; name it by $NAME where that may be, or give the nodes a role"
        )


def _stage_lists(content: dict[str, Any], folder: Path, place: Path) -> None:
    """Copy lists that are named relative to the file, and name the copies in the content."""
    room = LISTS_MAX_BYTES
    for number, source in enumerate(content["sources"]):
        if "://" in source["list"] or Path(source["list"]).expanduser().is_absolute():
            continue
        path = folder / source["list"]
        size = path.stat().st_size if path.is_file() else room + 1
        room -= size
        if room < 0:
            raise ConfigError(
                f"list {source['list']} is relative, and only files of {LISTS_MAX_BYTES >> 20} MiB in all "
                "travel to a cluster; name it by an absolute path or a URL that all nodes see"
            )
        # Two lists of one name may lie in two folders.
        source["list"] = f"{number:02d}-{path.name}"
        shutil.copyfile(path, place / source["list"])


def _client(address: str) -> JobSubmissionClient:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"--address {address} is no dashboard; give http://HOST:8265")
    try:
        client = JobSubmissionClient(address)
    except AuthenticationError as error:
        raise ConfigError(
            f"the cluster at {address} wants another token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH "
            "(or RAY_AUTH_TOKEN) to that cluster's"
        ) from error
    except (ConnectionError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray dashboard answers at {address}; give the address that `ray start --head` printed"
        ) from error
    # The client has set up Ray's own loggers by then.
    for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return client


def _submitted(client: JobSubmissionClient, address: str, command: str, folder: str) -> str:
    environment = {"working_dir": folder, "env_vars": dict(_ENVIRONMENT)}
    end = time.monotonic() + _AGENT_WITHIN_S
    while True:
        try:
            return client.submit_job(entrypoint=command, runtime_env=environment)
        except (RuntimeError, OSError) as error:
            if "No available agent" not in str(error) or time.monotonic() > end:
                raise StopJob(
                    f"the cluster at {address} took no job ({' '.join(str(error).split())}); "
                    "see its dashboard"
                ) from error
        time.sleep(_POLL_S)


def _followed(client: JobSubmissionClient, submitted: str) -> int:
    """Print the log as it grows and return the exit code of the job."""
    try:
        asyncio.run(_print_log(client, submitted))
        info = _ended(client, submitted)
    except KeyboardInterrupt:
        raise StopJob(
            f"stopped following {submitted}, which goes on; `ray job logs --follow {submitted}` shows it, "
            f"and `ray job stop {submitted}` ends it"
        ) from None
    if info.status == "SUCCEEDED":
        return 0
    if info.driver_exit_code is None:
        print(f"echolens: job {submitted} {info.status}: {info.message}", file=sys.stderr)
    return info.driver_exit_code or 1


async def _print_log(client: JobSubmissionClient, submitted: str) -> None:
    try:
        async for lines in client.tail_job_logs(submitted):
            print(lines, end="", flush=True)
    except RuntimeError:
        # The line to the log was cut; the job itself is asked for below.
        print(f"the log of {submitted} broke off", file=sys.stderr)


def _ended(client: JobSubmissionClient, submitted: str) -> Any:
    """Return what the cluster says of the job once it is over."""
    while True:
        try:
            info = client.get_job_info(submitted)
        except (ConnectionError, OSError, RuntimeError) as error:
            raise StopJob(
                f"the cluster stopped answering while {submitted} ran; start it again, then the same command"
            ) from error
        if info.status.is_terminal():
            return info
        time.sleep(_POLL_S)
