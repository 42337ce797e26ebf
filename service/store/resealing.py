"""Brings what is kept sealed under the key in force: what an older program wrote in clear, and what a former key has sealed."""

from typing import Any, Final

from push.sealing import EMAIL, Sealer, about_webhook

BATCH: Final = 1_000

_IS_NEEDED: Final = "select exists (select 1 from webhooks) or exists (select 1 from email_addresses)"
_WEBHOOKS: Final = "select webhook_id, secret, old_secret from webhooks for update"
_PUT_WEBHOOK: Final = "update webhooks set secret = $2, old_secret = $3 where webhook_id = $1"
_ADDRESSES: Final = """
    select user_id, address from email_addresses where user_id > $1 and not starts_with(address, $2) order by user_id limit $3
"""
_PUT_ADDRESSES: Final = """
    update email_addresses e set address = t.sealed from unnest($1::bigint[], $2::text[], $3::text[]) as t(user_id, address, sealed)
     where e.user_id = t.user_id and e.address = t.address
"""


async def is_needed(connection: Any) -> bool:
    """Whether there is anything that is to be sealed."""
    return bool(await connection.fetchval(_IS_NEEDED))


async def reseal(connection: Any, sealer: Sealer) -> int:
    """How many were sealed anew. Committed batch by batch; again after a crash it goes on. Raises push.sealing.NotOpened."""
    async with connection.transaction():
        done = 0
        for name, *secrets in await connection.fetch(_WEBHOOKS):
            if not all(secret is None or secret.startswith(sealer.prefix) for secret in secrets):
                await connection.execute(
                    _PUT_WEBHOOK, name, *(_again(sealer, one, about_webhook(name)) for one in secrets)
                )
                done += 1
    last = -(2**63)
    while rows := await connection.fetch(_ADDRESSES, last, sealer.prefix, BATCH):
        ids, texts = [row[0] for row in rows], [row[1] for row in rows]
        await connection.execute(_PUT_ADDRESSES, ids, texts, [_again(sealer, text, EMAIL) for text in texts])
        done, last = done + len(rows), ids[-1]
    return done


def _again(sealer: Sealer, text: str | None, about: str) -> str | None:
    return None if text is None else sealer.seal(sealer.open(text, about), about)
