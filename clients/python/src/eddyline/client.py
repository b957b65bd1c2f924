"""The server's REST routes, and the sessions of its users.

Invariant: a change that is repeated carries the id of its first sending, so the server learns it once. The token goes
only into the header of a request and into ``hello``, never into an address.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import httpx

from . import routes
from .errors import EddylineError
from .routes import Call, new_id
from .session import AsyncSession, Session
from .types import Item, Json

P = ParamSpec("P")
T = TypeVar("T")
Token = str | Callable[[], str | None] | None
AsyncToken = Token | Callable[[], Awaitable[str | None]]

_NDJSON = "application/x-ndjson"
_RETRY_S = 0.25
_RETRY_MAX_S = 30.0
# Answers after which a repetition can succeed. With both, the server learned nothing, or learns by id once.
_TRANSIENT = {429, 503}


def _blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate[Eddyline, P], T]:
    def method(self: Eddyline, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.call(build(*args, **kwargs))

    functools.update_wrapper(method, build)
    return method


def _awaiting(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncEddyline, P], Awaitable[T]]:
    async def method(self: AsyncEddyline, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.call(build(*args, **kwargs))

    functools.update_wrapper(method, build)
    return method


class Eddyline:
    """A blocking client of one server, such as ``https://feeds.example``. Use it in a ``with`` block, or close it."""

    def __init__(self, url: str, *, token: Token = None, timeout: float = 10.0, retries: int = 2) -> None:
        self._base = url.rstrip("/")
        self._token = token
        self._retries = retries
        self._http = httpx.Client(timeout=timeout)

    def __enter__(self) -> Eddyline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections of requests. Sessions are closed on their own."""
        self._http.close()

    def session(self, user: str, **options: Any) -> Session:
        """The live session of a user, with the options of AsyncSession. It connects at ``start()``."""
        return Session(user, _socket_of(self._base), **{"token": self._token, **options})

    def request(self, method: str, route: str, *, query: Json | None = None, body: Any = None) -> Any:
        """Asks any route, and returns the JSON of the answer, or None for an answer without a body."""
        return self.call(Call[Any](method, route, query or {}, body))

    def call(self, call: Call[T]) -> T:
        """Sends a request of the module ``routes``. Raises EddylineError."""
        prepared = _prepare(self._base, call)
        is_lost = False
        for attempt in range(self._retries + 1):
            token = self._token() if callable(self._token) else self._token
            try:
                return call.pick(_answer(self._http.request(**_with_token(prepared, token))))
            except httpx.TransportError as error:
                failure = _failure(error)
                if attempt == self._retries or not call.may_repeat or failure.code != "network":
                    raise failure from error
                is_lost = True
            except EddylineError as error:
                failure = error
                if is_lost and _is_gone(error, call):
                    return call.pick(None)
                if attempt == self._retries or not _is_transient(error, call):
                    raise
            time.sleep(_pause_of(failure, attempt))
        raise AssertionError("the last attempt returns or raises")

    def all(self, route: str, name: str, **query: Any) -> Iterator[Json]:
        """All entries of a list, page by page: ``all("v1/popular", "items", topic="rivers")``."""
        while True:
            page = self.request("GET", route, query=query)
            yield from page[name]
            if page.get("next") is None:
                return
            query["after"] = page["next"]

    def all_items(self, *, limit: int = 1000) -> Iterator[Item]:
        """The whole catalogue, page by page."""
        return cast("Iterator[Item]", self.all("v1/items", "items", limit=limit))

    users = _blocking(routes.users)
    user = _blocking(routes.user)
    put_user = _blocking(routes.put_user)
    put_users = _blocking(routes.put_users)
    delete_user = _blocking(routes.delete_user)
    export_user = _blocking(routes.export_user)
    follow = _blocking(routes.follow)
    unfollow = _blocking(routes.unfollow)
    follow_all = _blocking(routes.follow_all)
    delete_all = _blocking(routes.delete_all)
    hidden = _blocking(routes.hidden)
    liked = _blocking(routes.liked)
    similar_users = _blocking(routes.similar_users)
    feed = _blocking(routes.feed)
    predict = _blocking(routes.predict)
    judge = _blocking(routes.judge)
    model = _blocking(routes.model)
    set_topics = _blocking(routes.set_topics)
    interact = _blocking(routes.interact)
    interact_all = _blocking(routes.interact_all)
    undo = _blocking(routes.undo)
    items = _blocking(routes.items)
    item = _blocking(routes.item)
    create_item = _blocking(routes.create_item)
    create_items = _blocking(routes.create_items)
    put_item = _blocking(routes.put_item)
    patch_item = _blocking(routes.patch_item)
    delete_item = _blocking(routes.delete_item)
    put_windows = _blocking(routes.put_windows)
    similar = _blocking(routes.similar)
    popular = _blocking(routes.popular)
    search = _blocking(routes.search)
    recommend = _blocking(routes.recommend)
    topics = _blocking(routes.topics)
    measure = _blocking(routes.measure)
    metrics = _blocking(routes.metrics)
    user_metrics = _blocking(routes.user_metrics)
    put_metric = _blocking(routes.put_metric)
    delete_metric = _blocking(routes.delete_metric)
    clusterings = _blocking(routes.clusterings)
    clustering = _blocking(routes.clustering)
    put_clustering = _blocking(routes.put_clustering)
    delete_clustering = _blocking(routes.delete_clustering)
    refit = _blocking(routes.refit)
    models = _blocking(routes.models)
    stored_model = _blocking(routes.stored_model)
    create_token = _blocking(routes.create_token)
    tokens = _blocking(routes.tokens)
    revoke_token = _blocking(routes.revoke_token)


class AsyncEddyline:
    """A client of one server for asyncio. Use it in an ``async with`` block, or close it."""

    def __init__(self, url: str, *, token: AsyncToken = None, timeout: float = 10.0, retries: int = 2) -> None:
        self._base = url.rstrip("/")
        self._token = token
        self._retries = retries
        self._http = httpx.AsyncClient(timeout=timeout)

    async def __aenter__(self) -> AsyncEddyline:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections of requests. Sessions are closed on their own."""
        await self._http.aclose()

    def session(self, user: str, **options: Any) -> AsyncSession:
        """The live session of a user, with the options of AsyncSession. It connects at ``start()``."""
        return AsyncSession(user, _socket_of(self._base), **{"token": self._token, **options})

    async def request(self, method: str, route: str, *, query: Json | None = None, body: Any = None) -> Any:
        """Asks any route, and returns the JSON of the answer, or None for an answer without a body."""
        return await self.call(Call[Any](method, route, query or {}, body))

    async def call(self, call: Call[T]) -> T:
        """Sends a request of the module ``routes``. Raises EddylineError."""
        prepared = _prepare(self._base, call)
        is_lost = False
        for attempt in range(self._retries + 1):
            found = self._token() if callable(self._token) else self._token
            token = await found if inspect.isawaitable(found) else found
            try:
                return call.pick(_answer(await self._http.request(**_with_token(prepared, token))))
            except httpx.TransportError as error:
                failure = _failure(error)
                if attempt == self._retries or not call.may_repeat or failure.code != "network":
                    raise failure from error
                is_lost = True
            except EddylineError as error:
                failure = error
                if is_lost and _is_gone(error, call):
                    return call.pick(None)
                if attempt == self._retries or not _is_transient(error, call):
                    raise
            await asyncio.sleep(_pause_of(failure, attempt))
        raise AssertionError("the last attempt returns or raises")

    async def all(self, route: str, name: str, **query: Any) -> AsyncIterator[Json]:
        """All entries of a list, page by page: ``all("v1/popular", "items", topic="rivers")``."""
        while True:
            page = await self.request("GET", route, query=query)
            for entry in page[name]:
                yield entry
            if page.get("next") is None:
                return
            query["after"] = page["next"]

    def all_items(self, *, limit: int = 1000) -> AsyncIterator[Item]:
        """The whole catalogue, page by page."""
        return cast("AsyncIterator[Item]", self.all("v1/items", "items", limit=limit))

    users = _awaiting(routes.users)
    user = _awaiting(routes.user)
    put_user = _awaiting(routes.put_user)
    put_users = _awaiting(routes.put_users)
    delete_user = _awaiting(routes.delete_user)
    export_user = _awaiting(routes.export_user)
    follow = _awaiting(routes.follow)
    unfollow = _awaiting(routes.unfollow)
    follow_all = _awaiting(routes.follow_all)
    delete_all = _awaiting(routes.delete_all)
    hidden = _awaiting(routes.hidden)
    liked = _awaiting(routes.liked)
    similar_users = _awaiting(routes.similar_users)
    feed = _awaiting(routes.feed)
    predict = _awaiting(routes.predict)
    judge = _awaiting(routes.judge)
    model = _awaiting(routes.model)
    set_topics = _awaiting(routes.set_topics)
    interact = _awaiting(routes.interact)
    interact_all = _awaiting(routes.interact_all)
    undo = _awaiting(routes.undo)
    items = _awaiting(routes.items)
    item = _awaiting(routes.item)
    create_item = _awaiting(routes.create_item)
    create_items = _awaiting(routes.create_items)
    put_item = _awaiting(routes.put_item)
    patch_item = _awaiting(routes.patch_item)
    delete_item = _awaiting(routes.delete_item)
    put_windows = _awaiting(routes.put_windows)
    similar = _awaiting(routes.similar)
    popular = _awaiting(routes.popular)
    search = _awaiting(routes.search)
    recommend = _awaiting(routes.recommend)
    topics = _awaiting(routes.topics)
    measure = _awaiting(routes.measure)
    metrics = _awaiting(routes.metrics)
    user_metrics = _awaiting(routes.user_metrics)
    put_metric = _awaiting(routes.put_metric)
    delete_metric = _awaiting(routes.delete_metric)
    clusterings = _awaiting(routes.clusterings)
    clustering = _awaiting(routes.clustering)
    put_clustering = _awaiting(routes.put_clustering)
    delete_clustering = _awaiting(routes.delete_clustering)
    refit = _awaiting(routes.refit)
    models = _awaiting(routes.models)
    stored_model = _awaiting(routes.stored_model)
    create_token = _awaiting(routes.create_token)
    tokens = _awaiting(routes.tokens)
    revoke_token = _awaiting(routes.revoke_token)


