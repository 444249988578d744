"""A CA and a certificate that it signs, each of its own ManagedSecret: in emergencies, and after its renewal."""

import base64
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from keyturn.api.emergency import AffectedState
from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.emergency.progress import Affected
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.labels import OWNER_LABEL, ROLLBACK, ROTATE
from keyturn.kube import paths
from keyturn.kube.secret_informer import meta_of
from tests.simulation.simulated_cluster import KEY, MANAGED, SECOND, TARGET, Cluster, Died
from tests.support.work_queue import Recorded

CA = ObjectKey("shop", "ca")
CA_MANAGED, CA_TARGET = paths.managed_secret("shop", "ca"), paths.secret("shop", "ca")
LEAK = EmergencyKey("shop", "leak")
SIGNED: dict[str, Any] = {"certificate": {"dnsNames": ["orders"], "issuer": {"secretRef": {"name": "ca"}}}}
PASSWORD = {"name": "password", "generate": {"password": {}}}
AUTHORITY: dict[str, Any] = {"certificate": {"isCA": True, "commonName": "Shop CA", "duration": "3650d"}}


def spec_of(made: dict[str, Any]) -> dict[str, Any]:
    return {"data": [{"name": "tls", "generate": made}], "target": {"type": "kubernetes.io/tls"}}


class Signing(Cluster):
    """A cluster with a CA and a certificate; `looks` has the order in which the operator looks at both."""

    def __init__(self, looks: Iterable[ObjectKey] = (KEY, CA)) -> None:
        super().__init__(spec_of(SIGNED))
        self.looks = looks
        self.declared: dict[str, str] = {}
        self.authorities: list[str] = []
        self.add(CA, spec_of(AUTHORITY))

    def add(self, key: ObjectKey, spec: dict[str, Any]) -> None:
        path = paths.managed_secret(key.namespace, key.name)
        self.authorities.append(path)
        metadata = {"name": key.name, "namespace": key.namespace, "uid": f"uid-{key.name}", "generation": 1}
        self.objects[path] = self._stamp({"metadata": {**metadata, "annotations": {}}, "spec": spec})

    def tell(self) -> None:
        super().tell()
        for path in self.authorities:
            self.context.cache.put_managed(self.objects[path])

    def suspend(self, path: str = CA_MANAGED, *, suspended: bool) -> None:
        self.respec(path, {**self.objects[path]["spec"], "suspend": suspended})

    def respec(self, path: str, spec: dict[str, Any]) -> None:
        body = self.objects[path]
        body["spec"] = spec
        body["metadata"]["generation"] += 1
        self._stamp(body)

    def rotate_ca(self, path: str = CA_MANAGED) -> None:
        self.annotate(path, ROTATE, str(self.now))

    def annotate(self, path: str, name: str, value: str) -> None:
        body = self.objects[path]
        body["metadata"]["annotations"] = {name: value}
        self._stamp(body)

    @property
    def password(self) -> str:
        return str(self.objects[TARGET]["data"]["password"])

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

    def signs_client(self, path: str, other: str) -> bool:
        """Say whether the published CA of a Secret has signed the client's certificate in another one."""
        client, authority = self.certificate(other, "client.crt"), self.certificate(path)
        try:
            client.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001  # by another one
            return False
        return self.certificates(other, "client-ca.crt") == [authority]

    async def run(self, passes: int = 12) -> None:
        for _ in range(passes):
            for key in self.looks:
                self.tell()
                self.now += SECOND
                await reconcile(key, self.memory, self.context)

    async def declare(self, *names: str, name: str = "leak", **given: Any) -> None:
        """Declare an emergency, or declare the same one with other names."""
        created = self.declared.setdefault(name, self.now.replace(microsecond=0).isoformat())
        metadata = {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "creationTimestamp": created}
        spec = {"reason": "the key of the CA leaked", "names": list(names), **given}
        body = {"metadata": metadata, "spec": spec, "status": {}}
        self.context.cache.emergencies.put(EmergencyKey("shop", name), body)

    def progress(self, key: ObjectKey = KEY, name: str = "leak") -> Affected:
        found = self.memory.emergencies.progress(key, f"uid-of-{name}")
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


EXPOSED = "its certificate may still be signed by the exposed CA of the ManagedSecret 'ca', which is not rotated yet"


async def test_no_value_waits_for_a_ca_that_is_suspended_and_the_certificate_is_not_done() -> None:
    cluster = Signing((KEY, CA))
    cluster.respec(MANAGED, {"data": [*spec_of(SIGNED)["data"], PASSWORD]})
    await cluster.run()
    cluster.now += timedelta(days=1)
    cluster.suspend(suspended=True)
    before = cluster.objects[TARGET]["data"]

    await cluster.declare("ca", "db")
    await cluster.run()

    during = cluster.objects[TARGET]["data"]
    assert during["password"] != before["password"]
    assert (cluster.progress().state, cluster.progress().message) == (AffectedState.PENDING, EXPOSED)

    cluster.now += timedelta(minutes=5)
    cluster.suspend(suspended=False)
    await cluster.run()

    assert cluster.is_signed()
    assert cluster.progress().state is AffectedState.ROLLED_OUT
    assert cluster.objects[TARGET]["data"]["password"] == during["password"], "it is rotated once"


