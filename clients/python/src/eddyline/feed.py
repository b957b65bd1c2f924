"""The feed of a user, as data.

Invariant: ``items`` contains no item twice. The head follows the server's feed exactly. The tail contains the pages
below it, without items that have risen into the head since.
"""

from __future__ import annotations

from typing import Any, cast

from .types import FeedItem, Json


class PatchError(ValueError):
    """A patch that does not fit the list."""


class Feed:
    """The entries of a feed, and the version that they have."""

    def __init__(self) -> None:
        self.version: int | None = None
        self.epoch: int | None = None
        self.ranking: str | None = None
        self.head: list[FeedItem] = []
        self.tail: list[FeedItem] = []
        self.end = False

    @property
    def items(self) -> list[FeedItem]:
        """All entries, best first."""
        return self.head + self.tail

    def replace(self, message: Json) -> None:
        """Replaces the head by a ``feed``."""
        self.version, self.epoch, self.ranking = message["version"], message["epoch"], message["ranking"]
        self.head = _numbered(message["items"])
        self._trim_tail()

    def change(self, message: Json) -> None:
        """Applies a ``patch``. Raises PatchError, and changes nothing, if it belongs to another feed."""
        if message["base"] != self.version:
            raise PatchError(f"a patch of version {message['base']}, here is {self.version}")
        self.head = apply_operations(self.head, message["ops"])
        self.version, self.epoch = message["version"], message["epoch"]
        self._trim_tail()

    def append(self, message: Json) -> None:
        """Appends a ``page`` to the tail."""
        self.tail = self.tail + message["items"]
        self.end = message["end"]
        self._trim_tail()

    def remove_from_tail(self, key: str) -> None:
        """Removes an item that the user hid from the tail, for which the server sends no patch."""
        self.tail = [item for item in self.tail if item["item"] != key]

    def set_live(self, message: Json) -> None:
        """Marks an item as live or ended."""
        for item in self.items:
            if item["item"] == message["item"]:
                item["live"] = message["available"]
                if "until" in message:
                    item["available_until"] = message["until"]

    def forget_tail(self) -> None:
        """Drops the tail after a change of ranking, since it has the old order."""
        self.tail, self.end = [], False

    def to_json(self) -> Json:
        """The state for a resume: the head only, since the server patches no more."""
        return {"version": self.version, "epoch": self.epoch, "ranking": self.ranking, "head": self.head}

    @classmethod
    def from_json(cls, saved: Any) -> Feed:
        """The feed of a saved state; an empty one from anything else."""
        feed = cls()
        if isinstance(saved, dict) and isinstance(saved.get("version"), int) and isinstance(saved.get("head"), list):
            feed.version, feed.epoch, feed.ranking = saved["version"], saved.get("epoch"), saved.get("ranking")
            feed.head = saved["head"]
        return feed

    def _trim_tail(self) -> None:
        known = {item["item"] for item in self.head}
        kept = []
        for item in self.tail:
            if item["item"] not in known:
                known.add(item["item"])
                kept.append(item)
        self.tail = kept


def apply_operations(items: list[FeedItem], operations: list[Json]) -> list[FeedItem]:
    """The items after all operations in order. Raises PatchError if one does not fit; ``items`` stays unchanged."""
    listed = list(items)
    for operation in operations:
        _step(listed, operation)
    return _numbered(listed)


def _numbered(items: list[FeedItem]) -> list[FeedItem]:
    return [cast(FeedItem, {**item, "position": place}) for place, item in enumerate(items)]


def _step(items: list[FeedItem], operation: Json) -> None:
    kind, item = operation["op"], operation["item"]
    if kind == "remove":
        del items[_place_of(items, item)]
    elif kind == "move":
        _insert(items, items.pop(_place_of(items, item)), operation.get("position"))
    elif kind == "insert":
        if any(known["item"] == item["item"] for known in items):
            raise PatchError(f"insert of {item['item']}, which is already there")
        _insert(items, item, item.get("position"))
    elif kind == "update":
        items[_place_of(items, item["item"])] = item
    else:
        raise PatchError(f"unknown operation {kind}")


def _place_of(items: list[FeedItem], key: str) -> int:
    for place, item in enumerate(items):
        if item["item"] == key:
            return place
    raise PatchError(f"no item {key}")


def _insert(items: list[FeedItem], item: FeedItem, position: Any) -> None:
    # `insert` would clamp silently, and the list would differ from the server's from then on.
    if not isinstance(position, int) or not 0 <= position <= len(items):
        raise PatchError(f"position {position} in a list of {len(items)}")
    items.insert(position, item)
