"""A Serve application that answers a constant to every POST until stdin ends: `constant.py PORT REPLICAS`."""

import logging
import os
import sys

LOGGING = {"log_level": "WARNING", "enable_access_log": False}
# As long as ten hits.
ANSWER = b'{"hits": "' + b"x" * 3000 + b'"}'

if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from fastapi import FastAPI, Request, Response
    from ray import serve

    port, replicas = int(sys.argv[1]), int(sys.argv[2])
    app = FastAPI()

    @serve.deployment(num_replicas=replicas, max_ongoing_requests=128)
    @serve.ingress(app)
    class Constant:
        @app.post("/v1/lookup")
        async def answer(self, request: Request) -> Response:
            await request.body()
            return Response(ANSWER, media_type="application/json")

    ray.init(
        "local",
        num_cpus=max(2, os.cpu_count() or 1),
        object_store_memory=256 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=LOGGING)
    serve.run(Constant.bind(), logging_config=LOGGING)
    print("ready", flush=True)
    sys.stdin.read()
    serve.shutdown()
