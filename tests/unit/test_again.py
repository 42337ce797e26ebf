"""Snapshots that decisions are drawn again from: those used last are remembered."""

from typing import Any

import pytest

from service.policies import again
from service.policies.again import MODELS_MAX, Impossible, Replayer
from service.store.catalogue import CatalogueCache
from service.store.snapshots import SnapshotMissingError


async def test_the_snapshot_that_was_used_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    async def missing(_: Any, version: int, __: Any) -> Any:
        loaded.append(version)
        raise SnapshotMissingError(version)

    monkeypatch.setattr(again.models, "load", missing)
    replayer = Replayer(None, CatalogueCache())

    async def ask(*versions: int) -> list[int]:
        loaded.clear()
        for version in versions:
            with pytest.raises(Impossible):
                await replayer._model(version)
        return list(loaded)

    first = list(range(1, MODELS_MAX + 1))
    assert await ask(*first) == first
    assert await ask(*first, 1) == []
    assert await ask(MODELS_MAX + 1, 1) == [MODELS_MAX + 1]
    assert await ask(2) == [2]