def _socket_of(base: str) -> str:
    # `https` becomes `wss`.
    return f"ws{base.removeprefix('http')}/ws"


def _prepare(base: str, call: Call[Any]) -> Json:
    headers = {"accept": "application/json"}
    if call.method != "GET":
        headers["idempotency-key"] = new_id()
    query = {name: _text(value) for name, value in call.query.items() if value is not None}
    prepared: Json = {"method": call.method, "url": f"{base}/{call.route.lstrip('/')}", "headers": headers}
    if query:
        prepared["params"] = query
    if call.lines:
        prepared["content"] = "".join(json.dumps(part) + "\n" for part in call.body).encode()
        headers["content-type"] = _NDJSON
    elif call.body is not None:
        prepared["json"] = call.body
    return prepared


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_token(prepared: Json, token: str | None) -> Json:
    if not token:
        return prepared
    return {**prepared, "headers": {**prepared["headers"], "authorization": f"Bearer {token}"}}


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        if response.headers.get("content-type", "").startswith(_NDJSON):
            return [json.loads(line) for line in response.content.splitlines()]
        return response.json() if response.content else None
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    code = str(problem.get("type", "internal")).rsplit("/", 1)[-1]
    words = problem.get("detail") or problem.get("title") or f"the server answered {response.status_code}"
    wait = response.headers.get("retry-after", "")
    raise EddylineError(
        code,
        words,
        status=response.status_code,
        faults=problem.get("errors"),
        retry_after=float(wait) if wait.isdigit() else None,
    )


def _failure(error: httpx.TransportError) -> EddylineError:
    if isinstance(error, httpx.TimeoutException):
        return EddylineError("timeout", "the server did not answer in time")
    return EddylineError("network", f"the server does not answer: {error}")


def _is_transient(error: EddylineError, call: Call[Any]) -> bool:
    return call.may_repeat and error.status in _TRANSIENT and (error.retry_after or 0) <= _RETRY_MAX_S


def _is_gone(error: EddylineError, call: Call[Any]) -> bool:
    """Whether an earlier attempt, whose answer was lost, deleted the thing."""
    is_of_thing = call.method == "DELETE" and call.route.count("/") == 2
    return is_of_thing and error.status == 404 and error.code.startswith("unknown_") and error.code != "unknown_route"


def _pause_of(error: EddylineError, attempt: int) -> float:
    if error.retry_after is not None:
        return error.retry_after
    return _RETRY_S * 2.0**attempt * (1 + random.random())
