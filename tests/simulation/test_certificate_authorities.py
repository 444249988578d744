"""A CA and a certificate that it signs, each of its own ManagedSecret: in emergencies, and after its renewal."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from keyturn.api.emergency import AffectedState
from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.labels import ROTATE
from keyturn.kube import paths
from tests.simulation.simulated_cluster import KEY, MANAGED, SECOND, TARGET, Cluster, Died

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.emergency.progress import Affected

CA = ObjectKey("shop", "ca")
CA_MANAGED, CA_TARGET = paths.managed_secret("shop", "ca"), paths.secret("shop", "ca")
LEAK = EmergencyKey("shop", "leak")
SIGNED: dict[str, Any] = {"certificate": {"dnsNames": ["orders"], "issuer": {"secretRef": {"name": "ca"}}}}
AUTHORITY: dict[str, Any] = {"certificate": {"isCA": True, "commonName": "Shop CA", "duration": "3650d"}}


def spec_of(made: dict[str, Any]) -> dict[str, Any]:
    return {"data": [{"name": "tls", "generate": made}], "target": {"type": "kubernetes.io/tls"}}


class Signing(Cluster):
    """A cluster with a CA and a certificate; `looks` has the order in which the operator looks at both."""

    def __init__(self, looks: Iterable[ObjectKey] = (KEY, CA)) -> None:
        super().__init__(spec_of(SIGNED))
        self.looks = looks
        self.declared: str | None = None
        metadata = {"name": "ca", "namespace": "shop", "uid": "uid-ca", "generation": 1, "annotations": {}}
        self.objects[CA_MANAGED] = self._stamp({"metadata": metadata, "spec": spec_of(AUTHORITY)})

    def tell(self) -> None:
        super().tell()
        self.context.cache.put_managed(self.objects[CA_MANAGED])

    def suspend(self, *, suspended: bool) -> None:
        body = self.objects[CA_MANAGED]
        body["spec"]["suspend"] = suspended
        body["metadata"]["generation"] += 1
        self._stamp(body)

    def rotate_ca(self, path: str = CA_MANAGED) -> None:
        body = self.objects[path]
        body["metadata"]["annotations"] = {ROTATE: str(self.now)}
        self._stamp(body)

    def certificate(self, path: str, key: str = "tls.crt") -> x509.Certificate:
        return self.certificates(path, key)[0]

    def certificates(self, path: str, key: str) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(base64.b64decode(self.objects[path]["data"][key]))

    def is_signed(self) -> bool:
        """Say whether the published CA has signed the published certificate, and nothing else is trusted."""
        leaf, authority = self.certificate(TARGET), self.certificate(CA_TARGET)
        try:
            leaf.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001  # by another one
            return False
        return self.certificates(TARGET, "ca.crt") == [authority]

    async def run(self, passes: int = 12) -> None:
        for _ in range(passes):
            for key in self.looks:
                self.tell()
                self.now += SECOND
                await reconcile(key, self.memory, self.context)

    async def declare(self, *names: str, **given: Any) -> None:
        self.declared = self.declared or self.now.replace(microsecond=0).isoformat()
        created = self.declared
        metadata = {"name": "leak", "namespace": "shop", "uid": "uid-of-leak", "creationTimestamp": created}
        spec = {"reason": "the key of the CA leaked", "names": list(names), **given}
        self.context.cache.emergencies.put(LEAK, {"metadata": metadata, "spec": spec, "status": {}})

    def progress(self, key: ObjectKey = KEY) -> Affected:
        found = self.memory.emergencies.progress(key, "uid-of-leak")
        assert found is not None
        return found


async def signed(*looks: ObjectKey) -> Signing:
    cluster = Signing(looks)
    await cluster.run()
    assert cluster.is_signed()
    cluster.now += timedelta(days=1)
    return cluster


@pytest.mark.parametrize("revoke", ["Immediately", "AfterRollout"])
@pytest.mark.parametrize("looks", [(KEY, CA), (CA, KEY), (KEY, KEY, KEY, KEY, CA)])
async def test_a_certificate_is_signed_by_the_rotated_ca_before_it_is_done(
    looks: tuple[ObjectKey, ...], revoke: str
) -> None:
    cluster = await signed(*looks)
    exposed = cluster.certificate(CA_TARGET)

    await cluster.declare("ca", "db", revoke=revoke)
    states: list[AffectedState] = []
    for _ in range(30):
        await cluster.run(1)
        states.append(cluster.progress().state)
        assert states[-1] is not AffectedState.ROLLED_OUT or cluster.is_signed()

    assert cluster.certificate(CA_TARGET) != exposed
    assert cluster.is_signed()
    assert states[-1] is AffectedState.ROLLED_OUT
    assert cluster.progress().revision == 2, "it is rotated once"


async def test_a_ca_that_is_not_rotated_is_waited_for_and_named() -> None:
    cluster = await signed(KEY, CA)
    cluster.suspend(suspended=True)
    before = cluster.certificate(TARGET)

    await cluster.declare("ca", "db")
    await cluster.run()

    assert cluster.certificate(TARGET) == before
    assert (cluster.progress().state, cluster.progress().message) == (
        AffectedState.PENDING,
        "the ManagedSecret 'ca', whose CA signs its certificate, is rotated first",
    )

    cluster.suspend(suspended=False)
    await cluster.run()

    assert cluster.is_signed()
    assert cluster.progress().state is AffectedState.ROLLED_OUT


async def test_the_rotation_of_a_ca_wakes_those_that_wait_for_it() -> None:
    cluster = await signed(KEY, CA)
    woken: list[Any] = []
    cluster.context.wake = woken.append

    await cluster.declare("ca", "db")
    await cluster.run()

    assert KEY in woken


async def test_a_ca_that_is_affected_later_makes_its_certificates_exposed() -> None:
    """Also a certificate that an emergency has rotated already is signed by the exposed CA."""
    cluster = await signed(KEY, CA)
    await cluster.declare("db")
    await cluster.run()
    assert cluster.progress().state is AffectedState.ROLLED_OUT

    await cluster.declare("ca", "db")
    await cluster.run()
    assert cluster.progress().state is AffectedState.PENDING

    cluster.now += timedelta(minutes=5)
    await cluster.run()

    assert cluster.is_signed()
    assert cluster.progress().state is AffectedState.ROLLED_OUT


async def test_a_certificate_does_not_wait_for_a_ca_that_no_emergency_affects() -> None:
    cluster = await signed(KEY, CA)
    before = cluster.certificate(TARGET)
    authority = cluster.certificate(CA_TARGET)

    await cluster.declare("db")
    await cluster.run()

    assert cluster.certificate(TARGET) != before
    assert cluster.certificate(CA_TARGET) == authority
    assert cluster.progress().state is AffectedState.ROLLED_OUT


async def test_a_process_that_starts_takes_the_time_of_the_rotation_from_the_status() -> None:
    cluster = await signed(KEY, CA)
    await cluster.declare("ca", "db")
    await cluster.run()
    rotated = cluster.progress(CA).rotated
    assert rotated is not None
    declared = cluster.context.cache.emergencies.declared(LEAK)
    assert declared is not None
    row = {"name": "ca", "state": "RolledOut", "revision": 2, "rotatedAt": rotated.isoformat()}
    body = declared.emergency.model_dump(mode="json", by_alias=True)

    cluster.restart()
    cluster.context.cache.emergencies.put(LEAK, {**body, "status": {"secrets": [row]}})
    cluster.looks = (KEY,)
    await cluster.run()

    assert cluster.progress().state is AffectedState.ROLLED_OUT


async def test_a_ca_whose_values_are_rotated_elsewhere_is_not_waited_for() -> None:
    cluster = await signed(KEY, CA)
    before = cluster.certificate(TARGET)
    spec = cluster.objects[CA_MANAGED]["spec"]
    spec["data"] = [
        {"name": name, "literal": base64.b64decode(value).decode()}
        for name, value in cluster.objects[CA_TARGET]["data"].items()
    ]
    cluster.suspend(suspended=False)
    await cluster.run()

    await cluster.declare("ca", "db")
    await cluster.run()

    assert cluster.certificate(TARGET) != before
    assert cluster.progress().state is AffectedState.ROLLED_OUT


# Trust in a CA that was renewed


async def test_certificates_of_a_ca_that_was_renewed_stay_trusted() -> None:
    cluster = await signed(KEY, CA)
    leaf, before = cluster.certificate(TARGET), cluster.certificate(CA_TARGET)

    cluster.rotate_ca()
    await cluster.run()
    cluster.now += timedelta(days=30)
    await cluster.run()

    new, *earlier = cluster.certificates(CA_TARGET, "ca.crt")
    assert new == cluster.certificate(CA_TARGET) != before
    assert earlier == [before]
    assert cluster.certificate(TARGET) == leaf, "it gets another one at its own renewal"


@pytest.mark.parametrize("revoke", ["Immediately", "AfterRollout"])
@pytest.mark.parametrize("writes", range(6))
async def test_an_emergency_ends_the_trust_in_earlier_cas(writes: int, revoke: str) -> None:
    """Also in that of a rotation that was in progress at the declaration, however far it was."""
    cluster = await signed(KEY, CA)
    cluster.rotate_ca()
    cluster.dies_at = cluster.writes + writes + 0.5
    try:
        await cluster.run(1)
    except Died:
        cluster.restart()
    cluster.dies_at = None

    await cluster.declare("ca", revoke=revoke)
    for _ in range(20):
        await cluster.run(1)
        is_done = cluster.progress(CA).state is AffectedState.ROLLED_OUT
        assert not is_done or len(cluster.certificates(CA_TARGET, "ca.crt")) == 1

    assert cluster.progress(CA).state is AffectedState.ROLLED_OUT


@pytest.mark.parametrize("revoke", ["Immediately", "AfterRollout"])
async def test_a_rotation_after_that_of_an_emergency_does_not_trust_the_exposed_ca_again(
    revoke: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the overlap of the emergency's revision, which lasts as long as a workload does not become ready."""
    cluster = Signing((KEY,))
    cluster.objects[MANAGED]["spec"] = spec_of(AUTHORITY)
    cluster.add_workload("api", None)
    await cluster.run()
    exposed = cluster.certificate(TARGET)
    cluster.now += timedelta(days=1)
    monkeypatch.setattr(cluster, "crashes", lambda number: number is not None and number >= 2)
    await cluster.declare("db", revoke=revoke)
    await cluster.run()
    rotated = cluster.certificate(TARGET)
    assert rotated != exposed

    cluster.rotate_ca(MANAGED)
    await cluster.run()
    monkeypatch.setattr(cluster, "crashes", lambda _: False)
    await cluster.settle()
    cluster.now += timedelta(days=30)
    await cluster.settle()

    assert cluster.certificate(TARGET) not in {exposed, rotated}
    assert exposed not in cluster.certificates(TARGET, "ca.crt")
    assert cluster.progress().state is AffectedState.ROLLED_OUT
