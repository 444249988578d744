"""Desired spec of a ManagedSecret: the spec, completed from its class and the defaults, and validated with them.

Its items are the values of `data` and `dataFrom`, each with its source and its keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from keyturn.api.base import FORMS
from keyturn.api.database import USERNAME
from keyturn.api.rotation import AppliedBy, FailFastWhen, OnFailure, Restart
from keyturn.api.target import Adopt, CreationPolicy, DeletionPolicy, OtherKeys, SecretType
from keyturn.core.errors import Stalled
from keyturn.core.keys import WorkloadKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.value import Value

from . import schedule
from .database import database_of
from .store_refs import destination_of, source_of, spread_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.api.base import Recipe
    from keyturn.api.managedsecret import DataItem, ManagedSecret
    from keyturn.api.rotation import Cadence, FailFast
    from keyturn.api.secretclass import SecretClass

    from .database import DatabaseDesired
    from .store_refs import Destination, Source

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
VALUE = "value"
"""Name of the output of a generator with one value."""
_MAX_KEY_LENGTH = 253
"""Maximum length of a key of a Secret, in characters (Kubernetes API, Secret.data)."""
_SPREAD = "dataFrom["
"""Prefix of the names of dataFrom items; the name of a data item cannot contain `[`."""


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
    database: DatabaseDesired | None = None
    """The database account of the password; None without one."""

    @property
    def on_request(self) -> bool:
        """Whether the schedule only reports when values are due, because nothing applies them where they are used."""
        return self.applied_by is AppliedBy.NOBODY

    @cached_property
    def reads_previous(self) -> bool:
        """Whether a template may read previous values."""
        return bool(self.overlap) and any("previous" in text for text in self.templates.values())

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
) -> Desired:
    """Complete the spec from its class, then from the defaults.

    `outputs_of` returns the outputs of a recipe; the generators define them.

    Raises:
        Stalled: An item has no source, two items write one key, a key of the type is missing, or a push has no key.
    """
    desired = _filled(managed, secret_class, items_of(managed, secret_class, outputs_of))
    _check_type(desired)
    _check_pushes(desired)
    return desired


def _filled(managed: ManagedSecret, secret_class: SecretClass | None, items: tuple[Item, ...]) -> Desired:
    spec, rollout, policy = managed.spec, managed.spec.rollout, _target_policy(managed)
    cadences = _cadences(managed, secret_class, policy)
    template = spec.target.template.metadata
    return Desired(
        secret=secret_of(managed),
        type=spec.target.type or SecretType.OPAQUE,
        labels=template.labels,
        annotations=template.annotations,
        items=items,
        cadence=schedule.cadence_of(*cadences),
        windows=schedule.windows_of(*cadences),
        overlap=schedule.overlap_of(cadences),
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
        has_overlap=schedule.sets_overlap(cadences),
        max_overlap=schedule.max_overlap_of(cadences),
        target_policy=policy,
        refresh_interval=_refresh_interval(managed, items, policy),
        pushes=tuple(destination_of(push) for push in spec.push_to or ()),
        pulls_at_once=bool(spec.refresh and spec.refresh.ignore_windows),
        # A class that says otherwise is about values that no server checks.
        applied_by=AppliedBy.KEYTURN if spec.database else schedule.applied_by_of(*cadences),
        database=database_of(spec.database),
    )


def _cadences(
    managed: ManagedSecret, secret_class: SecretClass | None, policy: TargetPolicy
) -> tuple[Cadence | None, Cadence | None]:
    """Return the cadences of spec and class, in this order; of the class None if the Secret is immutable."""
    of_class = secret_class.spec.rotation if secret_class and not policy.immutable else None
    return managed.spec.rotation, of_class


def _waves(managed: ManagedSecret) -> dict[WorkloadKey, int]:
    """Return the workloads of rollout.targets in their order, each with its wave."""
    namespace, targets = managed.metadata.namespace, managed.spec.rollout.targets or ()
    return {WorkloadKey(namespace, ref.kind, ref.name): ref.wave or 0 for ref in targets}


def _refresh_interval(
    managed: ManagedSecret, items: tuple[Item, ...], policy: TargetPolicy
) -> timedelta | None:
    if policy.immutable or not any(item.source for item in items):
        return None
    return managed.spec.refresh_interval or _DEFAULT_REFRESH


def _check_pushes(desired: Desired) -> None:
    """Check that every push has a key that is generated or literal.

    Raises:
        Stalled: A push has none.
    """
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
    """Check the keys that the Secret type requires; skipped with Merge and dataFrom, which may provide them.

    Raises:
        Stalled: A key is missing.
    """
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


@dataclass(frozen=True, slots=True)
class Item:
    """A value, or a bundle of values, that is generated, literal, read from a store, or the login of an account."""

    name: str
    recipe: Recipe | None
    literal: Value | None
    keys: Mapping[str, str]
    """Key of the Secret by output; empty for dataFrom, whose keys are known after a read."""
    keep_previous: bool = False
    of_class: bool = False
    """The recipe is the class's: values of an older recipe stay until the next rotation."""
    source: Source | None = None
    deletes: bool = False
    """Properties that the store no longer has are removed from the Secret."""
    is_login: bool = False
    """Its value is the login of the database account whose password the revision has."""

    @property
    def is_generated(self) -> bool:
        """Whether it has a value of its own that a rotation replaces."""
        return self.recipe is not None and self.recipe.kind not in FORMS

    @property
    def spreads(self) -> bool:
        """Whether it writes one key for each property of the store's key (dataFrom)."""
        return self.source is not None and self.source.spreads


