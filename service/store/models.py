"""A snapshot with all it refers to, made ready to decide."""

from typing import Any

from bandits.policies import model
from bandits.policies.model import Model
from bandits.taste_map import DamagedTasteMapError, TasteMap
from service.store import snapshots, taste_maps
from service.store.snapshots import SnapshotDamagedError, SnapshotMissingError
from service.store.taste_maps import TasteMapMissingError


async def load(connection: Any, version: int, known: TasteMap = model.NO_MAP) -> Model:
    """The model of a snapshot's version; `known` spares loading its taste map again.

    Raises:
        SnapshotMissingError: the snapshot or its taste map was never published, or was purged.
        SnapshotDamagedError: either is not what was stored.
        DamagedSnapshotError: it must not be used.
    """
    ready = model.from_snapshot(await snapshots.load(connection, version))
    if ready.taste_map_version == known.version:
        return model.with_map(ready, known)
    try:
        return model.with_map(ready, await taste_maps.load(connection, ready.taste_map_version))
    except TasteMapMissingError as error:
        raise SnapshotMissingError(str(error)) from error
    except DamagedTasteMapError as error:
        raise SnapshotDamagedError(str(error)) from error
