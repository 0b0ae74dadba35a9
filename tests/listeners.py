"""The ports that a process and its children listen at, and what answers there without a token."""

import http.client
import ipaddress
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass

import grpc
import psutil

# One call that reads or ends something, of each of Ray's servers, and of Serve's replicas.
_CALLS = (
    "ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "ray.rpc.InternalKVGcsService/InternalKVKeys",
    "ray.rpc.NodeManagerService/GetSystemConfig",
    "ray.rpc.ObjectManagerService/FreeObjects",
    "ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "ray.rpc.CoreWorkerService/PushTask",
    "ray.rpc.CoreWorkerService/KillActor",
    "ray.rpc.ReporterService/HealthCheck",
    "ray.serve.ASGIService/HandleRequest",
)
# Harmless with a token, and answered by one server each.
_HARMLESS = (
    "ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "ray.rpc.NodeManagerService/GetSystemConfig",
    "ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "ray.rpc.ReporterService/HealthCheck",
)
_PATHS = ("/", "/get_or_create_runtime_env", "/api/job_agent/jobs/", "/logs")
_WITHIN_S = 5


@dataclass(frozen=True)
class Listener:
    """A port and the process that listens there."""

    owner: str
    address: str
    port: int

    @property
    def is_loopback(self):
        address = ipaddress.ip_address(self.address)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def find_listeners(pid):
    """Return the listeners of a process and all its children."""
    found = []
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            found += [
                Listener(each.cmdline()[0], one.laddr.ip, one.laddr.port)
                for one in each.net_connections("inet")
                if one.status == psutil.CONN_LISTEN
            ]
    return found


def call_all(port, token, calls=_CALLS):
    """Return call -> status for the calls that a port knows; {} where it speaks no gRPC."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    statuses = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for call in calls:
            try:
                channel.unary_unary(f"/{call}")(b"", timeout=_WITHIN_S, metadata=metadata)
                statuses[call] = "OK"
            except grpc.RpcError as error:
                statuses[call] = error.code().name
                if statuses[call] == "UNAVAILABLE":
                    return {}
    return {call: status for call, status in statuses.items() if status != "UNIMPLEMENTED"}


def call_harmless(port, token):
    """Return the statuses of calls that change nothing."""
    return call_all(port, token, _HARMLESS)


def get_all(port, token):
    """Return path -> the status and the beginning of the answer; {} where a port speaks no HTTP."""
    answers = {}
    for path in _PATHS:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:
                answers[path] = answer.status, answer.read(200).decode()
        except urllib.error.HTTPError as error:
            answers[path] = error.code, ""
        except (OSError, http.client.HTTPException):
            return {}
    return answers
