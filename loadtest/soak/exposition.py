"""/metrics, of which a soak looks at what must not have happened, and at what was counted."""

from typing import Final

from loadtest import wire

Metrics = dict[str, float]

WANTED: Final = (
    "welltimed_failures_total",
    "welltimed_dead_letters_total",
    "welltimed_refused_total",
    "welltimed_snapshots_refused_total",
    "welltimed_refits_refused_total",
    "welltimed_effects_refused_total",
    "welltimed_degraded_decisions_total",
    "welltimed_push_alarms_total",
    "welltimed_default_partitions_used",
    "welltimed_folded_entries_total",
    "welltimed_pushes_total",
    "welltimed_planned_pushes_total",
    "welltimed_triggered_pushes_total",
    "welltimed_events_total",
    "welltimed_ticks_total",
    "welltimed_snapshot_version",
    "welltimed_epoch",
)
NEVER: Final = WANTED[:2] + WANTED[3:8]
"""These must be 0."""
_LARGEST: Final = {"welltimed_default_partitions_used", "welltimed_snapshot_version", "welltimed_epoch"}


async def read(port: int) -> Metrics:
    """The wanted ones by name with labels, over all processes: sums, and of gauges the largest."""
    _, body = await wire.ask(port, wire.request("GET", "/metrics", {}, b""))
    return summed(body.decode())


def summed(text: str) -> Metrics:
    """The same of the text itself; the label of the process is left out."""
    found: Metrics = {}
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        if line.startswith("#") or name not in WANTED:
            continue
        labels, _, value = rest.rpartition("} ")
        kept = ",".join(label for label in labels.split(",") if not label.startswith("worker="))
        key = f"{name}{{{kept}}}" if kept else name
        if name in _LARGEST:
            found[key] = max(found.get(key, 0.0), float(value))
        else:
            found[key] = found.get(key, 0.0) + float(value)
    return found


def total(metrics: Metrics, name: str) -> float:
    """Over all labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)
