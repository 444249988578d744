import pytest

from keyturn.kube import errors
from tests.support.cases import case, cases


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (404, "Unknown", errors.Unavailable),
        (405, "MethodNotAllowed", errors.ApiError),
        (408, "Timeout", errors.Unavailable),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (415, "UnsupportedMediaType", errors.ApiError),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Throttled),
        (500, "InternalError", errors.Unavailable),
        (503, "Unknown", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
def test_a_status_and_its_reason_have_one_meaning(
    status: int, reason: str, meaning: type[errors.ApiError]
) -> None:
    assert type(errors.of_answer("get", "/api/v1/pods", status, reason)) is meaning


def test_an_error_says_verb_path_status_and_reason() -> None:
    error = errors.of_answer("update", "/api/v1/namespaces/shop/secrets/a", 409, "Conflict")
    assert str(error) == "update /api/v1/namespaces/shop/secrets/a: 409 Conflict"


def test_an_error_without_an_answer_says_no_status() -> None:
    assert str(errors.Unavailable("get", "/api/v1/pods", 0, "Timeout")) == "get /api/v1/pods: Timeout"


OBJECT = 'secrets "auth-keyturn" is forbidden: '
WEBHOOK = errors.Denier(errors.DenierKind.WEBHOOK, "labels.example.com")


@cases(
    ("message", "denier"),
    case(
        "a validating policy",
        f"{OBJECT}ValidatingAdmissionPolicy 'freeze' with binding 'freeze.shop' denied request: no",
        errors.Denier(errors.DenierKind.VALIDATING_POLICY, "freeze", "freeze.shop"),
    ),
    case(
        "without a binding",
        f"{OBJECT}ValidatingAdmissionPolicy 'freeze' denied request: no",
        errors.Denier(errors.DenierKind.VALIDATING_POLICY, "freeze"),
    ),
    case(
        "a mutating policy",
        "policy 'defaults' with binding 'all' denied request: a patch failed",
        errors.Denier(errors.DenierKind.POLICY, "defaults", "all"),
    ),
    case("a webhook", 'admission webhook "labels.example.com" denied the request: no', WEBHOOK),
    case(
        "a webhook that says no more",
        'admission webhook "labels.example.com" denied the request without explanation',
        WEBHOOK,
    ),
    case(
        "a webhook that is away",
        'Internal error occurred: failed calling webhook "labels.example.com": failed to call webhook: EOF',
        errors.Denier(errors.DenierKind.BROKEN_WEBHOOK, "labels.example.com"),
    ),
    case(
        "a quota",
        f"{OBJECT}exceeded quota: full, requested: secrets=1, used: secrets=1, limited: secrets=1",
        errors.Denier(errors.DenierKind.QUOTA, "full"),
    ),
)
def test_what_denied_a_request_is_known_by_name(message: str, denier: errors.Denier) -> None:
    assert errors.denier_of(message) == denier


@cases(
    "message",
    case("no message", None),
    case("a missing right", 'secrets is forbidden: User "x" cannot create'),
    case("not at the start", 'text: admission webhook "labels" denied the request: no'),
    case("no name", 'admission webhook "A value" denied the request: no'),
    case("longer than a name", f'admission webhook "{"a" * 254}" denied the request: no'),
    case("two words", f"{OBJECT}exceeded quota: a value\n, requested: secrets=1"),
    case("without the object, as a webhook may write", "exceeded quota: full, requested: secrets=1"),
)
def test_any_other_message_names_nothing(message: str | None) -> None:
    assert errors.denier_of(message) is None


def test_an_error_has_the_name_of_what_denied_the_request() -> None:
    error = errors.of_answer("create", "/api/v1/secrets", 403, "Forbidden", denier=WEBHOOK)
    assert str(error) == "create /api/v1/secrets: 403 Forbidden by admission webhook 'labels.example.com'"


@pytest.mark.parametrize(
    ("causes", "fields"),
    [
        (
            [{"field": "spec.data[0].generate.length", "message": "hunter2"}],
            ("spec.data[0].generate.length",),
        ),
        ([{"field": "spec.a"}, {"field": "spec.a"}, {"field": "spec.b"}], ("spec.a", "spec.b")),
        ([{"field": "metadata.annotations[hunter2]"}], ("metadata.annotations",)),
        ([{"field": "<nil>"}, {"field": 1}, "spec", {}], ()),
        ("spec", ()),
        (None, ()),
    ],
)
def test_the_fields_of_a_refusal_are_paths_without_keys_and_values(
    causes: object, fields: tuple[str, ...]
) -> None:
    assert errors.fields_of({"details": {"causes": causes}}) == fields


@pytest.mark.parametrize("status", [None, "", {}, {"details": None}])
def test_a_status_without_causes_names_no_field(status: object) -> None:
    assert errors.fields_of(status) == ()
