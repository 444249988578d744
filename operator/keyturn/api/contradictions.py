"""CEL rules of a ManagedSecret's spec over several fields, each with a message that says what to write instead."""

from typing import Final

from .account import PASSWORD, USERNAME
from .databasetarget import ACCOUNT_MANAGERS, AccountManager
from .target import SecretType

# Rules of one item of `spec.data`; `self` is the item.

_KEEPS_PREVIOUS = "has(self.keepPrevious) && self.keepPrevious"


OF_ITEM: Final = (
    (
        "has(self.from) ? !has(self.generate) && !has(self.literal) : !has(self.literal) || !has(self.generate)",
        "an item has one of generate, from and literal; keep one",
    ),
    (
        f"!({_KEEPS_PREVIOUS} && has(self.literal))",
        "a literal is never rotated, so there is no previous one; remove keepPrevious",
        ".keepPrevious",
    ),
    (
        f"!({_KEEPS_PREVIOUS} && has(self.from))",
        "the old value of a pulled one is the store's to keep; remove keepPrevious",
        ".keepPrevious",
    ),
    # On the item, not on the literal, whose text the API server would quote. The schema rejects longer ones anyway.
    (
        "!has(self.literal) || self.literal.size() <= 16384",
        "a literal has at most 16384 characters; keep a longer text in a store and read it with from",
        ".literal",
    ),
    (
        "!has(self.rotation) || !(has(self.literal) || has(self.from))",
        "rotation replaces a generated value, and this one is literal or pulled; remove rotation, or generate it",
        ".rotation",
    ),
    (
        "!has(self.className) || !has(self.literal)",
        "a literal is not secret, so no class applies to it; remove className",
        ".className",
    ),
)
"""CEL rules of one item of `spec.data`."""

# Rules of the whole spec; `self` is the spec from here on.
#
# The API server evaluates them at each create, update and status update, also those of absent fields. Each read of a
# field, by `has()` too, copies the schemas of its siblings, a present field twice and with those of its own fields.
# So a rule about one optional field is on that field, and others begin with the field that most specs lack. A rule
# about several fields reads none in a spec that has only data or dataFrom.

_HAS_ONE_FIELD = "dyn(self).size() == 1"

_NAMES_A_CLASS = "(has(self.className) && self.className != '')"
_MAY_BE_GENERATED = "!has(d.literal) && !has(d.from)"
"""CEL for an item `d` that has a generator, or may get one from its class."""
_IS_IMMUTABLE = "(has(self.target) && has(self.target.immutable) && self.target.immutable)"
_PULLS = "(has(self.dataFrom) || (has(self.data) && self.data.exists(d, has(d.from))))"

_HAS_ONLY_WINDOWS = (
    "has(self.rotation.windows) && !has(self.rotation.every) && !has(self.rotation.schedule)"
    " && !has(self.rotation.trigger) && !has(self.rotation.overlap)"
)


# Rules about keys of stores.


def _kind_of(ref: str) -> str:
    return f"(has({ref}.kind) ? {ref}.kind : 'SecretStore')"


def _are_same(one: str, other: str) -> str:
    """Return CEL that is true if two entries refer to the same key of the same store."""
    stores = f"{one}.storeRef", f"{other}.storeRef"
    return (
        f"{one}.remoteRef.key == {other}.remoteRef.key && {stores[0]}.name == {stores[1]}.name"
        f" && {_kind_of(stores[0])} == {_kind_of(stores[1])}"
    )


def _prefix_of(entry: str) -> str:
    return f"(has({entry}.prefix) ? {entry}.prefix : '')"


OF_DATA_FROM: Final = (
    (
        (f"self.all(d, self.exists_one(o, {_prefix_of('d')} == {_prefix_of('o')} && {_are_same('d', 'o')}))"),
        "two entries of dataFrom bring the same keys; remove one, or give one of them another prefix",
    ),
)
"""CEL rules of the list `spec.dataFrom`."""
OF_PUSH_TO: Final = (
    (
        f"self.all(p, self.exists_one(o, {_are_same('p', 'o')}))",
        "two entries of pushTo write the same key of the same store; remove one, or write another key",
    ),
)
"""CEL rules of the list `spec.pushTo`."""

