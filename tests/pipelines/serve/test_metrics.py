"""Any replica reports the counters of all."""

from pipelines.serve.metrics import ServiceMetrics


def test_replicas_of_a_folder_are_summed(tmp_path, monkeypatch):
    """The counters lie in the folder, which is made; the newest version number counts."""
    folder = tmp_path / "metrics"
    # So that it is as before after this test.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    metrics = ServiceMetrics.open(folder)
    metrics.requests.labels("/v1/lookup", 200).inc(2)
    metrics.answer_s.labels("text").observe(0.03)
    metrics.version.set(7)
    metrics.wrong_tokens.inc()
    text, content_type = metrics.render()
    lines = text.decode().splitlines()

    assert content_type.startswith("text/plain")
    assert 'echolens_requests_total{path="/v1/lookup",status="200"} 2.0' in lines
    assert 'echolens_answer_seconds_bucket{le="0.02",query="text"} 0.0' in lines
    assert 'echolens_answer_seconds_bucket{le="0.05",query="text"} 1.0' in lines
    assert "echolens_version 7.0" in lines
    assert "echolens_wrong_tokens_total 1.0" in lines
