"""Attacks that would have the operator do what the attacker may not: its authors, its stores, its stolen token."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from keyturn.core.labels import MARKER
from sandbox.harness import Kubectl, eventually
from tests.cluster.hostile_specs import write_secret
from tests.cluster.hostile_vault import hostile
from tests.cluster.namespace import Space, literal, password
from tests.cluster.store_objects import Stores, pulled
from tests.cluster.workloads import deployment, env_from
from tests.redteam.attack import attack
from tests.redteam.target import ROOT, AttackTarget
from tests.support.objects import Body, Refused

_COMPONENT: Final = ROOT / "manifests" / "components" / "workload-identity" / "tokens.yaml"
_MERGE: Final = {"name": "theirs", "creationPolicy": "Merge"}
_ADOPT: Final = {"name": "theirs", "adopt": "IfUnowned"}
_DELETE: Final = {**_ADOPT, "deletionPolicy": "Delete"}
_FORBIDDEN: Final = frozenset({403, 422})
"""By rights, and by an admission policy."""
_RBAC: Final = "rbac.authorization.k8s.io/v1"
_CONTROLLER: Final = "clusterrole-aggregation-controller"
"""An account that may give itself every right."""


@attack("F3")
def tokens_of_accounts(target: AttackTarget) -> Iterator[None]:
    """Stores at the attacker's server want tokens of accounts: of others, for AWS, for the API server."""
    with hostile() as server:
        (author,), (editor,) = target.spaces(who="author"), target.spaces()
        _let_make_tokens(target, editor)
        yield
        assert _is_refused(author, _store(_vault(server.address, "app"))), "an author makes a store"
        _account(editor, "silent")
        _account(editor, "agrees", to="sts, api, far")
        desired = {
            "quiet": _vault(server.address, "silent"),
            "sts": _vault(server.address, "agrees", audience="sts.amazonaws.com"),
            "api": _vault(server.address, "agrees", audience="https://kubernetes.default.svc"),
            "far": _aws(server.address, "agrees"),
        }
        for name, provider in desired.items():
            Stores(editor, Path()).write(provider, name)
            editor.manage(pulled("it", "any", name), name=name)
        for name in desired:
            _until_not_ready(editor, name)
        assert not server.logins, "the attacker's server has a token"
        assert not server.heard, "the attacker's server was asked"


@attack("F4")
def lines_of_templates(target: AttackTarget) -> Iterator[None]:
    """Templates that fail at a line that a character of somebody's value chooses."""
    (space,), (author,) = target.spaces(), target.spaces(who="author")
    Stores(space, Path()).write({"kubernetes": {}}, "here")
    lines = "\n".join(
        f"{{% if c == '{letter}' %}}{{{{ values[n] }}}}{{% endif %}}"
        for letter in "abcdefghijklmnopqrstuvwxyz"
    )
    oracle = f"{{% assign n = c | append: 'x' %}}{lines}"
    for name, text in (("first", b"b"), ("second", b"y")):
        write_secret(space, name, {"c": text})
        item = pulled("c", name, "here", property="c")
        space.manage(item, name=f"of-{name}", target={"template": {"data": {"page": oracle}}})
    yield
    said = [space.stalled("TemplateFailed", f"of-{name}") for name in ("first", "second")]
    assert said[0] == said[1], "the message depends on the value"
    read = _managed(pulled("c", "theirs", "here"))
    assert _is_refused(author, read), "an author reads a Secret by a store"


@attack("F5")
def equal_literals(target: AttackTarget) -> Iterator[None]:
    """Merges with a literal that is what a Secret holds, and with one that is not."""
    (space,), (author,) = target.spaces(), target.spaces(who="author")
    write_secret(space, "theirs", {"pin": b"1234"})
    yield
    said = []
    for name, guess in (("right", "1234"), ("wrong", "4321")):
        space.manage(literal("pin", guess), name=name, target=_MERGE)
        said.append(space.stalled("KeyConflict", name))
        space.delete("ManagedSecret", name)
    assert said[0] == said[1], "a right guess is told from a wrong one"
    assert _is_refused(author, _managed(literal("pin", "1234"), target=_MERGE)), "an author merges"


