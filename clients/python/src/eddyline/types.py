"""The objects of the wire, as types. Their meaning is in docs/protocol.md of the server."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Ranking = Literal["flat", "topics", "model", "tower"]
Kind = Literal["like", "share", "reply", "accept", "click", "watch", "read", "skip", "hide", "reject", "view"]
Label = Literal["accepted", "rejected"]
Json = dict[str, Any]


class Window(TypedDict, total=False):
    """Times in milliseconds since 1970; without ``stop`` it is open-ended."""

    start: int
    stop: int | None


class FeedItem(TypedDict, total=False):
    """An entry of a feed; only ``item``, ``text``, ``at``, ``score`` and ``position`` are always present."""

    item: str
    author: str
    topic: str
    text: str
    at: int
    available_until: int
    expected_until: int
    live: bool
    score: float
    likely: float
    position: int
    why: list[Json]


class Item(TypedDict, total=False):
    """An item of the catalogue. For a new one ``text`` is required.

    ``topic`` is the main one of ``topics``. ``id`` and ``created`` are the earlier names of ``item`` and ``at``, until version
    0.2.
    """

    item: str
    id: str
    text: str
    author: str | None
    topic: str
    topics: list[str]
    attributes: Json
    embedding: list[float]
    at: int | str
    created: int
    windows: list[Window]
    available: bool


class Interaction(TypedDict, total=False):
    """An interaction; ``user``, ``item`` and ``kind`` are required, and the client adds a missing ``id``."""

    id: str
    user: str
    item: str
    kind: Kind
    dwell_ms: int
    at: int


class Follow(TypedDict, total=False):
    """A follow of ``whom`` by ``user``, both required; ``on`` false ends it. The client adds a missing ``id``."""

    id: str
    user: str
    whom: str
    on: bool
    at: int


class Deletion(TypedDict, total=False):
    """The key of one item or of one user to delete, not of both."""

    item: str
    user: str


class SessionItem(TypedDict, total=False):
    """An interaction of a session without a user; only ``item`` is required, and ``kind`` is ``click`` by default."""

    item: str
    kind: Kind
    dwell_ms: int
    at: int


class Prediction(TypedDict):
    """Probabilities that sum to 1."""

    accepted: float
    rejected: float
