"""Snapshots as text for people."""

from schema.snapshot_pin import Snapshots


def snapshots(found: Snapshots) -> str:
    """Of `snapshots list`, `pin` and `unpin`."""
    pin = found.pin
    held = (
        "decisions use the newest"
        if pin is None
        else f"decisions are held to {pin.version} since {pin.pinned_at:%Y-%m-%d %H:%M} by {pin.pinned_by}: {pin.reason}"
    )
    return "\n".join(
        [held]
        + [
            f"{'*' if one.version == found.in_force else ' '} {one.version:>8}  {one.published_at:%Y-%m-%d %H:%M:%S}  {one.size_bytes:,} bytes"
            for one in found.data
        ]
    )