@attack("F6")
def deputies(target: AttackTarget) -> Iterator[None]:
    """Who may write ManagedSecrets alone reads, merges, adopts, deletes and restarts what is others'."""
    (author,) = target.spaces(who="author")
    own = _of_all_rights(target, author)
    write_secret(own, "theirs", {"pin": b"1234"})
    listed = {"targets": [{"kind": "Deployment", "name": "payments"}]}
    signed = {"name": "web", "generate": {"certificate": {"commonName": "w", "issuer": _issuer("theirs")}}}
    tries = {
        "reads by a new object": _managed(password()),
        "merges": _managed(literal("NODE_OPTIONS", "--require /proc/self/environ"), target=_MERGE),
        "adopts": _managed(password("pin"), target=_ADOPT),
        "deletes": _managed(password("pin"), target=_DELETE),
        "restarts": _managed(password(), rollout=listed),
        "has a CA sign": _managed(signed),
        "reads by a store": _managed(pulled("pin", "theirs", "here")),
        "makes a store": _store({"kubernetes": {}}),
    }
    yield
    done = [name for name, body in tries.items() if not _is_refused(author, body)]
    assert not done, f"an author {', '.join(done)}"
    assert own.find("Secret", "theirs"), "the Secret is gone"


@attack("F6")
def restarts_without_end(target: AttackTarget) -> Iterator[None]:
    """A value that changes twenty times in twenty seconds, and the workload that uses it."""
    (space,) = target.spaces()
    space.create(deployment("payments", env_from("auth")))
    space.managed(literal("option", "0"))
    before, turns = space.generation("Deployment", "payments"), itertools.count(1)

    def change() -> None:
        text = str(next(turns))
        space.respec(lambda spec: spec["data"][0].update(literal=text))

    with target.meanwhile(change):
        yield
        eventually(lambda: next(turns) > 15, "changes")
    eventually(lambda: (space.condition("WorkloadsCurrent") or {}).get("status") == "True", "the restarts")
    restarts = space.generation("Deployment", "payments") - before
    assert restarts <= 6, f"the workload was restarted {restarts} times"  # 10 s apart, in a minute at most


@attack("F9")
def stolen_token(target: AttackTarget) -> Iterator[None]:
    """The operator's own token tries to become cluster-admin, with the right to make tokens besides."""
    space = target.namespace("stolen-from")
    space.create(deployment("payments", env_from("auth")))
    space.manage(password())
    write_secret(space, "theirs", {"pin": b"1234"})
    _let_make_tokens(target, space)
    target.kubectl("create", "deployment", "dns", "--image=example.org/dns", *_SYSTEM)
    thief, here = Kubectl(target.operator_kubeconfig), ("-n", space.namespace)
    minted = {"kubernetes.io/service-account.name": _CONTROLLER}
    other = {"kubernetes.io/service-account.name": "default"}
    theirs = {**_secret("theirs", space.namespace), "data": {"pin": "MTIzNA=="}}
    create = ("create", "-f", "-")
    tries: dict[str, tuple[tuple[str, ...], Body | None]] = {
        "mints a token of a controller": (create, _secret("minted", "kube-system", _TOKEN, minted)),
        "mints a token of an account": (create, _secret("minted", space.namespace, _TOKEN, other)),
        "makes a token of a node": (create, _secret("bootstrap-token-abcdef", "kube-system", _BOOTSTRAP)),
        "makes a Secret without its label": (create, _secret("plain", space.namespace)),
        "makes a release of Helm": (
            create,
            _secret("sh.helm.release.v1.a.v9", space.namespace, labels=_OURS),
        ),
        "labels a release of Helm": (create, _secret("plain", space.namespace, labels=_OURS | _HELM)),
        "writes in kube-public": (create, _secret("plain", "kube-public", labels=_OURS)),
        "writes over a Secret of others": (("replace", "-f", "-"), theirs),
        "changes an image": ((*_patch("deployment/payments", _IMAGE), *here), None),
        "takes another account": ((*_patch("deployment/payments", _ACCOUNT), *here), None),
        "changes a spec": ((*_patch("managedsecret/auth", '{"spec":{"suspend":true}}'), *here), None),
        "makes an object stay": ((*_patch("managedsecret/auth", _STAYS), *here), None),
        "writes a marker without end": (
            (*_patch("deployment/payments", _marked("x" * 100_000)), *here),
            None,
        ),
        "restarts what is the cluster's": ((*_patch("deployment/dns", _marked("x")), *_SYSTEM), None),
        "makes a token for the API server": (("create", "token", "default", *here), None),
        "makes a token for an address": (("create", "token", "default", _ADDRESS, *_SHORT, *here), None),
        "makes a token beside itself": (("create", "token", "keyturn", "-n", "keyturn-system"), None),
        "gives itself rights": (("create", "clusterrolebinding", "x", "--clusterrole=admin", _SELF), None),
    }
    yield
    done = [name for name, (call, body) in tries.items() if _gets_through(thief, *call, given=body)]
    target.kubectl("delete", "deployment", "dns", "--wait=false", *_SYSTEM)
    assert not done, f"the token {', '.join(done)}"
    assert thief.run("auth", "can-i", "*", "*", "-A").stdout.strip() != "yes", "the token is cluster-admin"


