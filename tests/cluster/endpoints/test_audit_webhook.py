"""The audit webhook of a real API server, with the policy and the kubeconfig that are shipped."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually, installation
from sandbox.pki import Authority
from sandbox.runtime import free_ports
from tests.cluster.checklist import audit_command
from tests.cluster.namespace import Space, password
from tests.support.console import Console
from tests.support.forked_cli import CONSTANTS
from tests.support.objects import Objects
from tests.support.operator import Operator

ROOT = Path(__file__).parents[3]
AUDIT = ROOT / "manifests" / "monitoring" / "audit"
NAME = "keyturn-audit.keyturn-system.svc"
_OFTEN = "keyturn.endpoints.audit.audit._SYNC_INTERVAL=2"
"""The record is written each two seconds, not each minute."""


@dataclass
class Audited:
    """A cluster whose API server tells an operator what it was asked."""

    plane: ControlPlane
    kubectl: Kubectl
    objects: Objects
    operator: Operator
    folder: Path

    def count(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that have these labels."""
        _, text = self.operator.get("/metrics")
        return sum(
            sample.value
            for family in parse(text)
            for sample in family.samples
            if sample.name == f"keyturn_{name}" and labels.items() <= sample.labels.items()
        )

    def comes_to(self, more: float, before: float, name: str, **labels: str) -> None:
        eventually(
            lambda: self.count(name, **labels) == before + more,
            f"{name} {labels} grew by {more}",
            instead=lambda: self.count(name, **labels) - before,
        )

    def account(self, namespace: str, name: str) -> Kubectl:
        """Return kubectl of a new ServiceAccount that may read the Secrets of its namespace."""
        self.kubectl("create", "serviceaccount", name, "-n", namespace)
        role = f"--serviceaccount={namespace}:{name}"
        self.kubectl("create", "rolebinding", name, "-n", namespace, "--clusterrole=admin", role)
        path = self.folder / f"{namespace}-{name}"
        return Kubectl(self.plane.service_account_kubeconfig(namespace, name, path))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    (port,) = free_ports(1)
    _write_files(folder, port)
    flags = (
        f"--audit-policy-file={AUDIT / 'apiserver' / 'policy.yaml'}",
        f"--audit-webhook-config-file={folder / 'webhook.yaml'}",
        "--audit-webhook-batch-max-wait=200ms",
        "--audit-webhook-initial-backoff=500ms",
    )
    with ControlPlane.start(apiserver_flags=flags) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        installation.install_crds(kubectl)
        installation.install(kubectl)
        kubectl("apply", "-f", str(AUDIT / "rbac.yaml"))
        kubectl("apply", "-f", str(ROOT / "manifests" / "components" / "encryption-proof" / "metrics.yaml"))
        kubectl("create", "secret", "generic", "any", "--from-literal=one=1")
        account = plane.service_account_kubeconfig("keyturn-system", "keyturn", folder / "operator")
        options = (
            "--all-namespaces",
            f"--audit-port={port}",
            f"--audit-cert={folder / 'server.crt'}",
            f"--audit-key={folder / 'server.key'}",
            f"--audit-token-file={folder / 'token'}",
            "--audit-learning=0s",
            "--prove-encryption",
        )
        environment = {"POD_NAMESPACE": "keyturn-system", CONSTANTS: _OFTEN}
        with (
            Operator(account, folder / "log", *options, env=environment) as operator,
            Objects.of(plane.kubeconfig) as objects,
        ):
            operator.wait_for_log("leading")
            yield Audited(plane, kubectl, objects, operator, folder)


def _write_files(folder: Path, port: int) -> None:
    authority = Authority.new("audit")
    authority.pair.write(folder, "ca")
    authority.issue("keyturn", names=[NAME, "127.0.0.1"]).write(folder, "server")
    (folder / "token").write_text(secrets.token_hex(32))
    text = (AUDIT / "apiserver" / "webhook.yaml").read_text()
    text = text.replace("ADDRESS:8443", f"127.0.0.1:{port}").replace("/etc/kubernetes/keyturn", str(folder))
    (folder / "webhook.yaml").write_text(text)


