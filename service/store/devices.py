"""Where a person can be reached: devices and the addresses push goes to. An address belongs to one person at a time."""

from datetime import datetime
from typing import Any, Final

from schema.user import Device
from service.store import people
from service.store.people import PersonKey

# Two calls about the same address run one after the other, whoever the person is.
_LOCK_ADDRESS: Final = "select pg_advisory_xact_lock(hashtextextended($1, 0))"
_TAKE_FROM_OTHERS: Final = "delete from devices where address = $3 and not (user_id = $1 and device_id = $2)"
_PUT: Final = """
    insert into devices as d (user_id, device_id, address, address_kind, platform, app_version, time_zone, locale,
                              is_push_enabled, address_updated_at, last_seen_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
    on conflict (user_id, device_id) do update set
        address = excluded.address, address_kind = excluded.address_kind, platform = excluded.platform,
        app_version = excluded.app_version, time_zone = excluded.time_zone, locale = excluded.locale,
        is_push_enabled = excluded.is_push_enabled, last_seen_at = excluded.last_seen_at,
        address_updated_at = case when d.address = excluded.address then d.address_updated_at
                                  else excluded.address_updated_at end
"""
_DELETE: Final = "delete from devices where user_id = $1 and device_id = $2 returning 1"


async def put(connection: Any, key: PersonKey, device_id: str, device: Device, now: datetime) -> datetime:
    """Registers a device in a transaction of its own, taking its address from whoever had it; gives the watermark."""
    async with connection.transaction():
        await connection.execute(_LOCK_ADDRESS, device.token)
        person = await people.ensure_and_hold(connection, key, now)
        watermark = await people.raise_version(connection, person.user_id, now)
        await connection.execute(_TAKE_FROM_OTHERS, person.user_id, device_id, device.token)
        await connection.execute(
            _PUT,
            person.user_id,
            device_id,
            device.token,
            device.address_kind,
            device.platform,
            device.app_version,
            device.time_zone,
            device.locale,
            device.is_push_enabled,
            now,
        )
        return watermark


async def delete(connection: Any, key: PersonKey, device_id: str, now: datetime) -> bool:
    """Forgets a device; False when there was none."""
    async with connection.transaction():
        person = await people.hold(connection, key)
        if person is None or await connection.fetchval(_DELETE, person.user_id, device_id) is None:
            return False
        await people.raise_version(connection, person.user_id, now)
        return True
