"""What was learned of two people who turn out to be one."""

from bandits import rhythm, tastes


def merged(kept_tastes: bytes, kept_rhythm: bytes, lost_tastes: bytes, lost_rhythm: bytes) -> tuple[bytes, bytes]:
    """Packed tastes and rhythm of both together (the MergeState that store.merge asks for)."""
    return tastes.merge(kept_tastes, lost_tastes), rhythm.merge(kept_rhythm, lost_rhythm)
