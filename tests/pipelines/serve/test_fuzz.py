"""Requests that a machine makes up from the OpenAPI document: whatever is sent, nothing breaks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Of each path; the summary is kept where this names a folder.
EXAMPLES = os.environ.get("ECHOLENS_FUZZ_EXAMPLES", "60")
KEEP = os.environ.get("ECHOLENS_ARTEFACTS")

# What schemathesis is to look at. Not that every wrong request is refused: clip-retrieval's clients send keys
# that only their own back end knows, and those are let be.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_request_breaks_the_service(served, tmp_path):
    """No 5xx, and every answer is of a status, a type and a shape that the document names."""
    ended = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            "--config-file",
            _config(tmp_path),
            "run",
            f"{served.url}/v1/openapi.json",
            f"--checks={CHECKS}",
            f"--max-examples={EXAMPLES}",
            "--phases=examples,coverage,fuzzing",
            "--continue-on-failure",
            "--seed=1",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    if KEEP:
        Path(KEEP).mkdir(parents=True, exist_ok=True)
        (Path(KEEP) / "fuzz.txt").write_text(ended.stdout)

    assert 0 == ended.returncode, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert 500 < int(re.search(r"([\d,]+) generated", ended.stdout)[1].replace(",", ""))


def _config(folder):
    """A file of its own: one in a folder above would be taken else."""
    file = folder / "schemathesis.toml"
    file.write_text("")
    return file
