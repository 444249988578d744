"""Evaluation of label selectors, with the semantics of Kubernetes' LabelSelector."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from keyturn.api.meta import Operator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.api.meta import LabelRequirement, LabelSelector


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether `labels` meet every requirement of `selector`; an empty selector matches all."""
    if any(labels.get(name) != value for name, value in selector.match_labels.items()):
        return False
    return all(_holds(requirement, labels) for requirement in selector.match_expressions)


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    key, values = requirement.key, requirement.values or ()
    match requirement.operator:
        case Operator.IN:
            return labels.get(key) in values
        case Operator.NOT_IN:  # NotIn also matches if the label is absent
            return labels.get(key) not in values
        case Operator.EXISTS:
            return key in labels
        case Operator.DOES_NOT_EXIST:
            return key not in labels
        case _:
            assert_never(requirement.operator)
