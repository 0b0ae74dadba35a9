"""cluster.yaml, the Dockerfile and the manifests: what Ray, Kubernetes and KubeRay would say of them.

KubeRay publishes no Python types; the fields below are those of its API reference for v1.7. The pods in it
are Kubernetes' own and are validated as such.
"""

import copy
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from tests.commands import HOME

KUBE = HOME / "jobs" / "kube"
KUBERNETES = "1.33"
VERSION = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["version"]
MANIFESTS = [HOME / "cluster.yaml", KUBE / "rayjob.yaml", KUBE / "cronjob.yaml"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AuthOptions(Strict):
    mode: Literal["disabled", "token"]
    secretName: str | None = None
    enableK8sTokenAuth: bool | None = None


class HeadGroup(Strict):
    rayStartParams: dict[str, str]
    template: dict[str, Any]
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = None


class WorkerGroup(Strict):
    groupName: str = Field(max_length=63)
    replicas: int = Field(ge=0)
    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=1)
    rayStartParams: dict[str, str]
    template: dict[str, Any]


class RayClusterSpec(Strict):
    rayVersion: str
    authOptions: AuthOptions
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]
    enableInTreeAutoscaling: bool | None = None


class RayJobSpec(Strict):
    entrypoint: str
    backoffLimit: int = Field(ge=0)
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int = Field(ge=0)
    activeDeadlineSeconds: int | None = None
    rayClusterSpec: RayClusterSpec


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: dict[str, Any]
    spec: RayJobSpec


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pods_of_rayjob() -> Iterator[dict[str, Any]]:
    cluster = RayJob.model_validate(documents(KUBE / "rayjob.yaml")[0]).spec.rayClusterSpec
    for group in [cluster.headGroupSpec, *cluster.workerGroupSpecs]:
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group.template}


def test_ray_takes_cluster_yaml():
    """Ray's schema takes it as it is, and with the defaults that `ray up` puts in."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((HOME / "cluster.yaml").read_text())
    validate_config(prepare_config(copy.deepcopy(config)))

    assert config["head_node_type"] in config["available_node_types"]
    assert {"CPU": 8, "GPU": 1} == config["available_node_types"]["encoders"]["resources"]


def test_ray_would_refuse_a_misspelt_key():
    """The schema that the test above relies on is strict."""
    import jsonschema
    from ray.autoscaler._private.util import validate_config

    config = yaml.safe_load((HOME / "cluster.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        validate_config(config | {"max_worker": 3})


@pytest.mark.parametrize("which", [0, 1], ids=["ConfigMap", "CronJob"])
def test_kubernetes_takes_the_cronjob(which):
    """Kubernetes' own schema, strictly: no key that it does not know."""
    kubernetes_validate.validate(documents(KUBE / "cronjob.yaml")[which], KUBERNETES, strict=True)


def test_only_one_refresh_runs_at_a_time():
    """A refresh that takes longer than the time between two is not joined by the next."""
    assert "Forbid" == documents(KUBE / "cronjob.yaml")[1]["spec"]["concurrencyPolicy"]


def test_kuberay_takes_the_rayjob():
    """Every field is one of KubeRay's, and every pod one of Kubernetes'."""
    pods = list(pods_of_rayjob())
    for pod in pods:
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)

    assert 3 == len(pods)


def test_a_misspelt_field_of_a_pod_is_found():
    """Strict means strict."""
    pod = next(pods_of_rayjob())
    pod["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_name_one_pinned_image(path):
    """The image is the version of this project, never `latest`."""
    images = set(re.findall(r"^\s*(?:- )?image: (\S+)", path.read_text(), re.MULTILINE))

    assert {f"echolens:{VERSION}"} == images


def test_rayjob_names_the_locked_ray():
    """KubeRay is told the Ray that the image holds."""
    locked = re.search(r"^ray(?:\[.*\])?==(\S+)", (HOME / "requirements.lock").read_text(), re.MULTILINE)
    spec = documents(KUBE / "rayjob.yaml")[0]["spec"]["rayClusterSpec"]

    assert locked is not None
    assert locked[1] == spec["rayVersion"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_hold_no_secret(path):
    """Keys and tokens come from secrets, roles and mounted files, by name."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))

    assert not re.search(r"AKIA[0-9A-Z]{16}|[0-9a-fA-F]{32}|password|PRIVATE KEY", text)
    assert not re.search(r"(TOKEN|SECRET|ACCESS_KEY)\w*\s*[:=]\s*[\w\"']+", text)


def test_dockerfile_installs_the_lock():
    """By hash, and every file that it copies is here and not held back by its ignore file."""
    text = (KUBE / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for word in line.split()]
    let_through = (KUBE / "Dockerfile.dockerignore").read_text().split()

    assert "--require-hashes --requirement requirements.lock" in text
    assert "requirements.lock" in copied
    assert [name for name in copied if not (HOME / name).exists() or f"!{name}" not in let_through] == []


def test_ray_uploads_no_rubbish():
    """`ray job submit --working-dir .` sends the code: no environment, no history, no data, no cookies."""
    ignored = (HOME / ".rayignore").read_text().split()

    assert {".git/", ".venv/", "/demo/", "/data/", "auth_token", ".env"} <= set(ignored)
