"""Memory of the reconciler of ManagedSecret: one owner for each question, created once for the process."""

from __future__ import annotations

from keyturn.controllers.context import Context
from keyturn.controllers.emergency.reconcile import EmergencyMemory
from keyturn.core.keys import ObjectKey

from .account.memory import AccountMemory
from .compliance import ComplianceMemory
from .consumers import PodMemory
from .generate import GeneratedValues
from .refresh import StoreMemory
from .report import ReportedErrors
from .resolve import ParsedSpecs
from .restart_budget import NO_LIMITS, RestartBudget, RestartLimits, RestartLocks
from .retries import Failures, RestartBackoff
from .secret_reads import DriftRepairs, Restarts, SecretReads, WriteMemory


class Memory:
    """The owners; a module is handed those whose questions it asks.

    Facts last as long as the process, values of Secrets, specs and stores as long as a pass.
    """

    def __init__(self, context: Context, limits: RestartLimits = NO_LIMITS) -> None:
        self.specs = ParsedSpecs()
        self.secrets = SecretReads(context)
        self.writes = WriteMemory()
        self.drift = DriftRepairs()
        self.stores = StoreMemory(context)
        self.accounts = AccountMemory()
        self.generated = GeneratedValues()
        self.compliance = ComplianceMemory()
        self.pods = PodMemory()
        self.restarts = RestartBackoff()
        self.restarted = Restarts()
        self.restart_locks = RestartLocks()
        self.budget = RestartBudget(limits, context.now, lambda key: context.wake(key))  # noqa: PLW0108
        self.failures = Failures()
        self.reported = ReportedErrors()
        self.emergencies = EmergencyMemory()

    def forget_values(self, key: ObjectKey) -> None:
        """Drop the values of an object: its pass has ended, or another writer has changed them."""
        self.specs.forget(key)
        self.secrets.forget_values(key)
        self.stores.pulls.forget_values(key)

    def forget(self, key: ObjectKey) -> None:
        """Drop all records of a deleted object, and cancel its background jobs."""
        for owner in (
            self.specs,
            self.secrets,
            self.writes,
            self.drift,
            self.stores,
            self.accounts,
            self.generated,
            self.compliance,
            self.pods,
            self.restarts,
            self.restarted,
            self.budget,
            self.failures,
            self.reported,
            self.emergencies,
        ):
            owner.forget(key)
