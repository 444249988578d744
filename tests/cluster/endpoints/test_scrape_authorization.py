"""Metrics for those only who may get /metrics, as a real API server judges tokens."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.harness import Kubectl, eventually
from sandbox.pki import Authority
from tests.conftest import ROOT
from tests.support.operator import Operator

_COMPONENT = ROOT / "manifests" / "components" / "metrics-auth"
_AUDIENCE = "--audience=keyturn-metrics"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    authority = Authority.new("metrics")
    authority.pair.write(folder, "ca")
    authority.issue("keyturn", names=["127.0.0.1"]).write(folder, "server")
    return folder


@pytest.fixture(scope="module")
def readers(kubectl: Kubectl) -> Iterator[str]:
    """A namespace with two ServiceAccounts: `prometheus` may get /metrics, `stranger` may not."""
    namespace = "test-metrics-login"
    kubectl("create", "namespace", namespace)
    for name in ("prometheus", "stranger"):
        kubectl("create", "serviceaccount", name, "-n", namespace)
    kubectl("apply", "-f", str(_COMPONENT / "reader.yaml"))
    bound = f"--serviceaccount={namespace}:prometheus"
    kubectl("create", "clusterrolebinding", namespace, "--clusterrole=keyturn-metrics-reader", bound)
    yield namespace
    kubectl("delete", "clusterrolebinding", namespace)
    kubectl("delete", "-f", str(_COMPONENT / "reader.yaml"))
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def rights(kubectl: Kubectl, operator_kubeconfig: Path) -> Iterator[Path]:
    """The kubeconfig of the operator, with what the component gives."""
    kubectl("apply", "-f", str(_COMPONENT / "rbac.yaml"))
    eventually(lambda: may_ask(kubectl), "the right to ask")
    yield operator_kubeconfig
    kubectl("delete", "-f", str(_COMPONENT / "rbac.yaml"))


@pytest.fixture(scope="module")
def guarded(operator: Operator, rights: Path, folder: Path) -> Iterator[Operator]:
    """A replica that stands by, and asks in plain."""
    with beside(operator, rights, folder / "plain.log") as other:
        yield other


@pytest.fixture(scope="module")
def encrypted(operator: Operator, rights: Path, folder: Path) -> Iterator[Operator]:
    """A replica that stands by, and asks by https."""
    files = (f"--metrics-cert={folder / 'server.crt'}", f"--metrics-key={folder / 'server.key'}")
    with beside(operator, rights, folder / "tls.log", *files) as other:
        yield other


@pytest.fixture
def powerless(rights: Path, kubectl: Kubectl) -> Iterator[Path]:
    """The kubeconfig of the operator, without what the component gives."""
    kubectl("delete", "-f", str(_COMPONENT / "rbac.yaml"))
    eventually(lambda: not may_ask(kubectl), "the right to be gone")
    yield rights
    kubectl("apply", "-f", str(_COMPONENT / "rbac.yaml"))
    eventually(lambda: may_ask(kubectl), "the right to be back")


def may_ask(kubectl: Kubectl) -> bool:
    account = "--as=system:serviceaccount:keyturn-system:keyturn"
    reviews = ("tokenreviews.authentication.k8s.io", "subjectaccessreviews.authorization.k8s.io")
    return all(kubectl.run("auth", "can-i", "create", one, account).returncode == 0 for one in reviews)


@contextmanager
def beside(leader: Operator, kubeconfig: Path, log: Path, *options: str) -> Iterator[Operator]:
    assert leader.returncode is None  # it leads, and goes on doing so
    here = {"POD_NAMESPACE": "keyturn-system"}
    with Operator(kubeconfig, log, "--all-namespaces", "--metrics-auth", *options, env=here) as other:
        other.wait_for_log("watching")
        yield other


def token(kubectl: Kubectl, namespace: str, name: str, *options: str) -> str:
    """Make a token as a person does: for the metrics, or with other options than that."""
    return kubectl("create", "token", name, "-n", namespace, *(options or (_AUDIENCE,))).strip()


def scrape(operator: Operator, token: str = "", tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    port = operator.wait_for_log("started")["metrics_port"]
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/metrics"
    request = urllib.request.Request(url, headers=shown)  # noqa: S310  # it is ours
    try:
        with urllib.request.urlopen(request, timeout=10, context=tls) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_who_is_bound_to_the_role_reads_them(guarded: Operator, kubectl: Kubectl, readers: str) -> None:
    mine = token(kubectl, readers, "prometheus")
    eventually(lambda: scrape(guarded, mine)[0] == 200, "the metrics", timeout=30)

    status, text = scrape(guarded, mine)
    assert (status, "keyturn_build_info{" in text) == (200, True)


def test_who_is_not_gets_a_message(guarded: Operator, kubectl: Kubectl, readers: str) -> None:
    name = f"system:serviceaccount:{readers}:stranger"

    assert scrape(guarded, token(kubectl, readers, "stranger")) == (
        403,
        f"{name} may not get /metrics: bind the ClusterRole keyturn-metrics-reader to it\n",
    )


def test_without_a_good_token_nothing_is_reported(guarded: Operator, kubectl: Kubectl, readers: str) -> None:
    spoiled = token(kubectl, readers, "prometheus")[:-8] + "AAAAAAAA"

    assert [scrape(guarded)[0], scrape(guarded, spoiled)[0]] == [401, 401]


def test_a_token_that_opens_the_api_server_is_taken_by_https_only(
    guarded: Operator, encrypted: Operator, kubectl: Kubectl, readers: str, folder: Path
) -> None:
    tls = ssl.create_default_context(cafile=folder / "ca.crt")
    wide = token(kubectl, readers, "prometheus", "--duration=1h")  # as pods have it
    eventually(lambda: scrape(encrypted, wide, tls)[0] == 200, "the metrics by https", timeout=30)

    assert scrape(guarded, wide)[0] == 401
    assert scrape(encrypted, token(kubectl, readers, "prometheus"), tls)[0] == 200
    assert scrape(encrypted, "", tls)[0] == 401


def test_probes_need_no_token(guarded: Operator) -> None:
    assert guarded.get("/livez", health=True) == (200, "ok\n")


def test_no_token_is_logged(guarded: Operator, kubectl: Kubectl, readers: str) -> None:
    good, bad = token(kubectl, readers, "prometheus"), token(kubectl, readers, "stranger")
    spoiled = f"{token(kubectl, readers, 'prometheus')}x"
    for one in (good, bad, spoiled):
        scrape(guarded, one)
    told = guarded.log.read_text()

    assert "metrics login refused" in told
    assert [part for one in (good, bad, spoiled) for part in one.split(".") if part in told] == []


def test_without_the_component_it_is_said_what_to_apply(
    operator: Operator, powerless: Path, kubectl: Kubectl, readers: str, tmp_path: Path
) -> None:
    with beside(operator, powerless, tmp_path / "powerless.log") as other:
        other.wait_for_log("permission missing")
        status, said = scrape(other, token(kubectl, readers, "prometheus"))
        missing = [line for line in other.lines() if line["event"] == "permission missing"]

    assert (status, "apply manifests/components/metrics-auth" in said) == (503, True)
    assert {one["manifest"] for one in missing} == {"manifests/components/metrics-auth/rbac.yaml"}