async def test_a_certificate_by_a_ca_that_is_rotated_meanwhile_is_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = await signed(CA, KEY)
    cluster.suspend(suspended=True)
    await cluster.run()
    read = cluster.get

    async def get(path: str, **given: Any) -> Any:
        body = await read(path, **given)
        if path == CA_TARGET and cluster.looks:
            monkeypatch.undo()
            cluster.suspend(suspended=False)
            cluster.looks = (CA,)
            await cluster.run()
            cluster.looks = (CA, KEY)
        return body

    monkeypatch.setattr(cluster, "get", get)
    await cluster.declare("ca", "db")
    for minutes in (0, 5):
        cluster.now += timedelta(minutes=minutes)
        for _ in range(12):
            await cluster.run(1)
            assert cluster.progress().state is not AffectedState.ROLLED_OUT or cluster.is_signed()

    assert cluster.progress().state is AffectedState.ROLLED_OUT
    assert cluster.progress().revision == 3


async def test_a_ca_in_an_immutable_secret_is_waited_for_a_minute() -> None:
    cluster = await signed(KEY, CA)
    before = cluster.certificate(TARGET)
    spec = spec_of(AUTHORITY)
    cluster.respec(CA_MANAGED, {**spec, "target": {**spec["target"], "immutable": True}})
    await cluster.run()
    assert cluster.objects[CA_TARGET]["immutable"]

    await cluster.declare("ca", "db")
    await cluster.run()
    assert (cluster.progress().state, cluster.progress().message) == (
        AffectedState.PENDING,
        "the ManagedSecret 'ca', whose CA signs its certificate, is rotated first",
    )
    assert cluster.certificate(TARGET) == before

    cluster.now += timedelta(minutes=1)
    await cluster.run()
    assert cluster.certificate(TARGET) != before
    assert (cluster.progress().state, cluster.progress().message) == (AffectedState.PENDING, EXPOSED)

    written = cluster.writes
    cluster.now += timedelta(minutes=1)
    await cluster.run()
    assert cluster.writes == written, "to wait needs no new status"


@pytest.mark.parametrize("change", ["deleted", "unlabelled", "of another"])
async def test_a_certificate_waits_for_a_ca_whose_secret_is_missing_or_has_another_label(change: str) -> None:
    cluster = await signed(KEY, CA)
    exposed = cluster.certificate(CA_TARGET)
    cluster.suspend(suspended=True)
    await cluster.declare("ca", "db")
    await cluster.run()
    early = cluster.certificate(TARGET)

    body = cluster.objects[CA_TARGET]
    if change == "deleted":
        del cluster.objects[CA_TARGET]
        cluster.context.cache.drop_secret(CA)
    elif change == "unlabelled":
        body["metadata"]["labels"] = {}
        cluster.context.cache.drop_secret(CA)
    else:
        body["metadata"]["labels"] = {OWNER_LABEL: "unknown"}
        cluster.context.cache.put_secret(meta_of(cluster._stamp(body)))
    await cluster.run()
    assert (cluster.progress().state, cluster.progress().message) == (AffectedState.PENDING, EXPOSED)

    if change != "deleted":
        del cluster.objects[CA_TARGET]
        cluster.context.cache.drop_secret(CA)
    cluster.suspend(suspended=False)
    for _ in range(2):
        cluster.now += timedelta(minutes=5)
        await cluster.run()

    assert cluster.certificate(CA_TARGET) != exposed
    assert cluster.certificate(TARGET) != early
    assert cluster.is_signed()
    assert cluster.progress().state is AffectedState.ROLLED_OUT


async def test_a_suspended_ca_does_not_delay_a_later_emergency_or_values_after_a_rollback() -> None:
    cluster = Signing((KEY, CA))
    cluster.respec(MANAGED, {"data": [*spec_of(SIGNED)["data"], PASSWORD]})
    await cluster.run()
    cluster.now += timedelta(days=1)
    cluster.suspend(suspended=True)
    exposed = {cluster.password}
    await cluster.declare("ca", "db")
    await cluster.run()
    assert cluster.password not in exposed

    exposed.add(cluster.password)
    cluster.now += timedelta(hours=1)
    await cluster.declare("db", name="second")
    await cluster.run()
    assert cluster.password not in exposed
    assert cluster.progress(name="second").message == EXPOSED

    for number in (2, 1):
        cluster.annotate(MANAGED, ROLLBACK, f"{number}/even-exposed")
        await cluster.run()
        assert cluster.password in exposed
    cluster.now += timedelta(minutes=6)
    cluster.suspend(suspended=False)
    await cluster.run()

    assert cluster.password not in exposed
    assert cluster.is_signed()
    assert cluster.progress().state is cluster.progress(name="second").state is AffectedState.ROLLED_OUT