@pytest.fixture
def space(audited: Audited) -> Iterator[Space]:
    """A namespace with a managed secret."""
    name = f"test-{secrets.token_hex(4)}"
    installation.create_namespace(audited.kubectl, name)
    space = Space(audited.objects, name)
    space.managed(password())
    eventually(lambda: space.find("Secret", "auth") is not None, "the Secret")
    yield space
    audited.kubectl("delete", "namespace", name, "--wait=false")
    assert [line for line in audited.operator.lines() if line.get("level") == "error"] == []


def test_a_service_account_that_reads_a_managed_secret_is_counted_and_named(
    audited: Audited, space: Space
) -> None:
    reader = audited.account(space.namespace, "reader")
    before = audited.count("secret_access_total", verb="get", subject_kind="serviceaccount")

    reader("get", "secret", "auth", "-n", space.namespace, "-o", "name")

    audited.comes_to(1, before, "secret_access_total", verb="get", subject_kind="serviceaccount")
    eventually(lambda: len(told(audited, space)) == 1, "it is told")
    (line,) = told(audited, space)
    assert (line["reason"], line["subject"], line["secret"]) == (
        "NewReader",
        f"system:serviceaccount:{space.namespace}:reader",
        "auth",
    )


def told(audited: Audited, space: Space) -> list[dict[str, Any]]:
    """Return what the log says of accounts of a namespace."""
    subject = f"system:serviceaccount:{space.namespace}:"
    return [
        line
        for line in audited.operator.lines()
        if line["event"] == "unusual access" and line["subject"].startswith(subject)
    ]


def test_own_reads_that_come_back_prove_that_access_is_logged(audited: Audited, space: Space) -> None:
    del space
    point = {"point": "access-log"}

    eventually(lambda: audited.count("checklist", **point, verdict="Pass") == 1, "it is proven")

    assert audited.count("checklist", **point, verdict="Unknown") == 0


def test_encryption_at_rest_is_proven_by_the_operator_itself(audited: Audited) -> None:
    point = {"point": "at-rest"}

    eventually(lambda: audited.count("checklist", **point, verdict="Pass") == 1, "it is proven")


def test_a_list_and_a_refused_read_are_counted(audited: Audited, space: Space) -> None:
    # The namespace of a test before is deleted by a ServiceAccount, which lists its Secrets.
    eventually(lambda: not leaving(audited.objects), "the end of namespaces that are being deleted")
    reader = audited.account(space.namespace, "lister")
    nobody = audited.plane.service_account_kubeconfig(space.namespace, "default", audited.folder / "nobody")
    lists = audited.count("secret_access_total", verb="list", subject_kind="serviceaccount")
    refused = audited.count("secret_access_refused_total", subject_kind="serviceaccount")

    reader("get", "secrets", "-n", space.namespace, "-o", "name")
    assert Kubectl(nobody).run("get", "secret", "auth", "-n", space.namespace).returncode != 0

    audited.comes_to(1, lists, "secret_access_total", verb="list", subject_kind="serviceaccount")
    audited.comes_to(1, refused, "secret_access_refused_total", subject_kind="serviceaccount")


def leaving(objects: Objects) -> list[str]:
    """Name the namespaces that are being deleted."""
    metadata = [one["metadata"] for one in objects.all("Namespace", "")]
    return [one["name"] for one in metadata if "deletionTimestamp" in one]


