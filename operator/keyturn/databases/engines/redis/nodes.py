"""What a node has of an account, and what its admin lacks, as commands that are queued and never executed show."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Final

from keyturn.databases.base import Account, Client, Lack, Login
from keyturn.databases.errors import DatabaseError, Denied, ReadOnly, Unreachable

from .driver import Failed, Reply, Session
from .guards import DEFAULT, Node, User, key_of

_PROBE: Final = "keyturn:{keyturn}"
_READS: Final = (
    ("INFO",),
    ("CONFIG", "GET", "aclfile"),
    ("CONFIG", "GET", "masteruser"),
    ("CONFIG", "GET", "masterauth"),
    ("CLIENT", "LIST", "TYPE", "replica"),
)
_NEEDED: Final = (
    (("ACL", "SETUSER", "keyturn"), "+acl|setuser"),
    (("ACL", "GETUSER", "keyturn"), "+acl|getuser"),
    (("ACL", "LIST"), "+acl|list"),
    (("ACL", "SAVE"), "+acl|save"),
    (("CONFIG", "GET", "aclfile"), "+config|get"),
    (("CONFIG", "REWRITE"), "+config|rewrite"),
    (("INFO",), "+info"),
    (("CLIENT", "LIST"), "+client|list"),
    (("CLIENT", "KILL", "USER", "keyturn"), "+client|kill"),
    (("GET", _PROBE), "+get ~keyturn:*"),
    (("SET", _PROBE, ""), "+set ~keyturn:*"),
    (("DEL", _PROBE), "+del ~keyturn:*"),
    (("WATCH", _PROBE), "+watch ~keyturn:*"),
    (("UNWATCH",), "+unwatch"),
)
"""Commands, and the rules that permit them."""
_TRANSACTIONS: Final = "+multi +exec +discard"


def hash_of(login: Login) -> str:
    """Return what Redis keeps of a password."""
    return hashlib.sha256(login.password.reveal()).hexdigest()


async def read(session: Session, admin: Login, account: Account | None = None) -> Node:
    """Read what guards need to know; never a value.

    Raises:
        Denied: The admin lacks a right.
    """
    own = (("ACL", "GETUSER", account.owner), ("GET", key_of(account))) if account else ()
    info, file, master_user, master_auth, replicas, *of_account = await session.send(*_READS, *own)
    for reply in (info, file, master_user, master_auth, replicas, *of_account):
        if isinstance(reply, Failed):
            raise refused(session, admin, reply)
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    replicates = _setting(master_user) or (DEFAULT if _setting(master_auth) else "")
    user, record = of_account or (None, None)
    is_valkey = "valkey_version" in facts
    return Node(
        host=str(session.place),
        admin=admin.name,
        version=f"Valkey {facts['valkey_version']}" if is_valkey else facts.get("redis_version", ""),
        release=_number(facts.get("redis_version", "")),
        run_id=facts.get("run_id", ""),
        is_replica=facts.get("role") == "slave",
        is_cluster=facts.get("cluster_enabled") == "1",
        has_file_of_users=bool(_setting(file)),
        has_config_file=bool(facts.get("config_file")),
        replicates_as=replicates,
        users_of_replicas=frozenset(one["user"] for one in _clients(replicas)),
        user=_user(user) if user else None,
        record=record or "",
    )


def refused(session: Session, admin: Login, failed: Failed) -> DatabaseError:
    """Return the error of a command that the server refused."""
    match failed.code:
        case "NOPERM":
            rules = " ".join(dict.fromkeys(" ".join((_TRANSACTIONS, *(rule for _, rule in _NEEDED))).split()))
            grant = f"ACL SETUSER {admin.name} {rules}"
            message = f"the admin may not do that at {session.place}; send as an administrator: {grant}"
            return Denied("AdminDenied", message, grant)
        case "READONLY":
            return ReadOnly(
                "Standby", f"{session.place} is a replica; write the address of the primary as the host"
            )
        case "MISCONF" | "OOM" | "NOREPLICAS":
            message = f"{session.place} accepts no change now ({failed.code}); its log has the cause"
            return ReadOnly("ReadOnly", message)
        case "LOADING" | "MASTERDOWN" | "BUSY":
            return Unreachable(
                "StartingUp", f"{session.place} is busy or starts ({failed.code}); it is retried"
            )
        case code:
            return DatabaseError(
                f"Code{code}", f"{session.place} refuses a command with {code}; its log has the cause"
            )


async def lacks(session: Session, admin: Login) -> tuple[Lack, ...]:
    """Return the rights that the admin lacks, if any.

    Redis checks rights when it queues a command, and a transaction that is discarded executes none.
    """
    if isinstance(await session.call("MULTI"), Failed):
        return (_lack(session, admin, _TRANSACTIONS.split()),)
    replies = await session.send(*(command for command, _ in _NEEDED), ("DISCARD",))
    missing = [rule for reply, (_, rule) in zip(replies, _NEEDED, strict=False) if reply == Failed("NOPERM")]
    return (_lack(session, admin, " ".join(missing).split()),) if missing else ()


def _lack(session: Session, admin: Login, rules: Iterable[str]) -> Lack:
    statement = f"ACL SETUSER {admin.name} {' '.join(dict.fromkeys(rules))}"
    return Lack(f"the admin lacks rights at {session.place}", statement)


async def clients(session: Session, name: str) -> tuple[Client, ...]:
    """Count the open sessions of a user by their address."""
    listed = await session.call("CLIENT", "LIST")
    if not isinstance(listed, str):
        return ()
    own = [one for one in _clients(listed) if one["user"] == name]
    counts = Counter(one["addr"].rpartition(":")[0].strip("[]") for one in own)
    return tuple(Client(name, address, count) for address, count in sorted(counts.items()))


async def rules_of(session: Session, admin: Login, name: str) -> tuple[str, ...]:
    """Return the rules of a user as it has them at a node, but for its passwords."""
    listed = await session.call("ACL", "LIST")
    if isinstance(listed, Failed):
        raise refused(session, admin, listed)
    lines = (line.split() for line in listed)
    found: list[str] = next((rules for _, user, *rules in lines if user == name), [])
    return tuple(rule for rule in found if not rule.startswith("#") and rule not in {"on", "off", "nopass"})


def _setting(reply: Reply) -> str:
    """Return the value of a setting; empty if the server has none of the name."""
    return reply[1] if isinstance(reply, list) and len(reply) > 1 else ""


def _number(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0


def _user(reply: Reply) -> User:
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    flags = facts.get("flags", [])
    return User("on" in flags, "nopass" in flags, frozenset(facts.get("passwords", [])))


def _clients(listed: str) -> list[dict[str, str]]:
    found = [dict(part.partition("=")[::2] for part in line.split(" ")) for line in listed.splitlines()]
    return [{"user": "", "addr": "", **one} for one in found]
