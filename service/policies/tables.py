"""Policies, evaluations and snapshots as text for people."""

from schema.policy import Policies, Policy, Promotion
from schema.policy_evaluation import Estimated, PolicyEvaluation, Weights
from schema.snapshot_pin import Snapshots
from service.store.policies import label_of


def policies(found: Policies) -> str:
    """Of `policies list`."""
    lines = [policy(one) for one in found.data]
    if found.promotions:
        lines += ["", *(promotion(one) for one in found.promotions)]
    return "\n".join(lines)


def policy(one: Policy) -> str:
    """One line a policy; the one in force has a star."""
    settings = one.settings
    exploration = "default" if settings.exploration is None else f"{settings.exploration:g}"
    made = "built in" if one.created_at is None else f"{one.created_at:%Y-%m-%d %H:%M} by {one.created_by}"
    return (
        f"{'*' if one.is_in_force else ' '} {label_of(settings.name, one.version):<24} {settings.kind:<15}"
        f" exploration {exploration}, floor {settings.floor:g}, gate floor {settings.gate_floor:g}  ({made})"
    )


def promotion(one: Promotion) -> str:
    """One line a change of what is in force."""
    what = "rolled back to" if one.kind == "rollback" else "promoted by force" if one.is_forced else "promoted"
    label = label_of(one.name, one.version)
    return f"{one.promoted_at:%Y-%m-%d %H:%M}  {what} {label} by {one.promoted_by}: {one.reason}"


def evaluation(told: PolicyEvaluation) -> str:
    """Of `policies evaluate`."""
    skipped = "".join(f", {count:,} {reason.replace('_', ' ')}" for reason, count in told.skipped.items())
    level = f"{100 * told.confidence:g} %"
    lines = [
        f"{told.challenger} against {told.incumbent}, {told.since:%Y-%m-%d %H:%M} to {told.until:%Y-%m-%d %H:%M}",
        f"{told.decisions:,} decisions{' of the control,' if told.group == 'control' else ''} of {told.people_groups:,} people or groups of them{skipped}",
        _weights(told.challenger, told.weights),
        _weights(told.incumbent, told.weights_in_force),
        "",
        f"{'a decision':<12}{told.challenger:>14} {level:<22}{told.incumbent:>14} {level:<22}{'gain':>11} {level}",
    ]
    for name, value in told.value.items():
        gain = told.gain.get(name)
        tail = "" if gain is None else _value(gain, 11)
        lines.append(f"{name:<12}{_value(value, 14)}{_value(told.value_in_force[name], 14)}{tail}".rstrip())
    lines += ["", f"trustworthy: {'yes' if told.trustworthy else 'NO'}"]
    lines += [f"  - {reason}" for reason in told.reasons]
    lines += [f"  (caution: {caution})" for caution in told.cautions]
    return "\n".join([*lines, "", told.conclusion])


def snapshots(found: Snapshots) -> str:
    """Of `snapshots list`, `pin` and `unpin`."""
    pin = found.pin
    held = (
        "decisions use the newest"
        if pin is None
        else f"decisions are held to {pin.version} since {pin.pinned_at:%Y-%m-%d %H:%M} by {pin.pinned_by}: {pin.reason}"
    )
    return "\n".join(
        [held]
        + [
            f"{'*' if one.version == found.in_force else ' '} {one.version:>8}  {one.published_at:%Y-%m-%d %H:%M:%S}  {one.size_bytes:,} bytes"
            for one in found.data
        ]
    )


def _weights(label: str, one: Weights) -> str:
    return (
        f"{label}: effective rows {one.ess:,.0f}, effective rewards {one.effective_rewards:,.0f}, largest weight"
        f" {one.max_weight:,.1f}, mean weight {one.mean_weight:.3g}"
    )


def _value(one: Estimated, width: int) -> str:
    return f"{_number(one.value):>{width}} {_number(one.low) + ' … ' + _number(one.high):<22}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"