def test_a_refused_login_is_counted_and_what_is_no_secret_is_not_even_sent(
    audited: Audited, space: Space
) -> None:
    before, events = audited.count("authentication_failures_total"), audited.count("audit_events_total")
    kubeconfig = yaml.safe_load(audited.plane.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": secrets.token_hex(16)}
    stranger = audited.folder / "stranger"
    stranger.write_text(yaml.safe_dump(kubeconfig))

    for _ in range(50):
        audited.objects.find("ConfigMap", space.namespace, "nothing")
    assert Kubectl(stranger).run("get", "--raw", "/api/v1/namespaces").returncode != 0

    audited.comes_to(1, before, "authentication_failures_total", source="apiserver")
    assert audited.count("audit_events_total") - events < 50


def test_own_reads_are_not_counted(audited: Audited, space: Space) -> None:
    eventually(lambda: (space.condition("Ready") or {}).get("status") == "True", "it is ready")
    before = audited.count("secret_access_total", verb="update")
    created = audited.count("audit_events_total")

    space.edit("Secret", "auth", lambda body: body["data"].clear())

    audited.comes_to(1, before, "secret_access_total", verb="update")
    eventually(lambda: bool(space.get("Secret", "auth")["data"]), "it is put back")
    eventually(lambda: audited.count("audit_events_total") >= created + 2, "the repair was told as well")
    assert audited.count("secret_access_total", verb="update") == before + 1


def test_who_is_known_is_known_after_a_restart(audited: Audited, space: Space) -> None:
    steady, fresh = (audited.account(space.namespace, name) for name in ("steady", "fresh"))
    steady("get", "secret", "auth", "-n", space.namespace, "-o", "name")
    eventually(lambda: len(told(audited, space)) == 1, "it is told")

    with audited.operator.away():
        record = audited.objects.get("Secret", "keyturn-system", "keyturn-access")
        assert record["type"] == "keyturn.dev/access"
    steady("get", "secret", "auth", "-n", space.namespace, "-o", "name")
    fresh("get", "secret", "auth", "-n", space.namespace, "-o", "name")

    eventually(lambda: bool(told(audited, space)), "the stranger is told")
    assert [line["subject"].rpartition(":")[2] for line in told(audited, space)] == ["fresh"]


def test_the_report_of_an_emergency_names_who_has_read(audited: Audited, space: Space) -> None:
    audited.account(space.namespace, "thief")("get", "secret", "auth", "-n", space.namespace, "-o", "name")
    eventually(lambda: len(told(audited, space)) == 1, "it is told")
    spec = {"reason": "a token was found in a chat", "names": ["auth"]}

    space.create({"kind": "EmergencyRotation", "metadata": {"name": "inc"}, "spec": spec})

    eventually(lambda: space.find("ConfigMap", "inc-report") is not None, "the report")
    lines = space.get("ConfigMap", "inc-report")["data"]["report.md"].splitlines()
    assert [line.split(" | ")[2:4] + line.split(" | ")[6:] for line in lines if ":thief" in line] == [
        ["`auth`", "get", "1", "new |"]
    ]


# What `keyturn audit` makes of it


def test_a_read_that_is_recorded_proves_that_access_is_logged(audited: Audited, space: Space) -> None:
    console = Console(audited.plane.kubeconfig, space.namespace)
    before = record(audited)
    audited.account(space.namespace, "somebody")("get", "secret", "auth", "-n", space.namespace, "-o", "name")
    eventually(lambda: record(audited) not in {None, before}, "somebody's read is recorded")

    done = audit_command.audited(console, "--only", "access-log")

    assert done.code == 0
    assert "reads of managed Secrets are recorded, the last one at" in done.found("Pass")[0][1]


def record(audited: Audited) -> str | None:
    """Return the version of the record of readers."""
    found = audited.objects.find("Secret", "keyturn-system", "keyturn-access")
    return str(found["metadata"]["resourceVersion"]) if found else None


def test_whoever_may_not_see_the_record_is_told_what_is_missing(audited: Audited, space: Space) -> None:
    audited.account(space.namespace, "auditor")
    console = Console(audited.folder / f"{space.namespace}-auditor", space.namespace)

    done = audit_command.audited(console, "--only", "access-log")

    assert done.code == 2
    assert done.found("Unknown")
