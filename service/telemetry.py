"""The logger of an area, and the counters and histograms behind /metrics."""

from bisect import bisect_left
from collections import Counter as CountOf
from collections.abc import Sequence
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry(auto_describe=True)
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

REFUSED: Final = Counter(
    "welltimed_refused",
    "Requests and connections refused before any work was done for them, by reason.",
    ["reason"],
    registry=REGISTRY,
)
EVENTS: Final = Counter("welltimed_events", "Events by what became of them.", ["outcome"], registry=REGISTRY)
DECISIONS: Final = Counter(
    "welltimed_decisions", "Decisions by channel and action.", ["channel", "action"], registry=REGISTRY
)
DECISION_SECONDS: Final = Histogram(
    "welltimed_decision_seconds", "From request to answer.", buckets=_SECONDS, registry=REGISTRY
)
INGEST_SECONDS: Final = Histogram(
    "welltimed_ingest_seconds", "From batch to commit.", buckets=_SECONDS, registry=REGISTRY
)
INGEST_QUEUE: Final = Gauge(
    "welltimed_ingest_queue", "Events that wait for a commit.", multiprocess_mode="livesum", registry=REGISTRY
)
SNAPSHOT_VERSION: Final = Gauge(
    "welltimed_snapshot_version", "Version of the snapshot in use.", multiprocess_mode="livemax", registry=REGISTRY
)
SNAPSHOTS_REFUSED: Final = Counter(
    "welltimed_snapshots_refused", "Snapshots not taken: damaged or not finite.", registry=REGISTRY
)
EPOCH: Final = Gauge(
    "welltimed_epoch", "Number of the epoch the sums are linearised in.", multiprocess_mode="livemax", registry=REGISTRY
)
REFITS_REFUSED: Final = Counter(
    "welltimed_refits_refused",
    "Refits not put in force: not finite, or worse than the epoch before.",
    registry=REGISTRY,
)
EFFECTS_REFUSED: Final = Counter(
    "welltimed_effects_refused",
    "Effects of pushes not put in force or not taken: not finite, not positive definite, or damaged.",
    registry=REGISTRY,
)
FOLDED: Final = Counter(
    "welltimed_folded_entries", "Entries of the event log the learner has counted.", registry=REGISTRY
)
FAILURES: Final = Counter(
    "welltimed_failures", "What failed unexpectedly and was got over.", ["what"], registry=REGISTRY
)
for _what in ("clock_ahead", "disk_full", "poison_flood"):  # an alert sees what grows, not what appears
    FAILURES.labels(_what)
TICKS: Final = Counter("welltimed_ticks", "Ticks of the scheduler that ran.", ["name"], registry=REGISTRY)

PLANNED: Final = Counter("welltimed_planned_pushes", "Pushes whose moment was drawn.", registry=REGISTRY)
PUSHES: Final = Counter(
    "welltimed_pushes", "Push messages by what came of sending them.", ["outcome"], registry=REGISTRY
)
TRIGGERED: Final = Counter("welltimed_triggered_pushes", "Pushes that events have set off.", registry=REGISTRY)
PUSH_ALARMS: Final = Counter(
    "welltimed_push_alarms",
    "What somebody must mend before pushes arrive, by batches that met it.",
    ["what"],
    registry=REGISTRY,
)
DEGRADED_DECISIONS: Final = Counter(
    "welltimed_degraded_decisions_total",
    "In-app decisions made from memory while PostgreSQL did not answer.",
    registry=REGISTRY,
)
JOURNAL_IMPORTED: Final = Counter(
    "welltimed_journal_imported_total",
    "Decisions brought into PostgreSQL from the journal of degraded ones.",
    registry=REGISTRY,
)
DEAD_LETTERS: Final = Counter(
    "welltimed_dead_letters_total",
    "Events put aside because they could not be counted (welltimed dead-letters).",
    registry=REGISTRY,
)
SENDING_STOPPED: Final = Gauge(
    "welltimed_sending_stopped",
    "1 while all sending is stopped (PUT /v1/sending).",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
PUSH_RATE: Final = Gauge(
    "welltimed_push_rate_per_s",
    "Messages a second that all dispatchers together were allowed last.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)

LEARNER_LAG: Final = Gauge(
    "welltimed_learner_lag_seconds",
    "Since the oldest event was logged that the learner has not counted.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
PUSHES_LATE: Final = Gauge(
    "welltimed_pushes_late_seconds",
    "Since the oldest push was due that is drawn and may be sent.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
SNAPSHOT_AGE: Final = Gauge(
    "welltimed_snapshot_age_seconds",
    "Since the newest snapshot was published.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
STRAYED: Final = Gauge(
    "welltimed_default_partitions_used",
    "Default partitions that hold rows: days were not made in time.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
DATABASE_BYTES: Final = Gauge(
    "welltimed_database_bytes",
    "Size of the database on its disk.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)


def observe_all(histogram: Histogram, amounts: Sequence[float]) -> None:
    """As `observe` of each: in a memory that processes share a single one costs 4 µs, and many fall into few buckets."""
    buckets, bounds = histogram._buckets, histogram._upper_bounds  # noqa: SLF001 - the library has no way to observe many
    for place, count in CountOf(bisect_left(bounds, amount) for amount in amounts).items():
        buckets[place].inc(count)
    histogram._sum.inc(sum(amounts))  # noqa: SLF001


def logger(area: str) -> Any:
    """The logger of one area of the program."""
    return structlog.get_logger(area=area)
