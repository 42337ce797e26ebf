"""Logged decisions made anew from what was logged: which of them still can be, and why the others cannot."""

from typing import Any, Final

from bandits import tastes
from bandits.personal import UnknownSumsError
from bandits.policies.model import NO_MAP, DamagedSnapshotError, Model
from bandits.policies.scores import NotFiniteError
from service.decision import replay
from service.decision.replay import Replayed
from service.store import models, snapshots
from service.store.catalogue import CatalogueCache, VersionMissing
from service.store.logged_decision import LoggedDecision

MODELS_MAX: Final = 16
PROPENSITY_TOLERANCE: Final = 1e-4
"""Relative: on another family of processors the same decision comes out this much different at most."""

SNAPSHOT_GONE: Final = "snapshot_gone"
CATALOGUE_GONE: Final = "catalogue_gone"
STATE_UNREADABLE: Final = "state_unreadable"
OTHER_GOAL: Final = "other_goal"
NOT_REPRODUCED: Final = "not_reproduced"


class Impossible(LookupError):
    """A decision that cannot be made anew; its argument is the reason by which it is counted."""


class Replayer:
    """Draws decisions again, and remembers the snapshots and catalogues it met last."""

    def __init__(self, connection: Any, catalogues: CatalogueCache) -> None:
        self._connection = connection
        self._catalogues = catalogues
        self._models: dict[int, Model | None] = {}

    async def draw_again(self, logged: LoggedDecision) -> Replayed:
        """The decision as it was.

        Raises:
            Impossible: its snapshot, catalogue or state is gone or of another program, or the draw comes out otherwise.
        """
        if logged.request.gain is not None:
            # What it earned is money against silence, not opens and redemptions: no policy is judged by both.
            raise Impossible(OTHER_GOAL)
        model = await self._model(logged.snapshot_version)
        try:
            catalogue = await self._catalogues.of_version(self._connection, logged.catalogue_version)
            again = replay.draw_again(logged, catalogue, model)
        except VersionMissing:
            raise Impossible(CATALOGUE_GONE) from None
        except (tastes.UnknownStateError, UnknownSumsError):
            raise Impossible(STATE_UNREADABLE) from None
        except NotFiniteError:
            raise Impossible(NOT_REPRODUCED) from None
        if not _is_same(logged, again):
            raise Impossible(NOT_REPRODUCED)
        return again

    async def _model(self, version: int) -> Model:
        model = self._models.pop(version) if version in self._models else await self._load(version)
        self._models[version] = model  # the one that was used last is the last
        if len(self._models) > MODELS_MAX:
            del self._models[next(iter(self._models))]
        if model is None:
            raise Impossible(SNAPSHOT_GONE)
        return model

    async def _load(self, version: int) -> Model | None:
        last = next(reversed(self._models.values()), None)
        known = NO_MAP if last is None else last.taste_map
        try:
            return await models.load(self._connection, version, known)
        except (snapshots.SnapshotMissingError, snapshots.SnapshotDamagedError, DamagedSnapshotError):
            return None


def _is_same(logged: LoggedDecision, again: Replayed) -> bool:
    """Whether the same offers come out with the same propensities, but for rounding."""
    if again.draw is None or again.catalogue.ids[again.draw.chosen].tolist() != logged.offer_ids:
        return False
    pairs = zip(
        [*logged.propensities, logged.send_probability],
        [*again.draw.propensities.tolist(), again.draw.send_probability],
        strict=True,
    )
    return all(abs(before - now) <= PROPENSITY_TOLERANCE * before for before, now in pairs)
