"""Answer over HTTP: an API, clip-retrieval's paths, and a page to search with.

echolens serve /data/animals
echolens serve /data/animals --port 9000 --replicas 4 --no-page
echolens serve /data/animals --generator cvssp/audioldm-s-full-v2
ECHOLENS_TOKEN=$(openssl rand -hex 32) echolens serve /data/animals --host 0.0.0.0 --token-env ECHOLENS_TOKEN

Only this machine can ask, unless --host says otherwise. A version that is published meanwhile is served
without a restart. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.job import check_content, load, run
from pipelines.errors import ConfigError
from pipelines.run.ray_plan import Session
from pipelines.store import versions
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset, GeneratorEntry

if TYPE_CHECKING:
    from pipelines.generate.registry import GeneratorSpec
    from pipelines.serve.settings import ServiceSettings


def main(argv: Sequence[str]) -> None:
    """Serve a dataset until a signal ends it."""
    asked = _parser().parse_args(argv)
    from pipelines.serve.http_server import check_free

    dataset = load(asked.target)
    root = Root.from_url(dataset.root)
    dataset = with_vector_set(root, dataset, asked.set)
    # Before Ray is started: what is not there cannot be served.
    version = versions.read_current(root, dataset.encode.set)
    settings = _settings(asked, dataset)
    check_free(settings)
    stop = threading.Event()
    # While Ray is up, what its processes print goes to stderr; this line is the result.
    told = sys.stdout
    with Session() as session:
        session.start()
        # Ray has handlers of its own, which end the process as if it had crashed.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        from pipelines.serve.deployments import run_service

        with run_service(dataset, settings) as address:
            what = "the page and the API" if settings.page else "the API"
            print(f"{dataset.name}, version {version.number}: {what} at {address}", file=told, flush=True)
            stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echolens serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; this machine alone if not given"
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--replicas", type=int, default=1, help="processes that search; they share one index")
    parser.add_argument(
        "--token-env", metavar="NAME", help="variable that holds the token to ask every client for"
    )
    parser.add_argument(
        "--allow-image-urls", action="store_true", help="let queries name a picture on the web"
    )
    parser.add_argument(
        "--allow-private-image-urls", action="store_true", help="also at addresses that are not public"
    )
    parser.add_argument("--rate", type=float, default=50, help="requests a second of one client; 0 for any")
    parser.add_argument("--poll-s", type=float, default=5, help="seconds between looks for another version")
    parser.add_argument("--no-page", action="store_true", help="the API alone")
    parser.add_argument(
        "--generator",
        metavar="G",
        help="pocket, a folder or OWNER/NAME of the hub: the page makes sounds of pictures, too",
    )
    parser.add_argument("--steps", type=int, default=50, help="of the generator's diffusion; 50 if not given")
    parser.add_argument("--set", help="the set of vectors to serve; that of the newest build if not given")
    return parser


def _settings(asked: argparse.Namespace, dataset: Dataset) -> ServiceSettings:
    from pipelines.serve.settings import ServiceLimits, ServiceSettings

    token = None
    if asked.token_env:
        token = os.environ.get(asked.token_env)
        if not token:
            raise ConfigError(f"{asked.token_env} is not set; put the token there, or leave --token-env out")
    urls = asked.allow_image_urls or asked.allow_private_image_urls
    if asked.allow_image_urls and dataset.contact is None:
        raise ConfigError(
            "pictures on the web are asked for with a contact and the dataset has none; "
            "add `contact:` to its file and build again, or leave --allow-image-urls out"
        )
    if asked.generator and asked.no_page:
        raise ConfigError("--generator is for the page, which --no-page leaves out; drop one of the two")
    generator = _generator(asked.generator, dataset) if asked.generator else None
    return ServiceSettings.with_token(
        token,
        host=asked.host,
        port=asked.port,
        replicas=asked.replicas,
        allow_image_urls=urls,
        allow_private_image_urls=asked.allow_private_image_urls,
        contact=dataset.contact,
        page=not asked.no_page,
        poll_s=asked.poll_s,
        limits=ServiceLimits(requests_a_s=asked.rate),
        generator=generator,
        steps=asked.steps,
    )


def _generator(name: str, dataset: Dataset) -> GeneratorSpec:
    """Return a generator; what else decides its sounds is as the dataset's file has it, where it names it."""
    from pipelines.compute.child_process import run_in_subprocess

    there = dataset.generator.model_dump() if name == dataset.generator.weights else {"weights": name}
    # A page makes one sound at a time.
    chosen: GeneratorSpec = run_in_subprocess(
        _chosen, check_content(GeneratorEntry, {**there, "batch_rows": 1}, "serve")
    )
    if chosen.info.licence:
        print(f"serve: {name} is under {chosen.info.licence}", file=sys.stderr)
    return chosen


def _chosen(_: Path, __: object, asked: GeneratorEntry) -> GeneratorSpec:
    from pipelines.generate.registry import choose_generator

    return choose_generator(asked, compiled=False)


if __name__ == "__main__":
    run(main)
