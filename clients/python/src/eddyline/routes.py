"""The server's REST routes as requests, for the blocking and the asyncio client alike."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from .types import Deletion, Follow, Interaction, Item, Json, Kind, Label, Prediction, Ranking, SessionItem, Window

T = TypeVar("T")


def new_id() -> str:
    """An id that no other event has."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request. ``pick`` takes the result from the JSON of the answer; ``may_repeat`` is false without idempotency.

    With ``lines`` the body is a list that goes as NDJSON: in any number, up to 32 MiB in all.
    """

    method: str
    route: str
    query: Json = field(default_factory=dict)
    body: Any = None
    pick: Callable[[Any], T] = lambda answer: answer  # noqa: E731
    may_repeat: bool = True
    lines: bool = False


def _path(*parts: str) -> str:
    """A route under ``/v1/`` of fixed words and percent-encoded keys.

    HTTP libraries drop the parts ``.`` and ``..`` from a path, and an empty part names a list. No key is any of them.
    """
    for part in parts:
        if part in ("", ".", ".."):
            raise ValueError(f"no key: {part!r}")
    return "/".join(["v1", *(quote(part, safe="") for part in parts)])


def _results(answer: Any) -> list[Json]:
    return answer if isinstance(answer, list) else list(answer["results"])


# ---- users ----


def users(
    *,
    prefix: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    cluster: int | None = None,
    clustering: str | None = None,
) -> Call[list[Json]]:
    """Users whose key or name begins with ``prefix``, by key; ``after`` is the last key of the page before."""
    query = {"prefix": prefix, "limit": limit, "after": after, "cluster": cluster, "clustering": clustering}
    return Call("GET", "v1/users", query, pick=lambda answer: list(answer["users"]))


def user(user_id: str) -> Call[Json]:
    """One user, with ``friends``."""
    return Call("GET", _path("users", user_id))


def put_user(user_id: str, *, name: str | None = None, attributes: Json | None = None) -> Call[Json]:
    """Creates or changes a user."""
    given = {"name": name, "attributes": attributes}
    body = {key: value for key, value in given.items() if value is not None}
    return Call("PUT", _path("users", user_id), body=body)


def put_users(users: Sequence[Json]) -> Call[list[Json]]:
    """Creates or changes many users, each ``{"user", "name"?, "attributes"?}``; one result each."""
    return Call("POST", "v1/users", body=list(users), pick=_results, lines=True)


def delete_user(user_id: str) -> Call[None]:
    """Erases a user permanently."""
    return Call("DELETE", _path("users", user_id))


def export_user(user_id: str) -> Call[Json]:
    """All data of a user."""
    return Call("GET", _path("users", user_id, "export"))


def follow(user_id: str, other: str) -> Call[None]:
    """Makes a user follow another."""
    return Call("PUT", _path("users", user_id, "follows", other))


def unfollow(user_id: str, other: str) -> Call[None]:
    """Makes a user stop following another."""
    return Call("DELETE", _path("users", user_id, "follows", other))


def follow_all(follows: Sequence[Follow]) -> Call[list[Json]]:
    """Follows, or unfollows with ``"on": False``; one result each."""
    body = [{"id": new_id(), **follow} for follow in follows]
    return Call("POST", "v1/follows", body=body, pick=_results, lines=True)


def delete_all(deletions: Sequence[Deletion]) -> Call[list[Json]]:
    """Deletes items and erases users; one result each. It is not repeated by itself: the second answer is a refusal."""
    return Call("POST", "v1/deletions", body=list(deletions), pick=_results, may_repeat=False, lines=True)


def hidden(user_id: str, *, limit: int | None = None, after: str | None = None) -> Call[Json]:
    """One page of the items that the user hides or rejects now, the last one first."""
    return Call("GET", _path("users", user_id, "hidden"), {"limit": limit, "after": after})


def liked(user_id: str, *, limit: int | None = None, after: str | None = None) -> Call[Json]:
    """One page of the items that the user likes now, the last one first."""
    return Call("GET", _path("users", user_id, "liked"), {"limit": limit, "after": after})


def similar_users(
    user_id: str, *, by: str | None = None, limit: int | None = None, after: str | None = None
) -> Call[list[Json]]:
    """Active users who resemble this one, best first."""
    query = {"by": by, "limit": limit, "after": after}
    return Call("GET", _path("users", user_id, "similar"), query, pick=lambda answer: list(answer["people"]))


def feed(
    user_id: str,
    *,
    ranking: Ranking | None = None,
    limit: int | None = None,
    after: int | None = None,
    explain: bool | None = None,
) -> Call[Json]:
    """The feed that a socket of this ranking and limit would get: ``items``, and ``next`` as the next ``after``."""
    query = {"ranking": ranking, "limit": limit, "after": after, "explain": explain}
    return Call("GET", _path("users", user_id, "feed"), query)


def predict(user_id: str, item_id: str) -> Call[Prediction]:
    """The probabilities of acceptance and rejection."""
    return Call("GET", _path("users", user_id, "predictions", item_id))


def judge(user_id: str, item_id: str, label: Label, *, event_id: str | None = None) -> Call[Prediction]:
    """Learns the user's answer, and returns the new probabilities."""
    body = {"label": label, "id": event_id or new_id()}
    return Call("POST", _path("users", user_id, "predictions", item_id), body=body)


