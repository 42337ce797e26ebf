"""What many decisions become: what is shown, why nothing is, and their rows in the log."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schema.decision import Action, Channel
from service import telemetry
from service.decision.kept import CONTROL
from service.decision.many import Asking, Many, Outcomes
from service.store import decision_columns, decision_rows, decisions
from service.store.decision_columns import NO_BYTES, Columns
from service.store.decision_rows import Shared, sized

I64 = npt.NDArray[np.int64]

_TREATED, _CONTROL, _HOLDOUT, _GATE, _SILENT = range(5)
_REASONS: Final = ((), ("control",), ("holdout",), ("gate",))


class Versions(NamedTuple):
    """Of the snapshot and of the catalogue that were decided with."""

    snapshot: int
    catalogue: int


class Told(NamedTuple):
    """Of those who were decided for, by their places: the offer shown, -1 where none is, and then the reasons."""

    places: I64
    shown: I64
    reasons: list[tuple[str, ...]]


async def log(connection: Any, many: Many, found: Outcomes, user_versions: I64, versions: Versions) -> Told:
    """Logs who was decided for in one atomic batch."""
    places = np.flatnonzero(found.is_decided)
    fates = _fates(found)[places]
    is_shown = fates <= _CONTROL
    shared = _Shared(many.askings, versions)
    controls = found.in_control[places]
    keys = list(zip(many.asking[places].tolist(), fates.tolist(), controls.tolist(), strict=True))
    some = places.tolist()
    is_drawn = fates != _SILENT
    heads, entries = _tastes(found, many, places, is_drawn)
    has_own = found.has_own.tolist()
    columns = Columns(
        many.user_ids[places],
        many.decision_ids[places],
        user_versions[places],
        np.where(is_shown, Action.OFFER, Action.NO_SEND),
        found.in_holdout[places],
        controls,
        np.where(is_drawn & ~found.in_holdout[places], found.send[places], 0.0),
        [shared.of(key) for key in keys],
        heads,
        entries,
        [sized(found.known.packed_sums[n]) if has_own[n] else NO_BYTES for n in some],
        [found.drawn[n] for n in some],
    )
    if some:
        await decisions.insert_many(connection, columns)
    _count(many, places, is_shown)
    reasons = [many.askings[asking].reasons if fate == _SILENT else _REASONS[fate] for asking, fate, _ in keys]
    return Told(places, np.where(is_shown, found.chosen[places], -1), reasons)


def _fates(found: Outcomes) -> I64:
    """What becomes of each."""
    fates = np.where(found.in_control, _CONTROL, _TREATED)
    fates[~found.is_sent] = _GATE
    fates[found.in_holdout] = _HOLDOUT
    fates[found.chosen < 0] = _SILENT
    return fates


def _tastes(
    found: Outcomes, many: Many, places: I64, is_drawn: npt.NDArray[np.bool_]
) -> tuple[list[bytes], list[bytes]]:
    """The field tastes in two parts: as far as the entries, and these. Of a silence, and where nothing may be used, it is empty."""
    known = found.known
    may_personalise = np.array([one.inputs.may_personalise for one in many.askings], np.bool_)[many.asking[places]]
    is_told = (is_drawn & may_personalise).tolist()
    entries = [known.entries[n] if told else b"" for n, told in zip(places.tolist(), is_told, strict=True)]
    heads = decision_columns.heads(known.headers[places], entries)
    return [head if told else NO_BYTES for head, told in zip(heads, is_told, strict=True)], entries


class _Shared:
    """The columns from channel to eligible, made once for all of the same asking, fate and group."""

    def __init__(self, askings: Sequence[Asking], versions: Versions) -> None:
        self._askings = askings
        self._versions = versions
        self._known: dict[tuple[int, int, bool], bytes] = {}

    def of(self, key: tuple[int, int, bool]) -> bytes:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._made(*key)
        return found

    def _made(self, asking: int, fate: int, in_control: bool) -> bytes:
        one = self._askings[asking]
        ask, reasons = one.ask, one.reasons if fate == _SILENT else _REASONS[fate]
        policy = CONTROL if in_control else ask.rules.policy
        shared = decision_rows.shared(
            Shared(ask.channel, *self._versions, ask.campaign_id, ask.placement, policy, reasons)
        )
        return b"".join((shared, decision_rows.request_of(one.inputs), sized(one.eligible.packed)))


def _count(many: Many, places: I64, is_shown: npt.NDArray[np.bool_]) -> None:
    channels = [many.askings[asking].ask.channel for asking in many.asking[places].tolist()]
    for (channel, shown), count in Counter(zip(channels, is_shown.tolist(), strict=True)).items():
        action = Action.OFFER if shown else Action.NO_SEND
        telemetry.DECISIONS.labels(Channel(channel).name, action.name.lower()).inc(count)
