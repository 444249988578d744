"""Desired spec of a ManagedSecret: the spec, completed from its class and the defaults, and validated with them.

Its items are the values of `data` and `dataFrom`, each with its source and its keys.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from types import MappingProxyType

from keyturn.api.base import Recipe
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.rotation import AppliedBy, FailFast, FailFastWhen, OnFailure, Restart
from keyturn.api.secretclass import SecretClass
from keyturn.api.target import Adopt, CreationPolicy, DeletionPolicy, OtherKeys, SecretType
from keyturn.core.errors import Stalled
from keyturn.core.keys import WorkloadKey
from keyturn.core.reasons import ErrorReason

from . import schedule
from .items import VALUE, Item, OwnRotation, Timetable, items_of, own_rotation, timetables_of, usual_gather
from .references import AccountDesired, Destination, destination_of, password_of

_DEFAULT_REFRESH = timedelta(hours=1)
_DEFAULT_DEBOUNCE = timedelta(seconds=5)
_DEFAULT_CONCURRENT = 1
_DEFAULT_HISTORY = 3
_DEFAULT_DEADLINE = timedelta(minutes=10)
_DEFAULT_CRASHES = 3
_ALL_OF_TYPE = {
    SecretType.TLS: ("tls.crt", "tls.key"),
    SecretType.SSH_AUTH: ("ssh-privatekey",),
    SecretType.DOCKER_CONFIG_JSON: (".dockerconfigjson",),
}
_ONE_OF_TYPE = {SecretType.BASIC_AUTH: ("username", "password")}


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """Ownership and lifecycle of the target Secret."""

    creation: CreationPolicy = CreationPolicy.CREATE
    adopt: Adopt = Adopt.NEVER
    others: OtherKeys = OtherKeys.KEEP
    deletion: DeletionPolicy = DeletionPolicy.RETAIN
    immutable: bool = False
    any_type: bool = False
    """The type of an existing Secret is accepted as it is."""

    @property
    def merges(self) -> bool:
        return self.creation is CreationPolicy.MERGE

    @property
    def adopts(self) -> bool:
        return self.adopt is Adopt.IF_UNOWNED

    @property
    def keeps_others(self) -> bool:
        """Whether keys of an adopted Secret that no item writes stay."""
        return self.others is OtherKeys.KEEP

    @property
    def deletes(self) -> bool:
        return self.deletion is DeletionPolicy.DELETE


@dataclass(frozen=True)
class Desired:
    """Spec of a ManagedSecret with every default resolved.

    Without slots, so that what follows from the fields is computed once.
    """

    secret: str
    type: SecretType
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    items: tuple[Item, ...]
    cadence: schedule.Every | schedule.Cron | None
    windows: tuple[schedule.Window, ...]
    overlap: timedelta
    history_limit: int
    rotates: frozenset[str]
    restart: Restart
    targets: tuple[WorkloadKey, ...]
    debounce: timedelta
    waves: Mapping[WorkloadKey, int]
    max_concurrent: int
    progress_deadline: timedelta
    on_failure: OnFailure
    templates: Mapping[str, str]
    crashes: int | None = _DEFAULT_CRASHES
    """Restarts of one container after which a new pod counts as crashing; None if only the deadline decides."""
    has_overlap: bool = False
    """Whether the overlap is set, by the spec or by its class; else it is the default."""
    max_overlap: timedelta | None = None
    """Time after a publication at which its previous values end although pods hold them; None without a limit."""
    target_policy: TargetPolicy = TargetPolicy()
    refresh_interval: timedelta | None = None
    """Interval at which pulled values are read again; None without pulled values or if the Secret is immutable."""
    pushes: tuple[Destination, ...] = ()
    pulls_at_once: bool = False
    """Values that changed in stores do not wait for a window."""
    applied_by: AppliedBy | None = None
    account: AccountDesired | None = None
    """The database account of the password, as its server takes it; None without one."""
    gather: timedelta | None = None
    """How early a value rotates with another one that is due; None for the default."""
    unscheduled: frozenset[str] = frozenset()
    """Generated values that no schedule rotates, as the checklist has it."""
    unapplied: frozenset[str] = frozenset()
    """Values that a schedule rotates, and that a server checks which learns none of them."""
    longest_overlaps: Mapping[str, timedelta] = field(default_factory=dict)
    """Limits of the overlap, by value, while an emergency is open."""

    @cached_property
    def on_request(self) -> frozenset[str]:
        """Values that rotate on request only, because nothing applies them where they are used."""
        return frozenset(name for one in self.timetables if one.on_request for name in one.values)

    @cached_property
    def timetables(self) -> tuple[Timetable, ...]:
        """The schedules of the values that rotate, that of the object first."""
        own = {item.name: item.own for item in self.items if item.own and item.name in self.rotates}
        shared = OwnRotation(self.cadence, self.applied_by, self.overlap)
        return timetables_of(self.rotates, shared, own)

    @cached_property
    def rotates_nothing(self) -> bool:
        """Whether no rotation can change a value, because all are literal or pulled."""
        return not self.target_policy.immutable and not any(item.is_generated for item in self.items)

    @cached_property
    def gathers(self) -> timedelta:
        """How early a value rotates with another one that is due."""
        return usual_gather(self.timetables) if self.gather is None else self.gather

    def overlap_of(self, values: Collection[str]) -> timedelta:
        """Return how long previous values stay valid after a rotation of these: as long as one of them asks for."""
        own = {item.name: item.own.overlap for item in self.items if item.own}
        usual = {name: own.get(name, self.overlap) for name in values}
        limits = self.longest_overlaps
        return max((min(one, limits.get(name, one)) for name, one in usual.items()), default=self.overlap)

    @cached_property
    def keeps_previous(self) -> bool:
        """Whether previous values may stay valid after a rotation."""
        return bool(self.overlap_of(self.names))

    @cached_property
    def reads_previous(self) -> bool:
        """Whether a template may read previous values."""
        return self.keeps_previous and any("previous" in text for text in self.templates.values())

    @cached_property
    def pulled(self) -> tuple[Item, ...]:
        """Items that are read from stores."""
        return tuple(item for item in self.items if item.source)

    @cached_property
    def made_here(self) -> frozenset[str]:
        """Keys that may be pushed: those of generated and literal items, not those of pulled ones.

        Therefore two clusters that read each other's pushes cannot fill a store in a loop.
        """
        keys = frozenset(key for item in self.items if not item.source for key in item.keys.values())
        return keys if self.pulled else keys | self.templates.keys()

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(item.name for item in self.items)

    @cached_property
    def keys(self) -> Mapping[str, Mapping[str, str]]:
        """Keys of each output by item, without the items whose keys are only known after a read."""
        return {item.name: item.keys for item in self.items if not item.spreads}

    @cached_property
    def item_keys(self) -> frozenset[str]:
        """Keys that items write and that are known before stores are read."""
        return frozenset(key for item in self.items for key in item.keys.values())

    @cached_property
    def every_key(self) -> frozenset[str]:
        return self.item_keys | self.templates.keys()


def secret_of(managed: ManagedSecret) -> str:
    """Return the name of the target Secret."""
    return managed.spec.target.name or managed.metadata.name


def resolve_spec(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]] = lambda _: (VALUE,),
    classes: Mapping[str, SecretClass] = MappingProxyType({}),
) -> Desired:
    """Complete the spec from its class, then from the defaults; its values from those of `classes` that they name.

    `outputs_of` returns the outputs of a recipe; the generators define them.

    Raises:
        Stalled: An item has no source, two items write one key, a key of the type is missing, or a push has no key.
    """
    items = items_of(managed, secret_class, outputs_of, classes)
    desired = _filled(managed, secret_class, items, classes)
    _check_type(desired)
    _check_pushes(desired)
    return desired


def _filled(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    items: tuple[Item, ...],
    classes: Mapping[str, SecretClass],
) -> Desired:
    spec, rollout, policy = managed.spec, managed.spec.rollout, _target_policy(managed)
    of_class = secret_class.spec.rotation if secret_class and not policy.immutable else None
    cadences = (spec.rotation, of_class)
    template, rotation = spec.target.template.metadata, spec.rotation
    # A class that says otherwise is about values that no server checks.
    applied_by = AppliedBy.KEYTURN if spec.account else schedule.applied_by_of(*cadences)
    shared = OwnRotation(schedule.cadence_of(*cadences), applied_by, schedule.overlap_of(cadences))
    if not policy.immutable:
        password = password_of(spec.account) if spec.account else None
        is_said = schedule.applied_by_of(spec.rotation) is not None
        rings = frozenset(item.name for item in items if item.is_ring and not is_said)
        own = {one.name: own_rotation(one, classes, cadences, shared, password, rings) for one in spec.data}
        items = tuple(replace(item, own=own.get(item.name)) if item.is_generated else item for item in items)
    is_refreshed = not policy.immutable and any(item.source for item in items)
    return Desired(
        secret=secret_of(managed),
        type=spec.target.type or SecretType.OPAQUE,
        labels=template.labels,
        annotations=template.annotations,
        items=items,
        cadence=shared.cadence,
        windows=schedule.windows_of(*cadences),
        overlap=shared.overlap,
        history_limit=history_limit_of(managed),
        rotates=frozenset() if policy.immutable else _rotates(managed, items),
        restart=rollout.restart or Restart.AUTO,
        targets=tuple(_waves(managed)),
        debounce=_DEFAULT_DEBOUNCE if rollout.debounce is None else rollout.debounce,
        waves={target: wave for target, wave in _waves(managed).items() if wave},
        max_concurrent=rollout.max_concurrent or _DEFAULT_CONCURRENT,
        progress_deadline=rollout.progress_deadline or _DEFAULT_DEADLINE,
        on_failure=rollout.on_failure or OnFailure.ROLLBACK,
        templates=spec.target.template.data or {},
        crashes=_crashes(rollout.fail_fast),
        has_overlap=any(cadence and cadence.overlap is not None for cadence in cadences),
        max_overlap=next((one.max_overlap for one in cadences if one and one.max_overlap), None),
        target_policy=policy,
        refresh_interval=(spec.refresh_interval or _DEFAULT_REFRESH) if is_refreshed else None,
        pushes=tuple(destination_of(push) for push in spec.push_to or ()),
        pulls_at_once=bool(spec.refresh and spec.refresh.ignore_windows),
        applied_by=applied_by,
        gather=rotation.gather if rotation else None,
    )


def _waves(managed: ManagedSecret) -> dict[WorkloadKey, int]:
    """Return the workloads of rollout.targets in their order, each with its wave."""
    namespace, targets = managed.metadata.namespace, managed.spec.rollout.targets or ()
    return {WorkloadKey(namespace, ref.kind, ref.name): ref.wave or 0 for ref in targets}


def _check_pushes(desired: Desired) -> None:
    """Check that every push has a key that is generated or literal."""
    pushed = ", ".join(sorted(desired.made_here)) or "none, so remove pushTo or generate a value"
    for place, destination in enumerate(desired.pushes):
        key = destination.secret_key
        if key not in desired.made_here | {None} or not desired.made_here:
            what = f"pushTo[{place}].secretKey {key!r} is no key" if key else f"pushTo[{place}] finds no key"
            raise Stalled(
                ErrorReason.INVALID_PUSH,
                f"{what} that is generated here; values of stores are not pushed; write one of: {pushed}",
            )


def _target_policy(managed: ManagedSecret) -> TargetPolicy:
    target = managed.spec.target
    return TargetPolicy(
        creation=target.creation_policy or CreationPolicy.CREATE,
        adopt=target.adopt or Adopt.NEVER,
        others=target.other_keys or OtherKeys.KEEP,
        deletion=target.deletion_policy or DeletionPolicy.RETAIN,
        immutable=bool(target.immutable),
        any_type=target.creation_policy is CreationPolicy.MERGE and target.type is None,
    )


def _check_type(desired: Desired) -> None:
    """Check the keys that the Secret type requires; skipped with Merge and dataFrom, which may provide them."""
    if desired.target_policy.merges or any(item.spreads for item in desired.items):
        return  # foreign keys or those of dataFrom may be the missing ones
    one_of, all_of = _ONE_OF_TYPE.get(desired.type, ()), _ALL_OF_TYPE.get(desired.type, ())
    missing = " and ".join(key for key in all_of if key not in desired.every_key)
    if one_of and desired.every_key.isdisjoint(one_of):
        missing = " or ".join(one_of)
    if missing:
        raise Stalled(
            ErrorReason.MISSING_KEY,
            f"type {desired.type} needs the {'keys' if ' and ' in missing else 'key'} {missing}; name an item so,"
            " or write an output under it by keys, or a template",
        )


def _rotates(managed: ManagedSecret, items: tuple[Item, ...]) -> frozenset[str]:
    generated = frozenset(item.name for item in items if item.is_generated)
    only = managed.spec.rotation.only if managed.spec.rotation else None
    return generated if only is None else generated & frozenset(only)


def _crashes(fail_fast: FailFast | None) -> int | None:
    if fail_fast is None:
        return _DEFAULT_CRASHES
    return None if fail_fast.when is FailFastWhen.NEVER else fail_fast.restarts or _DEFAULT_CRASHES


def history_limit_of(managed: ManagedSecret) -> int:
    """Return how many earlier revisions keep their values; the default is 3."""
    limit = managed.spec.rotation.revision_history_limit if managed.spec.rotation else None
    return _DEFAULT_HISTORY if limit is None else limit