def model(user_id: str) -> Call[Json]:
    """The topic weights and the figures of a user's model."""
    return Call("GET", _path("users", user_id, "model"))


def set_topics(user_id: str, topics: dict[str, float]) -> Call[Json]:
    """Sets topic weights, 0 to 1."""
    return Call("PATCH", _path("users", user_id, "model"), body={"topics": topics})


# ---- interactions ----


def interact(
    user_id: str,
    item_id: str,
    kind: Kind,
    *,
    event_id: str | None = None,
    dwell_ms: int | None = None,
    at: int | None = None,
) -> Call[Json]:
    """Records one interaction."""
    given = {"dwell_ms": dwell_ms, "at": at}
    body = {"id": event_id or new_id(), "user": user_id, "item": item_id, "kind": kind}
    body.update({key: value for key, value in given.items() if value is not None})  # type: ignore[misc]
    return Call("POST", "v1/interactions", body=body)


def interact_all(interactions: Sequence[Interaction]) -> Call[list[Json]]:
    """Records many interactions; one result each. A refused one does not affect the others."""
    body = [{"id": new_id(), **interaction} for interaction in interactions]
    return Call("POST", "v1/interactions", body=body, pick=_results, lines=True)


def undo(user_id: str, event_id: str) -> Call[Json]:
    """Cancels an interaction: the user's state is again that of a user who never did it."""
    return Call("DELETE", _path("users", user_id, "interactions", event_id))


# ---- items ----


def items(*, limit: int | None = None, after: str | None = None) -> Call[Json]:
    """One page of the catalogue: ``items``, and ``next`` as the ``after`` of the next page."""
    return Call("GET", "v1/items", {"limit": limit, "after": after})


def item(item_id: str) -> Call[Item]:
    """One item of the catalogue."""
    return Call("GET", _path("items", item_id))


def create_item(new: Item) -> Call[Item]:
    """Creates an item. It is not repeated by itself, since the second answer to one id is 409."""
    return Call("POST", "v1/items", body=new, may_repeat=False)


def create_items(new: Sequence[Item]) -> Call[list[Json]]:
    """Creates many items; one result each. They are not repeated by themselves."""
    return Call("POST", "v1/items", body=list(new), pick=_results, may_repeat=False)


def put_item(item_id: str, whole: Item) -> Call[Item]:
    """Creates or replaces an item."""
    return Call("PUT", _path("items", item_id), body=whole)


def patch_item(item_id: str, fields: Item) -> Call[Item]:
    """Changes the given fields of an item."""
    return Call("PATCH", _path("items", item_id), body=fields)


def delete_item(item_id: str) -> Call[None]:
    """Tombstones an item: it is never shown again."""
    return Call("DELETE", _path("items", item_id))


def put_windows(item_id: str, windows: Sequence[Window]) -> Call[Any]:
    """Replaces the windows of availability of an item."""
    return Call("PUT", _path("items", item_id, "windows"), body=list(windows))


def similar(
    item_id: str, *, by: Literal["both", "visits", "embedding"] | None = None, limit: int | None = None
) -> Call[list[Json]]:
    """Available items that resemble this one, best first."""
    query = {"by": by, "limit": limit}
    return Call("GET", _path("items", item_id, "similar"), query, pick=lambda answer: list(answer["items"]))


def popular(*, topic: str | None = None, cluster: int | None = None, limit: int | None = None) -> Call[list[Json]]:
    """The most popular available items, best first."""
    query = {"topic": topic, "cluster": cluster, "limit": limit}
    return Call("GET", "v1/popular", query, pick=lambda answer: list(answer["items"]))


