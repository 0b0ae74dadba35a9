"""How long a service takes to its first answer, in parts: `starting.py ROOT PORT`."""

import json
import sys
import time

import httpx

from jobs.shared.job import load
from pipelines.run.ray_plan import Session
from pipelines.serve.http_server import check_free
from pipelines.serve.settings import ServiceSettings

if __name__ == "__main__":
    dataset = load(sys.argv[1])
    settings = ServiceSettings(port=int(sys.argv[2]), page=False)
    took_s = {}
    # Ray's own words go to stderr.
    told = sys.stdout
    with Session() as session:
        began = time.perf_counter()
        session.start()
        from ray import serve

        from pipelines.serve.deployments import run_service

        took_s["ray"] = time.perf_counter() - began
        check_free(settings)
        began = time.perf_counter()
        # Its controller is Ray's part, and so is the first process of ours that imports it.
        serve.start(proxy_location="Disabled")

        @serve.deployment
        class Nothing:
            pass

        serve.run(Nothing.bind(), name="nothing", route_prefix=None)
        serve.delete("nothing")
        took_s["serve"] = time.perf_counter() - began
        began = time.perf_counter()
        with run_service(dataset, settings) as url:
            key = {"key": "0" * 8, "k": 1}
            assert 200 == httpx.post(f"{url}/v1/lookup", json=key).status_code
            took_s["service"] = time.perf_counter() - began
    print(json.dumps(took_s), file=told)
