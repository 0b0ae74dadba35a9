"""Prometheus metrics. Every replica has its own counters; each serves the sums of all on its node."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Seconds: FAISS answers within the first few buckets, an encoder on a CPU within the last few.
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class ServiceMetrics:
    """The counters of one replica, in files of a folder, so that those of a dead replica still count."""

    folder: Path
    requests: Any
    answer_s: Any
    batch_queries: Any
    refused: Any
    wrong_tokens: Any
    version: Any
    switches: Any

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the metrics of this process.

        Args:
            folder: shared by all replicas of a node; created if missing.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        import prometheus_client as prometheus
        from prometheus_client import values

        # Ray may have imported prometheus_client before the variable was set.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        own = prometheus.CollectorRegistry()
        return cls(
            folder,
            prometheus.Counter(
                "echolens_requests", "requests by path and status", ("path", "status"), registry=own
            ),
            prometheus.Histogram(
                "echolens_answer_seconds",
                "time to an answer, by what was asked with",
                ("query",),
                buckets=_BUCKETS_S,
                registry=own,
            ),
            prometheus.Histogram(
                "echolens_batch_queries",
                "queries that were answered together",
                buckets=_BATCHES,
                registry=own,
            ),
            prometheus.Counter(
                "echolens_refused", "requests that the gate refused", ("status",), registry=own
            ),
            prometheus.Counter("echolens_wrong_tokens", "requests with a wrong token", registry=own),
            prometheus.Gauge(
                "echolens_version", "the version that answers", registry=own, multiprocess_mode="mostrecent"
            ),
            prometheus.Counter("echolens_switches", "switches to another version", ("ended",), registry=own),
        )

    def render(self) -> tuple[bytes, str]:
        """Return the counters of all replicas of the node as text, and its content type."""
        import prometheus_client as prometheus
        from prometheus_client import multiprocess

        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(self.folder))  # type: ignore[no-untyped-call]
        return prometheus.generate_latest(registry), prometheus.CONTENT_TYPE_LATEST
