"""What the phones behind the stand-in received: one feed for all, and the last messages of each device."""

from collections import Counter
from datetime import datetime

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A message as it came to a device. `tag` replaces an earlier banner with the same tag; it is empty for none."""

    sequence: int
    address: str
    received_at: datetime
    name: str
    tag: str
    is_visible: bool
    message: msgspec.Raw


class DeviceEntry(msgspec.Struct, frozen=True):
    """A message in the list of one device, and whether a later one took the place of its banner."""

    entry: Entry
    is_replaced: bool


class Banner(msgspec.Struct, frozen=True):
    """What a phone shows: the last message of its tag, and how many have come with that tag."""

    entry: Entry
    copies: int


class Banners(msgspec.Struct, frozen=True):
    """A stretch of all banners that stand, by the sequence of their messages. Ask on with `after=next`, until nothing new comes."""

    banners: list[Banner]
    next: int


class Feed(msgspec.Struct, frozen=True):
    """A stretch of the feed. Ask on with `after=next`; a gap before `oldest` was overwritten."""

    messages: list[Entry]
    next: int
    oldest: int


class Inbox:
    """A ring of the last `feed_max` messages, and of the last `device_max` of each device among them."""

    def __init__(self, feed_max: int, device_max: int) -> None:
        self._feed_max = feed_max
        self._device_max = device_max
        self._ring: list[Entry] = []
        self._devices: dict[str, list[Entry]] = {}
        self.count = 0

    def put(
        self, address: str, received_at: datetime, name: str, tag: str, *, is_visible: bool, message: bytes
    ) -> None:
        """Add a message; its sequence number is the count so far, beginning with 1."""
        self.count += 1
        entry = Entry(self.count, address, received_at, name, tag, is_visible, msgspec.Raw(message))
        if len(self._ring) < self._feed_max:
            self._ring.append(entry)
        else:
            place = (self.count - 1) % self._feed_max
            self._forget(self._ring[place])
            self._ring[place] = entry
        device = self._devices.setdefault(address, [])
        device.append(entry)
        if len(device) > self._device_max:
            del device[0]

    def feed(self, after: int, limit: int) -> Feed:
        """At most `limit` messages with a sequence number above `after`, oldest first."""
        oldest = self.count - len(self._ring) + 1
        first = max(after + 1, oldest)
        last = min(self.count, first + limit - 1)
        messages = [self._ring[(sequence - 1) % self._feed_max] for sequence in range(first, last + 1)]
        return Feed(messages, max(last, after), oldest)

    def device(self, address: str) -> list[DeviceEntry]:
        """The last messages of one device, oldest first."""
        seen: set[str] = set()
        entries: list[DeviceEntry] = []
        for entry in reversed(self._devices.get(address, ())):
            is_banner = entry.is_visible and entry.tag != ""
            entries.append(DeviceEntry(entry, is_banner and entry.tag in seen))
            if is_banner:
                seen.add(entry.tag)
        return entries[::-1]

    def banners(self, address: str) -> list[Banner]:
        """What one phone shows, oldest first. One without a tag stands for itself; a message that is not visible shows nothing."""
        entries = [entry for entry in self._devices.get(address, ()) if entry.is_visible]
        copies = Counter(entry.tag for entry in entries)
        last = {entry.tag: entry for entry in entries}
        shown = [entry for entry in entries if entry.tag == "" or last[entry.tag] is entry]
        return [Banner(entry, copies[entry.tag] if entry.tag else 1) for entry in shown]

    def all_banners(self, after: int, limit: int) -> Banners:
        """What all phones show, of at most `limit` messages of the feed after the given one."""
        feed = self.feed(after, limit)
        banners = [banner for entry in feed.messages for banner in self.banners(entry.address) if banner.entry is entry]
        return Banners(banners, feed.next)

    def _forget(self, entry: Entry) -> None:
        device = self._devices.get(entry.address)
        if device and device[0] is entry:
            del device[0]
        if not device:
            self._devices.pop(entry.address, None)