# Rules about the keys that each Secret type requires.

# Generators with one value, written under the item's name. The outputs of others, and of the generator of a
# class, are known to the operator only.
_SINGLE = ("password", "passphrase", "bytes", "uuid")


def _may_make(key: str) -> str:
    """Return CEL that is true if an item, a template or dataFrom may provide `key`.

    The keys that dataFrom provides are known only after the store was read, so dataFrom always counts.
    """
    makes_one = " || ".join(f"has(d.generate.{kind})" for kind in _SINGLE)
    template = "has(self.target.template) && has(self.target.template.data)"
    return (
        f"(has(self.dataFrom) || (has(self.data) && self.data.exists(d, d.name == '{key}' || has(d.keys)"
        f" || (has(d.generate) ? !({makes_one}) : {_MAY_BE_GENERATED})))"
        f" || ({template} && '{key}' in self.target.template.data))"
    )


_KEYS_OF_TYPES: Final = {
    SecretType.TLS: (
        f"{_may_make('tls.crt')} && {_may_make('tls.key')}",
        "the keys tls.crt and tls.key; name data items so, or write them by keys",
    ),
    SecretType.SSH_AUTH: (
        _may_make("ssh-privatekey"),
        "the key ssh-privatekey; name a data item so, or write it by keys",
    ),
    SecretType.DOCKER_CONFIG_JSON: (
        _may_make(".dockerconfigjson"),
        "the key .dockerconfigjson; name a data item so, or write it by keys",
    ),
    SecretType.BASIC_AUTH: (
        f"{_may_make('username')} || {_may_make('password')}",
        "the key username or password; name a data item so",
    ),
}
"""For each type, CEL that is true if its keys may be there, and what it needs otherwise."""
_MERGES = "(has(self.target.creationPolicy) && self.target.creationPolicy == 'Merge')"
_HAS_ITS_KEYS = " && ".join(
    f"(self.target.type != '{type_}' || ({may_be_there}))"
    for type_, (may_be_there, _) in _KEYS_OF_TYPES.items()
)
_NEEDS = ", ".join(f"'{type_}': 'type {type_} needs {what}'" for type_, (_, what) in _KEYS_OF_TYPES.items())

# Rules about the account of a database server, as one, so that a spec without database reads one field for it.

_PASSWORD = f"(has(self.account.passwordValue) ? self.account.passwordValue : '{PASSWORD}')"
# A class may bring the generator. Bytes that are raw are no text, and a database password is one.
_IS_PRINTABLE = (
    "(!has(d.generate) || has(d.generate.password) || has(d.generate.passphrase)"
    " || (has(d.generate.bytes) && (!has(d.generate.bytes.encoding) || d.generate.bytes.encoding != 'raw')))"
)
_WRITES_USERNAME = (
    f"(has(self.data) && self.data.exists(d, d.name == '{USERNAME}'"
    f" || (has(d.keys) && d.keys.exists(o, d.keys[o] == '{USERNAME}'))))"
    " || (has(self.target) && has(self.target.template) && has(self.target.template.data)"
    f" && '{USERNAME}' in self.target.template.data)"
)
_HAS_ITS_PASSWORD = (
    "(has(self.data) && self.data.exists(d,"
    f" d.name == {_PASSWORD} && {_MAY_BE_GENERATED} && {_IS_PRINTABLE}))"
)
_ROTATES_ITS_PASSWORD = (
    f"(!has(self.rotation) || !has(self.rotation.only) || self.rotation.only.exists(n, n == {_PASSWORD}))"
)
_IS_APPLIED_BY_KEYTURN = (
    "(!has(self.rotation) || !has(self.rotation.appliedBy) || self.rotation.appliedBy == 'Keyturn')"
)
_LABELS = "self.target.template.metadata.labels"


