"""Drill of a recovery: a backup is restored into an empty namespace and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.kube.state_secret import state_of

from .backup import NoBackup
from .fingerprints import marked
from .restoring import put_back, states_of, take_away

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.core.state.state import State
    from keyturn.kube.client import Body

    from .backup import Backup
    from .facts import Facts

__all__ = ["Drill"]

_CHECK_ADMISSION = "see what of admission or quota changes or deletes Secrets in the namespace of the drill"
_BACK_UP_MORE_OFTEN = (
    "take backups more often: after each rotation, or as often as the schedule's shortest interval"
)


@dataclass(frozen=True, slots=True)
class Drill:
    """A restore into a namespace that is empty before and afterwards."""

    backup: Backup
    namespace: str

    async def findings(self, facts: Facts) -> list[Finding]:
        """Restore, read back, compare with the cluster, and delete everything again."""
        present = {one["metadata"]["name"]: one for one in await states_of(facts.api, self.backup.namespace)}
        try:
            made = await put_back(facts.api, self.backup, self.namespace)
        except NoBackup as problem:
            return [_finding(Verdict.UNKNOWN, str(problem), "name a namespace without Secrets of Keyturn")]
        try:
            restored = {one["metadata"]["name"]: one for one in await states_of(facts.api, self.namespace)}
        except BaseException:  # also Ctrl-C
            if left := await self._take_away(facts, made):
                return left
            raise
        if left := await self._take_away(facts, made):
            return left
        losses = [*_losses(self.backup, restored, facts.mark)]
        if found := losses or [*_differences(present, restored, facts.mark)]:
            return found
        if not present:
            evidence = (
                f"the {len(restored)} states of the backup came back as they were, and namespace"
                f" {self.backup.namespace} has none today to compare them with"
            )
            return [_finding(Verdict.UNKNOWN, evidence, "drill with a backup of a namespace that is in use")]
        evidence = f"the values of {len(present)} ManagedSecrets came back as they are, into {self.namespace}"
        return [_finding(Verdict.PASS, evidence)]

    async def _take_away(self, facts: Facts, made: dict[str, str]) -> list[Finding]:
        """Delete what was restored; return a finding that names what remains."""
        try:
            await take_away(facts.api, self.namespace, made)
        except NoBackup as problem:
            return [_finding(Verdict.FAIL, str(problem), "let the drill's user delete Secrets there")]
        return []


def _losses(backup: Backup, restored: dict[str, Body], mark: bytes) -> Iterator[Finding]:
    """Compare the restored Secrets with the backup."""
    for name in sorted(backup.states):
        where = f"{backup.namespace}/{name}"
        if name not in restored:
            yield _finding(
                Verdict.FAIL, "the backup has it, and it did not come back", _CHECK_ADMISSION, where
            )
        elif (found := _read(restored[name])) is None:
            yield _finding(Verdict.FAIL, "it came back and cannot be read", _CHECK_ADMISSION, where)
        elif _marks(found, mark) != _marks(backup.state(name), mark):
            yield _finding(
                Verdict.FAIL, "it came back with other values than the backup has", _CHECK_ADMISSION, where
            )


def _differences(present: dict[str, Body], restored: dict[str, Body], mark: bytes) -> Iterator[Finding]:
    for name, body in sorted(present.items()):
        where = f"{body['metadata']['namespace']}/{name}"
        before, now = _read(restored.get(name)), _read(body)
        if before is None:
            yield _finding(Verdict.FAIL, "the backup does not have it", _BACK_UP_MORE_OFTEN, where)
        elif now is None:
            yield _finding(Verdict.FAIL, "the state in the cluster cannot be read", "restore it", where)
        elif _marks(now, mark) != _marks(before, mark):
            numbers = before.facts.current_number, now.facts.current_number
            evidence = f"the backup has revision {numbers[0]}, the cluster {numbers[1]}"
            yield _finding(
                Verdict.FAIL, f"it came back with other values: {evidence}", _BACK_UP_MORE_OFTEN, where
            )


def _read(body: Body | None) -> State | None:
    """Parse a state Secret; None if there is none, or if it cannot be parsed."""
    try:
        return state_of(body) if body else None
    except Stalled:
        return None


def _marks(state: State, mark: bytes) -> dict[tuple[str, str], bytes]:
    """Return the digests of the current revision."""
    return {
        (name, output): marked(value, mark)
        for name, kept in state.current.values.items()
        for output, value in kept.outputs.items()
    }


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.RECOVERY, verdict, evidence, remedy, where)
