"""Memory of the reconciler of ManagedSecret: one owner for each question, created once for the process.

`Pass` hands it on, with what one pass has observed.
"""

from collections import Counter
from dataclasses import dataclass

from keyturn.controllers.context import Context
from keyturn.controllers.emergency.reconcile import EmergencyMemory
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import DriftHistory, Observation, Observed
from keyturn.kube.events import About, EventType

from .account.memory import AccountMemory
from .compliance import ComplianceMemory
from .consumers import PodMemory
from .generate import GeneratedValues
from .refresh import StoreMemory
from .resolve import ParsedSpecs
from .restart_budget import NO_LIMITS, RestartBudget, RestartLimits, RestartLocks
from .retries import RestartBackoff, invalid_spec
from .secret_reads import Restarts, SecretReads, WriteMemory


class Memory:
    """The owners; a module is handed those whose questions it asks.

    Facts last as long as the process, values of Secrets, specs and stores as long as a pass.
    """

    def __init__(self, context: Context, limits: RestartLimits = NO_LIMITS) -> None:
        self.specs = ParsedSpecs()
        self.secrets = SecretReads(context)
        self.writes = WriteMemory()
        self.drift: dict[ObjectKey, DriftHistory] = {}
        """Recent drift repairs, for their back-off."""
        self.stores = StoreMemory(context)
        self.accounts = AccountMemory()
        self.generated = GeneratedValues()
        self.compliance = ComplianceMemory()
        self.pods = PodMemory()
        self.restarts = RestartBackoff()
        self.restarted = Restarts()
        self.restart_locks = RestartLocks()
        self.budget = RestartBudget(limits, context.now, context.queue.add)
        self.failures: Counter[ObjectKey] = Counter()
        """Failed passes in a row."""
        self.reported: dict[ObjectKey, str] = {}
        """The error that was last reported in a log line and an Event; none after a success."""
        self.emergencies = EmergencyMemory()

    def forget_values(self, key: ObjectKey) -> None:
        """Drop the values of an object: its pass has ended, or another writer has changed them."""
        self.specs.forget_values(key)
        self.secrets.forget_values(key)
        self.stores.pulls.forget_values(key)

    def forget(self, key: ObjectKey) -> None:
        """Drop all records of a deleted object, and cancel its background jobs."""
        for owner in (
            self.specs,
            self.secrets,
            self.writes,
            self.stores,
            self.accounts,
            self.generated,
            self.compliance,
            self.pods,
            self.restarts,
            self.restarted,
            self.budget,
            self.emergencies,
        ):
            owner.forget(key)
        for known in (self.drift, self.failures, self.reported):
            known.pop(key, None)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a step and its report need: one observation of a ManagedSecret, and what the process has."""

    key: ObjectKey
    observed: Observed
    memory: Memory
    context: Context

    @property
    def name(self) -> str:
        """Namespace and name, for the log."""
        return str(self.key)

    def of_case(self, case: type[Observation]) -> Observation:
        """Return the observation as the case for which its step was chosen."""
        if not isinstance(self.observed, case):
            raise invalid_spec()
        return self.observed

    def post(
        self,
        reason: str,
        note: str,
        *,
        about: About | None = None,
        is_warning: bool = False,
        skipped_in_bulk: bool = False,
    ) -> None:
        """Post an Event about the ManagedSecret, or about another object."""
        kind = EventType.WARNING if is_warning else EventType.NORMAL
        about = about or self.observed.managed
        self.context.events.record(about, reason, note, kind, skipped_in_bulk=skipped_in_bulk)

    def warn(self, reason: str, note: str, *, about: About | None = None) -> None:
        self.post(reason, note, about=about, is_warning=True)
