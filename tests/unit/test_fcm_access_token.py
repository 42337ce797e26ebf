"""One refresh at a time, before the end of the token, and never twice in a row for a token that is refused."""

import asyncio
import threading
import time

import pytest

from push.fcm import access_token
from push.fcm.access_token import AccessToken


class Issuer:
    """Hands out t1, t2, … with a life of `life_s`; waits for `gate` and fails while `is_down`."""

    def __init__(self, life_s: float = 3600.0) -> None:
        self.life_s = life_s
        self.count = 0
        self.is_down = False
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> tuple[str, float]:
        assert self.gate.wait(5)
        self.count += 1
        if self.is_down:
            raise ConnectionError("down")
        return f"t{self.count}", self.life_s


async def test_many_waiters_share_one_fetch_off_the_loop() -> None:
    issuer = Issuer()
    issuer.gate.clear()
    token = AccessToken(issuer.fetch)
    waiting = [asyncio.create_task(token.current()) for _ in range(100)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    issuer.gate.set()
    assert set(await asyncio.gather(*waiting[1:])) == {"t1"}
    assert await token.current() == "t1"
    assert issuer.count == 1


async def test_near_its_end_it_is_renewed_behind_the_callers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_token, "_PAUSE_S", 0.0)
    issuer = Issuer(life_s=0.2)
    token = AccessToken(issuer.fetch)
    assert await token.current() == "t1"
    issuer.gate.clear()
    await asyncio.sleep(0.12)
    assert await token.current() == "t1"
    issuer.gate.set()
    await token.close()
    assert await token.current() == "t2"


async def test_a_failed_renewal_costs_nothing_while_the_old_token_lives() -> None:
    issuer = Issuer(life_s=0.3)
    token = AccessToken(issuer.fetch)
    await token.current()
    token._tried_at -= 60
    issuer.is_down = True
    await asyncio.sleep(0.16)
    assert [await token.current() for _ in range(3)] == ["t1"] * 3
    await token.close()
    assert issuer.count == 2
    await asyncio.sleep(0.16)
    with pytest.raises(ConnectionError):
        await token.current()


async def test_a_refused_token_is_replaced_once() -> None:
    issuer = Issuer()
    token = AccessToken(issuer.fetch)
    first = await token.current()
    assert await token.replace(first) is None
    token._tried_at = time.monotonic() - 60
    assert set(await asyncio.gather(*(token.replace(first) for _ in range(50)))) == {"t2"}
    assert await token.replace(first) == "t2"
    assert await token.replace("t2") is None
    assert issuer.count == 2
