"""Events that the server has not acknowledged yet.

Invariant: events keep the user's order. Each event keeps its id through all resends, so that the server learns it once.
The outbox is bounded: beyond its limit, ``add`` refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from .types import Json

ENTRIES_MAX = 200
# The server closes the socket on a frame over 64 KiB, and a resend would close it again and again.
FRAME_BYTES_MAX = 60 * 1024
# An event that waited longer than this before its first sending carries its own time.
WAITED_MS = 2000


@dataclass
class _Entry:
    message: Json
    sent: bool
    made_at: float | None


class Outbox:
    """A bounded queue of events."""

    def __init__(self, messages: list[Json], save: Callable[[list[Json]], None]) -> None:
        self._entries = [_Entry(message, False, None) for message in messages]
        self._save = save

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def messages(self) -> list[Json]:
        """The events, oldest first."""
        return [entry.message for entry in self._entries]

    def add(self, message: Json, made_at: float) -> bool:
        """Keeps an event until its acknowledgement. False if the outbox is full or the event exceeds a frame."""
        if len(self._entries) >= ENTRIES_MAX or len(json.dumps(message).encode()) > FRAME_BYTES_MAX:
            return False
        self._entries.append(_Entry(message, False, made_at))
        self._save(self.messages)
        return True

    def take_unsent(self, now: float) -> list[Json]:
        """The events to send now, oldest first, and marks them as sent. ``now`` is the server's clock."""
        entries = [entry for entry in self._entries if not entry.sent]
        for entry in entries:
            entry.sent = True
            waited = entry.made_at is not None and now - entry.made_at > WAITED_MS
            if waited and entry.message["type"] == "interact" and "at" not in entry.message:
                entry.message = {**entry.message, "at": round(entry.made_at or 0)}
            entry.made_at = None  # a resend keeps the time
        if entries:
            self._save(self.messages)
        return [entry.message for entry in entries]

    def unsend(self, event_id: str | None = None) -> None:
        """Marks one event, or all, for a resend: the socket dropped, or the server was busy."""
        for entry in self._entries:
            if event_id is None or entry.message["id"] == event_id:
                entry.sent = False

    def settle(self, event_id: str) -> Json | None:
        """Removes an event after the server's final answer, and returns its message if it was waiting."""
        for place, entry in enumerate(self._entries):
            if entry.message["id"] == event_id:
                del self._entries[place]
                self._save(self.messages)
                return entry.message
        return None
