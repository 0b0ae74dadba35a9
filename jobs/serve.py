"""Answer over HTTP: an API, clip-retrieval's paths, and a page to search with.

echolens serve /data/animals
echolens serve /data/animals --port 9000 --replicas 4 --no-page
echolens serve /data/animals --generator cvssp/audioldm-s-full-v2
ECHOLENS_TOKEN=$(openssl rand -hex 32) echolens serve /data/animals --host 0.0.0.0 --token-env ECHOLENS_TOKEN

Only this machine can ask, unless --host says otherwise; others then need a token. A version that is
published meanwhile is served without a restart. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.shared.generation import resolve_generator
from jobs.shared.generator_options import add_params, collect_params, with_generator
from jobs.shared.job import load, run
from jobs.shared.trust import add_trust, check_uses, read_trust
from pipelines.errors import ConfigError
from pipelines.run.ray_plan import Session
from pipelines.store import versions
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.places import check_places, find_fetch_keys
from pipelines.store.root import Root
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.generate.generator import ChosenGenerator
    from pipelines.serve.settings import ServiceLimits, ServiceSettings


def main(argv: Sequence[str]) -> None:
    """Serve a dataset until a signal ends it."""
    args = _make_parser().parse_args(argv)
    from pipelines.serve.http_server import check_free

    dataset = load(args.target, trust=read_trust(args))
    root = Root.from_dataset(dataset)
    dataset = with_vector_set(root, dataset, args.set)
    check_uses(dataset, "serve")
    # Checked before Ray is started: without a version there is nothing to serve.
    version = versions.read_current(root, dataset.encode.set)
    settings = _make_settings(args, dataset)
    check_free(settings)
    stop = threading.Event()
    # While Ray is up, `sys.stdout` is redirected to stderr; the line with the address is this job's result.
    stdout = sys.stdout
    with Session() as session:
        session.start()
        # Ray installs handlers that end the process as if it had crashed.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        from pipelines.serve.deployments import run_service

        with run_service(dataset, settings) as address:
            what = "the page and the API" if settings.page else "the API"
            print(f"{dataset.name}, version {version.number}: {what} at {address}", file=stdout, flush=True)
            if settings.is_open:
                print(
                    "serve: --allow-host stops sites whose name is pointed here (rebinding) and nobody else: "
                    f"whoever can connect to {settings.host}:{settings.port} is answered",
                    file=sys.stderr,
                )
            stop.wait()


def _make_parser() -> argparse.ArgumentParser:
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
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that the service is asked by; it stops sites whose name is pointed here (rebinding) and "
        "nobody else: whoever can connect is answered",
    )
    parser.add_argument(
        "--proxy-headers",
        action="append",
        default=[],
        metavar="FROM",
        help="address or network of a reverse proxy, whose X-Forwarded-For is believed; nobody's by default",
    )
    parser.add_argument(
        "--allow-image-urls", action="store_true", help="let queries name a picture on the web"
    )
    parser.add_argument(
        "--allow-private-image-urls", action="store_true", help="also at addresses that are not public"
    )
    parser.add_argument("--rate", type=float, default=50, help="requests a second of one client; 0 for any")
    parser.add_argument(
        "--connections", type=int, help="open connections of a replica; of one client a quarter of them"
    )
    parser.add_argument("--streams", type=int, help="open pages of a replica; of one client half of them")
    parser.add_argument("--poll-s", type=float, default=5, help="seconds between looks for another version")
    parser.add_argument("--no-page", action="store_true", help="the API alone")
    parser.add_argument(
        "--generator",
        metavar="G",
        help="NAME, NAME:TRAINED, module:Class, or AudioLDM's weights: the page generates, too",
    )
    add_params(parser)
    parser.add_argument("--set", help="the set of vectors to serve; that of the newest build if not given")
    add_trust(parser)
    return parser


def _make_settings(args: argparse.Namespace, dataset: Dataset) -> ServiceSettings:
    from pipelines.generate.params import make_params
    from pipelines.serve.settings import ServiceSettings

    token = None
    if args.token_env:
        token = os.environ.get(args.token_env)
        if not token:
            raise ConfigError(f"{args.token_env} is not set; put the token there, or leave --token-env out")
    urls = args.allow_image_urls or args.allow_private_image_urls
    if args.allow_image_urls and dataset.contact is None:
        raise ConfigError(
            "pictures on the web are asked for with a contact and the dataset has none; "
            "add `contact:` to its file and build again, or leave --allow-image-urls out"
        )
    if args.allow_image_urls:
        check_places(dataset.given_trust, ["contact"])
    if args.generator and args.no_page:
        raise ConfigError("--generator is for the page, which --no-page leaves out; drop one of the two")
    if args.steps is not None and not 1 <= args.steps <= 1_000:
        raise ConfigError(f"--steps is {args.steps}; give 1 to 1,000: 10 are a draft, 200 the best")
    generator = _resolve_generator(args.generator, dataset) if args.generator else None
    params = (
        make_params(generator.spec.params, collect_params(args), generator.info.name) if generator else None
    )
    return ServiceSettings.with_token(
        token,
        host=args.host,
        port=args.port,
        replicas=args.replicas,
        allow_image_urls=urls,
        allow_private_image_urls=args.allow_private_image_urls,
        contact=dataset.contact,
        page=not args.no_page,
        poll_s=args.poll_s,
        limits=_make_limits(args),
        allow_hosts=tuple(args.allow_host),
        proxies=tuple(args.proxy_headers),
        generator=generator,
        params=params,
    )


def _make_limits(args: argparse.Namespace) -> ServiceLimits:
    from pipelines.serve.budgets import Cap
    from pipelines.serve.settings import ServiceLimits

    given: dict[str, Any] = {}
    if args.connections is not None:
        given["connections"] = Cap(args.connections, max(1, args.connections // 4))
    if args.streams is not None:
        given["streams"] = Cap(args.streams, max(1, args.streams // 2))
    return ServiceLimits(requests_a_s=args.rate, **given)


def _resolve_generator(name: str, dataset: Dataset) -> ChosenGenerator:
    """Return a generator; its other keys are those of the dataset's file, if that names the same one."""
    dataset = with_generator(dataset, name, {}, "serve")
    if "batch_rows" in type(dataset.generator).model_fields:
        # A page makes one sample at a time.
        dataset = with_generator(dataset, None, {"batch_rows": 1}, "serve")
    decoded = [key for key in find_fetch_keys(dataset, asks_web=False) if key == "fetch.max_pixels"]
    check_places(dataset.given_trust, decoded)
    generator = resolve_generator(dataset, compiled=False)
    if generator.info.licence:
        print(f"serve: {name} is under {generator.info.licence}", file=sys.stderr)
    return generator


if __name__ == "__main__":
    run(main)