_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105  # a type
_BOOTSTRAP: Final = "bootstrap.kubernetes.io/token"
_OURS: Final = {"keyturn.dev/managed-secret": "auth"}
_IMAGE: Final = '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"example.org/evil"}]}}}}'
_ACCOUNT: Final = '{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}}'
_HELM: Final = {"owner": "helm"}
_STAYS: Final = '{"metadata":{"finalizers":["keyturn.dev/evil"]}}'
_ADDRESS: Final = "--audience=https://api.shop.test:6443"
_SHORT: Final = ("--duration=10m",)
_SYSTEM: Final = ("-n", "kube-system")
_SELF: Final = "--serviceaccount=keyturn-system:keyturn"


def _marked(text: str) -> str:
    return f'{{"spec":{{"template":{{"metadata":{{"annotations":{{"{MARKER}":"{text}"}}}}}}}}}}'


def _patch(name: str, patch: str) -> tuple[str, ...]:
    return ("patch", name, "--type=merge", "-p", patch)


def _gets_through(thief: Kubectl, *call: str, given: Body | None = None) -> bool:
    """Say whether a call succeeds; an error that is no refusal fails the attack, which would prove nothing."""
    done = thief.run(*call, given=given)
    refused = any(word in done.stderr for word in ("denied request: ", "(Forbidden)", "forbidden:"))
    assert done.returncode == 0 or refused, f"{call[:2]} failed for another reason"
    return done.returncode == 0


def _secret(
    name: str,
    namespace: str,
    type_: str = "Opaque",
    annotations: Body | None = None,
    labels: Body | None = None,
) -> Body:
    metadata = {
        "name": name,
        "namespace": namespace,
        "annotations": annotations or {},
        "labels": labels or {},
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_}


def _managed(*data: Body, **spec: Any) -> Body:
    return {"kind": "ManagedSecret", "metadata": {"name": "taken"}, "spec": {"data": list(data), **spec}}


def _store(provider: Body) -> Body:
    return {"kind": "SecretStore", "metadata": {"name": "taken"}, "spec": {"provider": provider}}


def _issuer(name: str) -> Body:
    return {"secretRef": {"name": name}}


def _is_refused(space: Space, body: Body) -> bool:
    """Say whether the API server forbids it."""
    try:
        space.create(body)
    except Refused as refused:
        return refused.status in _FORBIDDEN
    return False


def _of_all_rights(target: AttackTarget, space: Space) -> Space:
    return type(space)(target.objects, space.namespace)


def _vault(address: str, account: str, **more: str) -> Body:
    login = {"role": "shop", "serviceAccountRef": {"name": account}, **more}
    return {"vault": {"server": address, "auth": {"kubernetes": login}}}


def _aws(address: str, account: str) -> Body:
    auth = {"webIdentity": {"serviceAccountRef": {"name": account}}}
    role = {"roleArn": "arn:aws:iam::123456789012:role/shop", "stsEndpoint": "https://sts.attacker.test"}
    return {"awsSecretsManager": {"region": "eu-central-1", "endpoint": address, "auth": auth, **role}}


def _account(space: Space, name: str, to: str = "") -> None:
    annotations = {"keyturn.dev/stores": to} if to else {}
    space.create({"kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}})


def _let_make_tokens(target: AttackTarget, space: Space) -> None:
    """Give the operator the right of the component for workload identity, in one namespace."""
    here = ("-n", space.namespace)
    rules = next(yaml.load_all(_COMPONENT.read_text(), Loader=yaml.CSafeLoader))["rules"]
    role = {"apiVersion": _RBAC, "kind": "Role", "metadata": {"name": "tokens"}, "rules": rules}
    target.kubectl("create", "-f", "-", *here, given=role)
    target.kubectl("create", "rolebinding", "tokens", "--role=tokens", _SELF, *here)


def _until_not_ready(space: Space, store: str) -> None:
    def is_said() -> bool:
        ready = Stores(space, Path()).condition("Ready", store)
        return ready is not None and ready["status"] == "False"

    eventually(is_said, f"a refusal of the store {store}")
