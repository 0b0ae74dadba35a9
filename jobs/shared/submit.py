"""Submit a job to a Ray cluster: upload the code and the file, follow the log, return the job's exit code.

The upload is a temporary folder: our packages, the dataset's file, and the lists beside it. Nothing else is
uploaded: no cookies, no tokens, no data. The cluster's token is read by Ray itself, from
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

from jobs.shared.job import check_root, load, read_dataset_content
from jobs.shared.trust import check_uses, format_trust
from pipelines.errors import ConfigError, StopJob
from pipelines.run import records
from schemas.strict import Trust

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

# Every node downloads the upload; larger lists belong in storage that all nodes see.
LISTS_MAX_BYTES = 64 * 2**20

_PACKAGES = ("schemas", "pipelines", "jobs")
_SKIPPED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
# No telemetry, as in the Makefile.
_ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# The log of Ray's C++ core, which would go into the driver's log, says nothing about rows.
_COMMAND = ("env", "RAY_BACKEND_LOG_LEVEL=fatal", "python", "-m")
_POLL_S = 2.0
# A cluster that has just started accepts no job for some seconds.
_AGENT_TIMEOUT_S = 60.0


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
    trust: Trust | None = None,
) -> int:
    """Run `echolens VERB` on a cluster, print its log, and return its exit code.

    Args:
        address: of the cluster's dashboard, http://HOST:8265.
        verb: what to run.
        target: the dataset's file or root; the root must be absolute or a URL.
        overrides: key.path=value.
        flags: options of the verb.
        files: to upload as well, each under its own name beside our packages.
        trust: what the person vouches for.

    Raises:
        ConfigError: not every node sees the root, or no cluster answers at the address.
        StopJob: the cluster stopped answering while the job ran.
    """
    with tempfile.TemporaryDirectory(prefix="echolens-") as folder:
        check_uses(load(target, overrides, trust), verb)
        target_args = prepare_upload(target, overrides, Path(folder), trust)
        for file in files:
            shutil.copyfile(file, Path(folder) / file.name)
        client = _connect(address)
        if job := records.get_current():
            job.root = None  # the job on the cluster keeps the record
        trust_args = format_trust(trust) if trust else []
        command = shlex.join([*_COMMAND, f"jobs.{verb}", *target_args, *flags, *trust_args])
        job_id = _start_job(client, address, command, folder)
    print(f"{verb}: submitted to {address} as {job_id}", file=sys.stderr)
    return _follow(client, job_id)


def prepare_upload(
    target: str, overrides: Sequence[str], folder: Path, trust: Trust | None = None
) -> list[str]:
    """Fill a folder with the upload; return the dataset's arguments of the cluster's command.

    Args:
        target: the dataset's file or root, which `load` takes.
        overrides: key.path=value.
        folder: to fill.
        trust: what the person vouches for.

    Raises:
        ConfigError: the root is relative, or the lists are too large to upload.
    """
    home = Path(__file__).resolve().parents[2]
    for package in _PACKAGES:
        shutil.copytree(home / package, folder / package, ignore=_SKIPPED)
    if not Path(target).is_file():
        check_root(target)
        check_secrets(list(overrides))
        return [target, *overrides]
    content = read_dataset_content(target, overrides, trust)
    check_root(content["root"])
    check_secrets(content)
    upload = folder / "dataset"
    upload.mkdir()
    _copy_lists(content, Path(target).resolve().parent, upload)
    (upload / "dataset.yaml").write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return ["dataset/dataset.yaml"]


def check_secrets(content: Any, where: str = "") -> None:
    """Refuse passwords and signatures in URLs, which others on a cluster could read.

    Args:
        content: of a dataset's file.
        where: the key of this content.

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


def _copy_lists(content: dict[str, Any], folder: Path, upload: Path) -> None:
    """Copy lists whose paths are relative to the file, and name the copies in the content."""
    budget = LISTS_MAX_BYTES
    for number, source in enumerate(content["sources"]):
        files = source.get("files")
        if isinstance(files, str) and not Path(files).expanduser().is_absolute():
            raise ConfigError(
                f"files {files!r} is relative, and folders of media do not travel to a cluster; name it by "
                "an absolute path that all nodes see"
            )
        if "://" in source["list"] or Path(source["list"]).expanduser().is_absolute():
            continue
        path = folder / source["list"]
        size = path.stat().st_size if path.is_file() else budget + 1
        budget -= size
        if budget < 0:
            raise ConfigError(
                f"list {source['list']} is relative, and only files of {LISTS_MAX_BYTES >> 20} MiB in all "
                "travel to a cluster; name it by an absolute path or a URL that all nodes see"
            )
        # Numbered: two lists in two folders may have the same name.
        source["list"] = f"{number:02d}-{path.name}"
        shutil.copyfile(path, upload / source["list"])


def _connect(address: str) -> JobSubmissionClient:
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
    # Creating the client has set up Ray's own loggers.
    for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return client


def _start_job(client: JobSubmissionClient, address: str, command: str, folder: str) -> str:
    environment = {"working_dir": folder, "env_vars": dict(_ENVIRONMENT)}
    deadline = time.monotonic() + _AGENT_TIMEOUT_S
    while True:
        try:
            return client.submit_job(entrypoint=command, runtime_env=environment)
        except (RuntimeError, OSError) as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise StopJob(
                    f"the cluster at {address} took no job ({' '.join(str(error).split())}); "
                    "see its dashboard"
                ) from error
        time.sleep(_POLL_S)


def _follow(client: JobSubmissionClient, job_id: str) -> int:
    """Print the log as it grows and return the exit code of the job."""
    try:
        asyncio.run(_print_log(client, job_id))
        info = _wait_for_end(client, job_id)
    except KeyboardInterrupt:
        raise StopJob(
            f"stopped following {job_id}, which goes on; `ray job logs --follow {job_id}` shows it, "
            f"and `ray job stop {job_id}` ends it"
        ) from None
    if info.status == "SUCCEEDED":
        return 0
    if info.driver_exit_code is None:
        print(f"echolens: job {job_id} {info.status}: {info.message}", file=sys.stderr)
    return info.driver_exit_code or 1


async def _print_log(client: JobSubmissionClient, job_id: str) -> None:
    try:
        async for lines in client.tail_job_logs(job_id):
            print(lines, end="", flush=True)
    except RuntimeError:
        # The connection to the log broke; the caller asks for the job's state.
        print(f"the log of {job_id} broke off", file=sys.stderr)


def _wait_for_end(client: JobSubmissionClient, job_id: str) -> Any:
    """Wait for the end of the job and return its details."""
    while True:
        try:
            info = client.get_job_info(job_id)
        except (ConnectionError, OSError, RuntimeError) as error:
            raise StopJob(
                f"the cluster stopped answering while {job_id} ran; start it again, then the same command"
            ) from error
        if info.status.is_terminal():
            return info
        time.sleep(_POLL_S)