def _is_managed_by(one: AccountManager) -> str:
    """Return CEL for the labels of another operator, which is true for a Secret that it keeps."""
    name, _, text = one.label.partition("=")
    parts = [f"'{name}' in {_LABELS}"]
    parts += [f"{_LABELS}['{name}'] == '{text}'"] if text else []
    parts += [f"'{one.also}' in {_LABELS}"] if one.also else []
    return " && ".join(parts)


_IS_MANAGED_ELSEWHERE = (
    "(has(self.target) && has(self.target.template) && has(self.target.template.metadata)"
    f" && has({_LABELS}) && ({' || '.join(f'({_is_managed_by(one)})' for one in ACCOUNT_MANAGERS)}))"
)
_OF_ACCOUNTS: Final = (
    (
        _HAS_ITS_PASSWORD,
        (
            "account needs the item of data that passwordValue names (password if absent), generated by password,"
            " passphrase, or bytes in an encoding other than raw; add it"
        ),
    ),
    (
        f"!({_WRITES_USERNAME})",
        "account writes the key username, the login that works now; give the other value another name or key",
    ),
    (
        f"!{_IS_IMMUTABLE}",
        "an immutable Secret cannot get the next password; remove account, or write immutable: false",
    ),
    (
        _ROTATES_ITS_PASSWORD,
        "rotation.only leaves out the password of account; add its name there, or remove only",
    ),
    (
        _IS_APPLIED_BY_KEYTURN,
        "with account, Keyturn applies each password at the server; remove appliedBy",
    ),
    (
        f"!{_IS_MANAGED_ELSEWHERE}",
        (
            f"by these labels {' or '.join(dict.fromkeys(one.operator for one in ACCOUNT_MANAGERS))} sets the"
            " password as well; remove them from target.template.metadata, or remove account"
        ),
    ),
)
"""CEL about a spec with database, each with what to write instead."""

# Limits of size.


def _size_of_all(texts: str) -> str:
    """Return CEL for the total number of characters in the values of a map, 0 if the map is absent."""
    return f"(has({texts}) ? {texts}.map(k, {texts}[k].size()).sum() : 0)"


_MOST_TEXT = 65536
_TOO_MUCH_TEXT = (
    f"literals, templates and annotations have at most {_MOST_TEXT} characters together; split them over several"
    " ManagedSecrets, or keep long texts in a store and read them with from"
)


def _size_of_literals(items: str) -> str:
    return f"{items}.map(d, has(d.literal) ? d.literal.size() : 0).sum()"


_TEMPLATE = "self.target.template"
_LITERALS = f"(has(self.data) ? {_size_of_literals('self.data')} : 0)"
_ANNOTATIONS = f"(has({_TEMPLATE}.metadata) ? {_size_of_all(f'{_TEMPLATE}.metadata.annotations')} : 0)"

