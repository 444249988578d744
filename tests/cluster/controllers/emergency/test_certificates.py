"""An emergency over a CA and the certificates that it signs, on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.controllers.emergency.test_emergencies import (
    declare,
    services_updated,
    states,
    status,
    until,
)
from tests.cluster.controllers.managedsecret.test_generators import (
    CA,
    CHAIN,
    LEAF,
    ROOTS,
    TLS,
    certificates,
    written,
)
from tests.cluster.namespace import Space, password

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def issued(space: Space, **leaf: Any) -> Certificate:
    """Create a CA and a certificate; return the certificate of the CA."""
    space.managed(CA, name="shop-ca", target=TLS)
    space.managed(LEAF, password(), **leaf)
    return certificates(written(space, "shop-ca")[CHAIN])[0]


def test_a_certificate_is_signed_by_the_new_ca_and_trusts_no_other(space: Space) -> None:
    exposed = issued(space)

    declare(space)
    assert states(services_updated(space)) == {"shop-ca": "RolledOut", "auth": "RolledOut"}

    authority = certificates(written(space, "shop-ca")[CHAIN])[0]
    assert authority.serial_number != exposed.serial_number
    certificates(written(space)[CHAIN])[0].verify_directly_issued_by(authority)
    assert certificates(written(space)[ROOTS]) == [authority]
    assert certificates(written(space, "shop-ca")[ROOTS]) == [authority]


def test_a_ca_that_is_suspended_holds_up_no_password_and_its_certificate_is_not_done(space: Space) -> None:
    issued(space)
    before = written(space)["password"]
    space.respec(lambda spec: spec.update(suspend=True), "shop-ca")

    declare(space)
    now = until(space, lambda now: states(now).get("shop-ca") == "Suspended", "the CA is not rotated")
    space.until_revision("2")

    assert written(space)["password"] != before
    now = until(space, lambda now: "exposed CA" in str(now.get("secrets")), "the certificate is not done")
    assert (states(now)["auth"], "servicesUpdatedAt" in status(space)) == ("Pending", False)