def is_spread(name: str) -> bool:
    """Return whether `name` is the name of a dataFrom item."""
    return name.startswith(_SPREAD)


def items_of(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]],
) -> tuple[Item, ...]:
    """Return the items of `data`, then those of `dataFrom`.

    Raises:
        Stalled: An item has no source, or two items write one key.
    """
    written = tuple(_item(item, secret_class, outputs_of) for item in managed.spec.data)
    if database := database_of(managed.spec.database):
        password = _password_of(database, written)
        written += (_login_item(password),)
    _check_keys_distinct(written)
    spread = tuple(
        Item(f"{_SPREAD}{place}]", None, None, {}, source=spread_of(every), deletes=every.deletes)
        for place, every in enumerate(managed.spec.data_from or ())
    )
    return written + spread


def _password_of(database: DatabaseDesired, items: tuple[Item, ...]) -> Item:
    """Return the item that is the password: one generated value, whose generator may be the class's.

    Raises:
        Stalled: There is no such value, or another item has the name or key of the login.
    """
    if any(USERNAME in {item.name, *item.keys.values()} for item in items):
        raise Stalled(
            ErrorReason.INVALID_DATABASE,
            f"the key {USERNAME!r} of the Secret is the login of the database account; remove the item of data that"
            " writes it, or give it another name and key",
        )
    item = next((item for item in items if item.name == database.password), None)
    if item is None or item.recipe is None or len(item.keys) != 1:
        raise Stalled(
            ErrorReason.INVALID_DATABASE,
            f"database.passwordValue {database.password!r} names no item of data that generates one value;"
            " name an item with generate: {password: {}}",
        )
    if item.recipe.kind == "bytes" and item.recipe.settings.get("encoding") == "raw":
        remedy = "write generate: {password: {}} for it, or another encoding in its class"
        what = f"data item {item.name!r}, the database password, is raw bytes, which are no text; {remedy}"
        raise Stalled(ErrorReason.INVALID_DATABASE, what)
    return item


def _login_item(password: Item) -> Item:
    """Return the item `username`, which changes with the password and is kept as long."""
    return Item(USERNAME, None, None, {VALUE: USERNAME}, keep_previous=password.keep_previous, is_login=True)


def _item(
    item: DataItem, secret_class: SecretClass | None, outputs_of: Callable[[Recipe], tuple[str, ...]]
) -> Item:
    if item.from_ is not None:
        return Item(item.name, None, None, _keys(item, (VALUE,)), source=source_of(item.from_))
    if item.literal is not None:
        return Item(item.name, None, Value.of_text(item.literal), _keys(item, (VALUE,)))
    recipe = item.generate or (secret_class.spec.generate if secret_class else None)
    if recipe is None:
        raise _without_source(item.name, secret_class)
    try:
        outputs = outputs_of(recipe)
    except Stalled as stalled:
        raise Stalled(stalled.reason, f"data item {item.name!r}: {stalled.message}") from None
    keys = _keys(item, outputs)
    return Item(
        item.name,
        recipe,
        None,
        keys,
        keep_previous=_keeps_previous(item, keys),
        of_class=item.generate is None,
    )


def _without_source(name: str, secret_class: SecretClass | None) -> Stalled:
    absent = f"data item {name!r} has none of generate, from and literal"
    remedy = "write one, such as generate: {password: {}}, or a className whose class has generate"
    if secret_class:
        absent += f", and the class {secret_class.metadata.name!r} has no generate"
        remedy = "write one, such as generate: {password: {}}"
    return Stalled(ErrorReason.NO_GENERATOR, f"{absent}; {remedy}")


def _keys(item: DataItem, outputs: tuple[str, ...]) -> dict[str, str]:
    """Return the key of each output: by `keys`, else the item's name for a single value, else the output's name."""
    chosen = item.keys or {}
    if unknown := sorted(chosen.keys() - set(outputs)):
        raise Stalled(
            ErrorReason.INVALID_KEYS,
            f"keys of data item {item.name!r} names {', '.join(unknown)}, which it does not make;"
            f" write one of {', '.join(outputs)}",
        )
    return {output: chosen.get(output, item.name if output == VALUE else output) for output in outputs}


def _keeps_previous(item: DataItem, keys: Mapping[str, str]) -> bool:
    """Whether the previous value stays readable under `<key>.previous`.

    Raises:
        Stalled: That key would be longer than 253 characters.
    """
    longest = max(keys.values(), key=len)
    if item.keep_previous and len(previous_key(longest)) > _MAX_KEY_LENGTH:
        maximum = _MAX_KEY_LENGTH - len(previous_key(""))
        raise Stalled(
            ErrorReason.INVALID_KEYS,
            f"keepPrevious of data item {item.name!r} would write {previous_key(longest)}, which is longer than"
            f" the {_MAX_KEY_LENGTH} characters of a key; write a key of at most {maximum} by keys",
        )
    return bool(item.keep_previous)


def _check_keys_distinct(items: tuple[Item, ...]) -> None:
    """Check that no two items of data write one key; `controllers.managedsecret.pull` checks those of dataFrom."""
    writers: dict[str, str] = {}
    for item in items:
        for key in item.keys.values():
            if key in writers:
                raise Stalled(
                    ErrorReason.INVALID_KEYS,
                    f"data items {writers[key]!r} and {item.name!r} both write the key {key!r};"
                    " give one of them another by keys",
                )
            writers[key] = item.name


def previous_key(key: str) -> str:
    """Return the key of the previous value during the overlap."""
    return f"{key}.previous"