def search(
    words: str,
    *,
    topic: str | None = None,
    author: str | None = None,
    available: bool | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Call[Json]:
    """One page of the items whose text has all words, by relevance: ``items``, and ``next`` for the next page."""
    query = {"q": words, "topic": topic, "author": author, "available": available, "limit": limit, "after": after}
    return Call("GET", "v1/search", query)


def recommend(
    items: Sequence[str | SessionItem] = (),
    *,
    user: str | None = None,
    limit: int | None = None,
    ranking: Ranking | None = None,
    explain: bool | None = None,
    exclude: Sequence[str] | None = None,
    filters: Json | None = None,
    boosts: Sequence[Json] | None = None,
    signals: dict[str, float] | None = None,
) -> Call[Json]:
    """Ranks for one request: for a user, or for a new one who acted on ``items``. The server learns nothing from it."""
    given: Json = {"user": user, "limit": limit, "ranking": ranking, "explain": explain}
    given.update({"exclude": exclude, "filters": filters, "boosts": boosts, "signals": signals})
    body = {"items": list(items), **{name: value for name, value in given.items() if value is not None}}
    return Call("POST", "v1/recommend", body=body)


def topics(*, limit: int | None = None, after: str | None = None) -> Call[Json]:
    """One page of the topics, with the number of their items."""
    return Call("GET", "v1/topics", {"limit": limit, "after": after})


# ---- metrics ----


def measure(
    measurements: Sequence[Json], *, user_id: str | None = None, unknown: Literal["ignore"] | None = None
) -> Call[Json]:
    """Records at most 100 measurements of users."""
    body = [{"id": new_id(), **measurement} for measurement in measurements]
    return Call("POST", "v1/metrics", {"user": user_id, "unknown": unknown}, body)


def metrics() -> Call[Json]:
    """The posterior of each metric, and the declarations."""
    return Call("GET", "v1/metrics")


def user_metrics(user_id: str, *, sigmas: float | None = None) -> Call[Json]:
    """The values of a user beside the population's."""
    return Call("GET", _path("users", user_id, "metrics"), {"sigmas": sigmas})


def put_metric(name: str, declaration: Json) -> Call[Json]:
    """Declares a metric, or replaces its declaration."""
    return Call("PUT", _path("metrics", name), body=declaration)


def delete_metric(name: str) -> Call[Json | None]:
    """Removes the stored declaration of a metric."""
    return Call("DELETE", _path("metrics", name))


# ---- clusterings ----


def clusterings() -> Call[list[Json]]:
    """All clusterings, ``default`` first."""
    return Call("GET", "v1/clusterings", pick=lambda answer: list(answer["clusterings"]))


def clustering(name: str) -> Call[Json]:
    """One clustering, with its last fit as ``fit``."""
    return Call("GET", _path("clusterings", name))


def put_clustering(name: str, settings: Json) -> Call[Json]:
    """Creates a clustering, or replaces its settings."""
    return Call("PUT", _path("clusterings", name), body=settings)


def delete_clustering(name: str) -> Call[Json | None]:
    """Deletes a clustering with its fits."""
    return Call("DELETE", _path("clusterings", name))


def refit(name: str) -> Call[Any]:
    """Asks for a refit of a clustering."""
    return Call("POST", _path("clusterings", name, "refit"))


# ---- two-tower models ----


def models() -> Call[list[Json]]:
    """The stored two-tower models, newest first."""
    return Call("GET", "v1/models", pick=lambda answer: list(answer["models"]))


def stored_model(version: str | int) -> Call[Json]:
    """One stored two-tower model."""
    return Call("GET", _path("models", str(version)))


# ---- tokens ----


def create_token(*, user: str | None = None, service: bool = False, days: int | None = None) -> Call[Json]:
    """Makes a token for a user or a service, which the server shows only this once."""
    body: Json = {"service": True} if service else {"user": user}
    if days is not None:
        body["days"] = days
    return Call("POST", "v1/tokens", body=body)


def tokens(*, limit: int | None = None, after: str | None = None) -> Call[Json]:
    """One page of the tokens that have not expired."""
    return Call("GET", "v1/tokens", {"limit": limit, "after": after})


def revoke_token(jti: str) -> Call[Any]:
    """Revokes a token from now on."""
    return Call("DELETE", _path("tokens", jti))
