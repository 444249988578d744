"""Backup of the state Secrets of a namespace in an age file, its restore, and the drill that proves both."""

import base64
import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

import orjson

from keyturn.core.errors import Stalled
from keyturn.core.labels import KEYTURN, MANAGED_BY, OWNER_LABEL, STATE_TYPE
from keyturn.core.policy.checklist import Finding, Point, Verdict
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body

from .facts import Facts

_FORMAT: Final = 1
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_STATE_NAME: Final = re.compile(r"[a-z0-9][-a-z0-9.]{0,244}-keyturn")
_IDENTITY: Final = "AGE-SECRET-KEY-1"
_LOCKED: Final = "must be decrypted"
"""In the message of the age library about an SSH key."""
_PROTECTED: Final = (
    'its SSH key is protected by a passphrase: copy the file, run `ssh-keygen -p -N "" -f COPY`, name the copy, and'
    " delete it afterwards; for the next backup use a key without one, as age-keygen makes it"
)
_MAX_RECIPIENTS: Final = 1000
_STATE_KEY: Final = "state"
_SUFFIX: Final = "-keyturn"
_ONLY_STATES: Final = {"fieldSelector": f"type={STATE_TYPE}"}
_PAGE_SIZE: Final = 50
_CHECK_ADMISSION: Final = "see what of admission or quota changes Secrets in the namespace of the drill"
_MORE_OFTEN: Final = "take backups more often, such as after each rotation"
_NO_READER: Final = (
    "age files are written and read by the package pyrage, which the operator's image leaves out; elsewhere install"
    " keyturn[cli]"
)


class NoBackup(Exception):  # noqa: N818  # it says what to do, not what went wrong
    """Why a backup or restore is not possible."""


@dataclass(frozen=True, slots=True)
class Backup:
    """The state Secrets of one namespace at one time."""

    namespace: str
    taken: datetime | str
    states: dict[str, str]
    """Content of each Secret by name, in base64: all values, and the handled triggers."""
    left_out: tuple[str, ...] = ()
    """Names of Secrets that no version could restore from it: they were edited, or are of a newer version."""

    @classmethod
    def of(cls, namespace: str, taken: datetime, bodies: Iterable[Body]) -> Self:
        """Build a backup from state Secrets, without those that cannot be read."""
        states: dict[str, str] = {}
        left_out: list[str] = []
        for body in bodies:
            name = body["metadata"]["name"]
            if _STATE_NAME.fullmatch(name) and _read(body):
                states[name] = body["data"][_STATE_KEY]
            else:
                left_out.append(name)
        return cls(namespace, taken, states, tuple(left_out))

    def body(self, name: str, namespace: str) -> Body:
        """Return a Secret for another namespace, without an owner until its ManagedSecret exists."""
        labels = {OWNER_LABEL: name.removesuffix(_SUFFIX), MANAGED_BY: KEYTURN}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "type": STATE_TYPE,
            "data": {_STATE_KEY: self.states[name]},
        }

    def state(self, name: str) -> State:
        return state_of(self.body(name, self.namespace))


def encrypt(backup: Backup, recipients: Sequence[Any]) -> bytes:
    """Encrypt a backup to its recipients."""
    known = {"namespace": backup.namespace, "taken": backup.taken, "states": backup.states}
    return bytes(_age().encrypt(orjson.dumps({"format": _FORMAT, **known}), list(recipients)))