OF_DATA: Final = ((f"{_size_of_literals('self')} <= {_MOST_TEXT}", _TOO_MUCH_TEXT),)
"""CEL rules of the list `spec.data`."""
_OF_SEVERAL: Final = (
    (
        (
            f"!has(self.target) || !has({_TEMPLATE})"
            f" || {_LITERALS} + {_size_of_all(f'{_TEMPLATE}.data')} + {_ANNOTATIONS} <= {_MOST_TEXT}"
        ),
        _TOO_MUCH_TEXT,
    ),
    (
        (
            "!has(self.rotation) || !has(self.rotation.only) || !has(self.data)"
            f" || self.rotation.only.all(n, self.data.exists(d, d.name == n && {_MAY_BE_GENERATED}))"
        ),
        "rotation.only names a value that data does not generate; use names of generated items",
        ".rotation.only",
    ),
    (
        (
            "!has(self.rotation) || !has(self.rotation.jitter) || has(self.rotation.every)"
            f" || has(self.rotation.schedule) || {_NAMES_A_CLASS}"
        ),
        "jitter spreads every; write every as well, or a className whose class has it",
        ".rotation.jitter",
    ),
    (
        (
            f"!has(self.rotation) || (has(self.data) && self.data.exists(d, {_MAY_BE_GENERATED}))"
            f" || ({_HAS_ONLY_WINDOWS} && {_PULLS})"
        ),
        "rotation replaces generated values and data has none; generate one, or keep only windows for pulled ones",
        ".rotation",
    ),
    (
        f"!(has(self.refreshInterval) || has(self.refresh)) || {_PULLS}",
        "refreshInterval and refresh need pulled values and none is pulled; remove them, or write from or dataFrom",
        ".refreshInterval",
    ),
    (
        f"!has(self.rotation) || !{_IS_IMMUTABLE}",
        "an immutable Secret is written once; remove rotation, or write immutable: false",
        ".rotation",
    ),
    (
        f"!{_IS_IMMUTABLE} || !has(self.data) || !self.data.exists(d, has(d.rotation))",
        "an immutable Secret is written once; remove rotation of its values, or write immutable: false",
        ".data",
    ),
    (
        f"!has(self.refreshInterval) || !{_IS_IMMUTABLE}",
        "an immutable Secret is written once; remove refreshInterval, or write immutable: false",
        ".refreshInterval",
    ),
    (
        "!has(self.pushTo) || (has(self.data) && self.data.exists(d, !has(d.from)))",
        "pushTo pushes what is generated or literal here and data has none; remove pushTo",
        ".pushTo",
    ),
    (
        (
            "!has(self.pushTo) || !has(self.data) || self.pushTo.all(p, !has(p.secretKey)"
            " || !self.data.exists(d, has(d.from) && (has(d.keys)"
            " ? d.keys.exists(o, d.keys[o] == p.secretKey) : d.name == p.secretKey)))"
        ),
        "secretKey names a value that is pulled and so never pushed; name one that is generated or literal",
        ".pushTo",
    ),
    (
        (
            "!has(self.pushTo) || self.pushTo.all(p,"
            f" !(has(self.data) && self.data.exists(d, has(d.from) && {_are_same('d.from', 'p')}))"
            f" && !(has(self.dataFrom) && self.dataFrom.exists(d, {_are_same('d', 'p')})))"
        ),
        "pushTo would write over what from or dataFrom reads; push to another key",
        ".pushTo",
    ),
    # One rule for all types, so that a spec without a type, as most are, reads one field for it.
    (
        f"!has(self.target) || !has(self.target.type) || {_MERGES} || ({_HAS_ITS_KEYS})",
        (
            "a type needs its keys: tls.crt and tls.key, ssh-privatekey, .dockerconfigjson, or username or password;"
            " name data items so, or write them by keys"
        ),
        ".target.type",
        f"{{{_NEEDS}}}[self.target.type]",
    ),
    (
        f"!has(self.account) || ({' && '.join(f'({rule})' for rule, _ in _OF_ACCOUNTS)})",
        (
            "account needs a generated password, its own key username, and a Secret that rotates; see the fields"
            " data, target and rotation"
        ),
        ".account",
        " : ".join(f"!({rule}) ? '{message}'" for rule, message in _OF_ACCOUNTS[:-1])
        + f" : '{_OF_ACCOUNTS[-1][1]}'",
    ),
    (
        (
            "!has(self.rotation) || !has(self.rotation.appliedBy) || self.rotation.appliedBy != 'Keyturn'"
            " || has(self.account)"
        ),
        (
            "Keyturn applies a value at the server that account names; write account, or appliedBy: Nobody, or"
            " Application if something of yours applies it"
        ),
        ".rotation.appliedBy",
    ),
)
"""CEL rules about several fields, of which a spec that has values has at least two."""
OF_SPEC: Final = (
    (
        "has(self.data) || has(self.dataFrom)",
        "a Secret needs values; write data, dataFrom or both",
    ),
    (
        (
            "!has(self.data)"
            " || self.data.all(d, has(d.generate) || has(d.from) || has(d.literal) || has(d.className))"
            f" || {_NAMES_A_CLASS}"
        ),
        "every item of data needs generate, from or literal, or a className whose class brings a generator",
        ".data",
    ),
    *((f"{_HAS_ONE_FIELD} || {rule}", *hints) for rule, *hints in _OF_SEVERAL),
)
"""CEL rules of the whole `spec`."""
