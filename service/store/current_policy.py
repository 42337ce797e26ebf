"""The policy this process decides by: replaced whole when another has come into force."""

from typing import Any

from schema.policy import BUILT_IN, PolicySettings
from service import telemetry
from service.store import policies
from service.store.policies import InForce

_LOG = telemetry.logger("policy")


class PolicyCache:
    """`current` is the built-in policy until the first refresh."""

    def __init__(self, pool: Any, built_in: PolicySettings) -> None:
        self._pool = pool
        self._built_in = built_in
        self.current = InForce(0, 0, BUILT_IN, 0, built_in)

    async def refresh(self) -> InForce:
        """Takes the policy in force; promotions only follow each other, so a slower reading never brings back an older one."""
        async with self._pool.acquire() as connection:
            found = await policies.in_force(connection, self._built_in)
        if found.promotion_id > self.current.promotion_id:
            self.current = found
            _LOG.info("a policy came into force", policy=found.label)
        return self.current