def decrypt(content: bytes, identities: Sequence[Any]) -> Backup:
    """Decrypt and validate a backup: it has only state Secrets that this version can parse."""
    age = _age()
    if content.partition(b"\n--- ")[0].count(b"\n-> ") > _MAX_RECIPIENTS:
        raise NoBackup(f"it names more than {_MAX_RECIPIENTS} recipients, each of which would be tried")
    try:
        backup = _backup(orjson.loads(age.decrypt(content, list(identities))))
    except age.DecryptError:
        reason = (
            "it is not encrypted to this identity, or no age file; name the identity of one of its recipients"
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        reason = "it is an age file, but not one that keyturn backup has written"
    else:
        unreadable = [name for name in backup.states if _read(backup.body(name, backup.namespace)) is None]
        if not unreadable:
            return backup
        reason = (
            f"the state {unreadable[0]} in it was edited or is of a newer version; restore the backup with the"
            " version of Keyturn that wrote it"
        )
    # Outside the except block, so that no library's message about the content is the context.
    raise NoBackup(reason)


def recipients_of(written: Iterable[str]) -> list[Any]:
    """Parse recipients: public keys of age or SSH."""
    age, found = _age(), []
    for one in written:
        kind = age.ssh if one.startswith("ssh-") else age.x25519
        try:
            found.append(kind.Recipient.from_str(one))
        except age.RecipientError:
            found.append(None)
    if None in found:
        place = found.index(None) + 1
        raise NoBackup(
            f"recipient {place} is no public key of age (age1…) or of SSH (ssh-ed25519 …);"
            " age-keygen makes one and prints it"
        )
    return found


def identities_in(content: bytes) -> list[Any]:
    """Parse the secret keys of a file, as age-keygen or ssh-keygen writes it."""
    age, content = _age(), content.removeprefix(codecs.BOM_UTF8)
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    reason = "it holds no secret key of age (AGE-SECRET-KEY-1…) or of SSH (ed25519 or RSA)"
    try:
        if any(line.startswith("-----BEGIN") for line in lines):
            return [age.ssh.Identity.from_buffer(content)]
        found = [age.x25519.Identity.from_str(line) for line in lines if line.startswith(_IDENTITY)]
    except age.IdentityError as error:
        found = []
        if _LOCKED in str(error) or b"ENCRYPTED" in content:
            reason = _PROTECTED
    if found:
        return found
    raise NoBackup(reason)


def _age() -> Any:
    """Import the age library, on first use."""
    try:
        import pyrage  # noqa: PLC0415  # a library of its own, which no pod has
    except ModuleNotFoundError:
        raise NoBackup(_NO_READER) from None
    return pyrage


def _backup(document: dict[str, Any]) -> Backup:
    """Validate everything: any holder of a recipient's public key can write such a file."""
    namespace, states = document["namespace"], document["states"]
    if document["format"] != _FORMAT or not isinstance(states, dict):
        raise ValueError("format")
    if not _NAME.fullmatch(namespace) or not all(map(_STATE_NAME.fullmatch, states)):
        raise ValueError("name")
    decoded = {name: base64.b64decode(text, validate=True) for name, text in states.items()}
    encoded = {name: base64.b64encode(content).decode() for name, content in decoded.items()}
    return Backup(namespace, str(document["taken"])[:40], encoded)


# Restore


async def take(api: Api, namespace: str, now: datetime) -> Backup:
    """Take a backup of a namespace."""
    bodies = await _states_of(api, namespace)
    if not bodies:
        raise NoBackup(
            f"namespace {namespace} has no values that Keyturn made; another one is named with --namespace"
        )
    return Backup.of(namespace, now, bodies)


async def put_back(api: Api, backup: Backup, namespace: str) -> frozenset[str]:
    """Create every state Secret in a namespace without any, or none; return their UIDs."""
    if there := await _states_of(api, namespace):
        raise NoBackup(
            f"namespace {namespace} has values of Keyturn already, such as {there[0]['metadata']['name']};"
            " nothing is written over them: name an empty namespace"
        )
    made, name = set[str](), ""
    try:
        for name in sorted(backup.states):
            body = await api.create(paths.secrets(namespace), backup.body(name, namespace))
            made.add(body["metadata"]["uid"])
    except BaseException as error:  # also Ctrl-C
        if left := await _take_away(api, backup, namespace, made):
            raise NoBackup(left) from None
        if not isinstance(error, errors.ApiError):
            raise
        refused = error
    else:
        return frozenset(made)
    raise NoBackup(
        f"the Secret {name} cannot be created in namespace {namespace} ({refused.reason});"
        " nothing is left of what was restored before it"
    )


async def _take_away(api: Api, backup: Backup, namespace: str, made: Collection[str]) -> str:
    """Delete what was restored, also by a request that was not answered; return a sentence about what may be left."""
    left, reason = list(backup.states), ""
    try:
        there = await _states_of(api, namespace)
        left = []
    except errors.ApiError as error:
        there, reason = [], error.reason
    for body in there:
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        if uid in made or (body.get("data") or {}).get(_STATE_KEY) == backup.states.get(name, ""):
            try:
                await api.delete(paths.secret(namespace, name), {"uid": uid})
            except errors.ApiError as error:
                left.append(name)
                reason = error.reason
    if not left:
        return ""
    return (
        f"Secrets with the values of the backup may be left in namespace {namespace} ({reason}); delete them:"
        f" {', '.join(sorted(left))}"
    )


async def _states_of(api: Api, namespace: str) -> list[Body]:
    found: list[Body] = []
    async for page in api.pages(paths.secrets(namespace), _ONLY_STATES, limit=_PAGE_SIZE):
        if page.first:
            found.clear()
        found += page.items
    return found


# Drill


@dataclass(frozen=True, slots=True)
class Drill:
    """A restore into a namespace of its own, which is empty before and afterwards."""

    backup: Backup
    namespace: str

    async def findings(self, facts: Facts) -> list[Finding]:
        """Restore, read back, delete again, and compare with the backup and with the cluster."""
        api, home = facts.api, self.backup.namespace
        present = _by_name(await _states_of(api, home))
        try:
            made = await put_back(api, self.backup, self.namespace)
        except NoBackup as problem:
            return [_finding(Verdict.UNKNOWN, str(problem), "name a namespace without Secrets of Keyturn")]
        try:
            try:
                restored = _by_name(await _states_of(api, self.namespace))
            finally:  # also after Ctrl-C
                if left := await _take_away(api, self.backup, self.namespace, made):
                    raise NoBackup(left)
        except NoBackup as problem:
            return [_finding(Verdict.FAIL, str(problem), "let the drill's user delete Secrets there")]
        if found := list(_differences(self.backup, restored, present)):
            return found
        if not present:
            evidence = (
                f"the {len(restored)} states of the backup came back as they were, and namespace {home} has none"
                " today to compare them with"
            )
            return [_finding(Verdict.UNKNOWN, evidence, "drill with a backup of a namespace that is in use")]
        evidence = f"the values of {len(present)} ManagedSecrets came back as they are, into {self.namespace}"
        return [_finding(Verdict.PASS, evidence)]


def _differences(
    backup: Backup, restored: Mapping[str, Body], present: Mapping[str, Body]
) -> Iterator[Finding]:
    """Compare the restored Secrets with the backup, and the backup with the cluster."""
    for name in sorted(backup.states.keys() | present.keys()):
        where = f"{backup.namespace}/{name}"
        if name not in backup.states:
            yield _finding(Verdict.FAIL, "the backup does not have it", _MORE_OFTEN, where)
            continue
        kept, back = backup.state(name), _read(restored.get(name))
        if back is None or _values(back) != _values(kept):
            what = "did not come back" if name not in restored else "came back with other content"
            yield _finding(Verdict.FAIL, f"the backup has it, and it {what}", _CHECK_ADMISSION, where)
        elif name in present and (now := _read(present[name])) is None:
            yield _finding(Verdict.FAIL, "the state in the cluster cannot be read", "restore it", where)
        elif name in present and now and _values(now) != _values(kept):
            numbers = kept.facts.current_number, now.facts.current_number
            evidence = f"the backup has revision {numbers[0]}, the cluster {numbers[1]}, with other values"
            yield _finding(Verdict.FAIL, evidence, _MORE_OFTEN, where)


def _by_name(bodies: Iterable[Body]) -> dict[str, Body]:
    return {body["metadata"]["name"]: body for body in bodies}


def _read(body: Body | None) -> State | None:
    """Parse a state Secret; None if there is none, or if it cannot be parsed."""
    try:
        return state_of(body) if body else None
    except Stalled:
        return None


def _values(state: State) -> dict[tuple[str, str], Value]:
    """Return the values of the current revision; they are compared in constant time."""
    kept = state.current.values
    return {(name, output): value for name, one in kept.items() for output, value in one.outputs.items()}


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.RECOVERY, verdict, evidence, remedy, where)