def with_client_of(name: str, issuer: str) -> dict[str, Any]:
    client = {"dnsNames": [name], "issuer": {"secretRef": {"name": issuer}}}
    keys = {"tls.crt": "client.crt", "tls.key": "client.key", "ca.crt": "client-ca.crt"}
    return {
        "data": [
            *spec_of(AUTHORITY)["data"],
            {"name": "client", "generate": {"certificate": client}, "keys": keys},
        ]
    }


@pytest.mark.parametrize("revoke", ["Immediately", "AfterRollout"])
@pytest.mark.parametrize("looks", [(KEY, CA), (CA, KEY), (KEY, KEY, KEY, KEY, CA)])
async def test_secrets_that_sign_for_each_other_are_rotated(
    looks: tuple[ObjectKey, ...], revoke: str
) -> None:
    cluster = Signing(looks)
    cluster.respec(MANAGED, spec_of(AUTHORITY))
    await cluster.run()
    cluster.respec(MANAGED, with_client_of("db", "ca"))
    cluster.respec(CA_MANAGED, with_client_of("ca", "db"))
    await cluster.run()
    cluster.now += timedelta(days=1)
    exposed = cluster.certificate(TARGET), cluster.certificate(CA_TARGET)
    assert cluster.signs_client(CA_TARGET, TARGET)

    await cluster.declare("ca", "db", revoke=revoke)
    for minutes in (0, 1, 5, 5, 5, 5):
        cluster.now += timedelta(minutes=minutes)
        for _ in range(12):
            await cluster.run(1)
            for key, path, other in ((KEY, TARGET, CA_TARGET), (CA, CA_TARGET, TARGET)):
                is_done = cluster.progress(key).state is AffectedState.ROLLED_OUT
                assert not is_done or cluster.signs_client(other, path)

    assert cluster.progress(KEY).state is cluster.progress(CA).state is AffectedState.ROLLED_OUT
    assert not {cluster.certificate(TARGET), cluster.certificate(CA_TARGET)} & {*exposed}
    assert {cluster.progress(KEY).revision, cluster.progress(CA).revision} <= {3, 4}


async def test_an_intermediate_ca_is_rotated_again_with_what_it_signs() -> None:
    """Its own CA is suspended at first."""
    root = ObjectKey("shop", "root")
    cluster = Signing((KEY, CA, root))
    cluster.add(root, spec_of(AUTHORITY))
    issuer = {
        "issuer": {"secretRef": {"name": "root"}},
        "duration": "365d",
        "commonName": "Shop intermediate CA",
    }
    cluster.respec(CA_MANAGED, spec_of({"certificate": {**AUTHORITY["certificate"], **issuer}}))
    await cluster.run()
    cluster.now += timedelta(days=1)
    path, target = paths.managed_secret("shop", "root"), paths.secret("shop", "root")
    before, exposed = cluster.certificate(TARGET), cluster.certificate(target)
    assert cluster.certificates(TARGET, "ca.crt") == [exposed]
    cluster.suspend(path, suspended=True)

    await cluster.declare("root", "ca", "db")
    for _ in range(3):
        cluster.now += timedelta(minutes=5)
        await cluster.run()
    assert cluster.certificate(TARGET) != before
    assert cluster.progress().state is cluster.progress(CA).state is AffectedState.PENDING

    cluster.suspend(path, suspended=False)
    for _ in range(3):
        cluster.now += timedelta(minutes=5)
        await cluster.run()

    rotated = cluster.certificate(target)
    assert rotated != exposed
    assert cluster.certificates(TARGET, "ca.crt") == cluster.certificates(CA_TARGET, "ca.crt") == [rotated]
    assert cluster.progress().state is cluster.progress(CA).state is AffectedState.ROLLED_OUT


async def test_the_rotation_of_a_ca_wakes_those_that_wait_for_it() -> None:
    cluster = await signed(KEY, CA)
    woken: list[Any] = []
    cluster.context.queue = Recorded(woken.append)

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


@pytest.mark.parametrize("between", [[], ["middle"]], ids=["directly", "through another one"])
async def test_cas_that_sign_each_other_are_named(between: list[str]) -> None:
    cluster, names = Signing(), ["db", "ca", *between]

    def ca_by(issuer: str) -> dict[str, Any]:
        settings = {"isCA": True, "commonName": "CA", "issuer": {"secretRef": {"name": issuer}}}
        return spec_of({"certificate": settings})

    for name in between:
        cluster.add(ObjectKey("shop", name), ca_by("db"))
    for name, issuer in zip(names[:2], [*names[1:], "db"][:2], strict=True):
        cluster.respec(paths.managed_secret("shop", name), ca_by(issuer))

    await cluster.run()

    way = "ca by db, db by ca" if not between else "ca by middle, middle by db, db by ca"
    stalled = next(
        one for one in cluster.objects[CA_MANAGED]["status"]["conditions"] if one["type"] == "Stalled"
    )
    assert (stalled["reason"], stalled["message"]) == (
        "InvalidIssuer",
        (
            f"the certificates of Secrets that do not exist yet are to sign each other ({way}); remove issuer from"
            " one of them, so that it signs itself"
        ),
    )
