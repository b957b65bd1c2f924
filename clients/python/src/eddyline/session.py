"""The live session of one user: the feed, the events, and the connection for both.

Invariant: an event stays in the outbox, and in the storage, until the server accepts or refuses it. It keeps its id, so
the server learns it once. Events leave in their order, only after ``welcome``.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from .errors import EddylineError
from .feed import Feed, PatchError
from .outbox import Outbox
from .routes import new_id
from .storage import MemoryStorage, Storage, recall, remember
from .types import Json, Kind, Ranking, Window

T = TypeVar("T")
Listener = Callable[[Any], None]
State = Literal["closed", "connecting", "online", "waiting", "refused"]
EventName = Literal[
    "state", "welcome", "feed", "page", "accepted", "refused", "model", "live", "busy", "bye"
]

_SUBPROTOCOL = Subprotocol("eddyline.v1")
_BACKOFF_FIRST_S = 0.4
_BACKOFF_LAST_S = 15.0
_WELCOME_WITHIN_S = 10.0
# A feed of 100 items with texts of 32 KiB, as JSON.
_MESSAGE_BYTES_MAX = 1 << 26
# Errors after which a repeated hello cannot succeed.
_HOPELESS = {"unknown_user", "unauthorized", "forbidden", "bad_field", "out_of_range"}
_REMOVES = {"hide", "reject"}

_log = logging.getLogger("eddyline")


def backoff(attempt: int, chance: Callable[[], float] = random.random) -> float:
    """The back-off in seconds before an attempt, counted from 0: exponential, half of it random."""
    full = min(_BACKOFF_LAST_S, _BACKOFF_FIRST_S * 2.0 ** min(attempt, 16))
    return full / 2 + chance() * full / 2


@dataclass(frozen=True)
class Sent(Generic[T]):
    """An event on its way. ``done`` has the answer once the event is durable."""

    id: str
    message: Json
    done: T


class _Lost(Exception):
    """The connection is over; the next attempt follows after ``wait`` seconds, or after the back-off."""

    def __init__(self, wait: float | None = None) -> None:
        super().__init__()
        self.wait = wait


class _Refused(Exception):
    """The server refused ``hello``, and a repetition cannot succeed."""

    def __init__(self, error: Json) -> None:
        super().__init__()
        self.error = error


class AsyncSession:
    """The live session of one user, for asyncio.

    ``limit``, ``ranking``, ``explain`` and ``timing`` are those of ``hello``. ``storage`` keeps events and feed for a
    restart. With ``acknowledge="auto"`` each feed is acknowledged at once; with ``manual``, call ``drawn``.
    """

    def __init__(
        self,
        user: str,
        url: str,
        *,
        token: str | Callable[[], str | None | Awaitable[str | None]] | None = None,
        ranking: Ranking | None = None,
        limit: int | None = None,
        explain: bool | None = None,
        timing: bool | None = None,
        storage: Storage | None = None,
        prefix: str = "eddyline",
        acknowledge: Literal["auto", "manual"] = "auto",
    ) -> None:
        self.user = user
        self.state: State = "closed"
        self._url = url
        self._token = token
        self._settings = _defined({"ranking": ranking, "limit": limit, "explain": explain, "timing": timing})
        self._storage = storage or MemoryStorage()
        self._feed_name = f"{prefix}.feed.{user}"
        outbox_name = f"{prefix}.outbox.{user}"
        self.feed = Feed.from_json(recall(self._storage, self._feed_name))
        kept = recall(self._storage, outbox_name)
        self._outbox = Outbox(
            kept if isinstance(kept, list) else [],
            lambda messages: remember(self._storage, outbox_name, messages),
        )
        self._acknowledge = acknowledge
        self._listeners: dict[str, list[Listener]] = {}
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._outgoing: deque[Json] = deque()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._pause_until = 0.0
        self._offset_ms = 0.0
        self._welcomed = False
        self._fresh = False
        self._attempt = 0
        self._task: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> AsyncSession:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def waiting(self) -> list[str]:
        """The ids of the unacknowledged events, oldest first."""
        return [message["id"] for message in self._outbox.messages]

    def on(self, name: EventName, listener: Listener) -> Callable[[], None]:
        """Calls ``listener`` with each event of this name. Returns a function that ends it."""
        listeners = self._listeners.setdefault(name, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener) if listener in listeners else None

    async def next(self, name: EventName, test: Callable[[Any], bool] = lambda _: True) -> Any:
        """Waits for the next event of this name that passes the test."""
        found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        end = self.on(name, lambda event: found.set_result(event) if not found.done() and test(event) else None)
        try:
            return await found
        finally:
            end()

    def start(self) -> AsyncSession:
        """Connects, and keeps the connection until ``close``."""
        if self._task is None or self._task.done():
            self._attempt = 0
            self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    def hurry(self) -> None:
        """Reconnects at once instead of after the back-off."""
        self._hurry.set()

    def save(self) -> None:
        """Stores the feed, so that a session after a restart resumes it. Events are always stored."""
        if self.feed.version is not None:
            remember(self._storage, self._feed_name, self.feed.to_json())

    async def close(self) -> None:
        """Ends the connection. Unacknowledged events stay in the storage; the user's next session sends them."""
        self.save()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._set_state("closed")
        for waiting in self._waiting.values():
            words = "the session closed before the event was accepted; the storage keeps it"
            waiting.set_exception(EddylineError("closed", words))
            waiting.exception()  # marks it as retrieved, for callers that do not wait
        self._waiting.clear()

    # ---- events ----

    def interact(
        self, item: str, kind: Kind, *, dwell_ms: int | None = None, at: int | None = None, event_id: str | None = None
    ) -> Sent[asyncio.Future[Json]]:
        """The user acts on an item."""
        more = _defined({"dwell_ms": dwell_ms, "at": at})
        return self._submit({"type": "interact", "id": event_id or new_id(), "item": item, "kind": kind, **more})

    def like(self, item: str) -> Sent[asyncio.Future[Json]]:
        """The user likes an item."""
        return self.interact(item, "like")

    def hide(self, item: str) -> Sent[asyncio.Future[Json]]:
        """The user hides an item: it is never shown to them again."""
        return self.interact(item, "hide")

    def undo(self, event: str, *, event_id: str | None = None) -> Sent[asyncio.Future[Json]]:
        """Takes back an interaction of the user by the id of its event."""
        return self._submit({"type": "undo", "id": event_id or new_id(), "event": event})

    def post(
        self,
        text: str,
        *,
        topic: str | None = None,
        embedding: list[float] | None = None,
        windows: list[Window] | None = None,
        event_id: str | None = None,
    ) -> Sent[asyncio.Future[Json]]:
        """The user makes an item; the answer names it in ``item``."""
        more = _defined({"topic": topic, "embedding": embedding, "windows": windows})
        return self._submit({"type": "post", "id": event_id or new_id(), "text": text, **more})

    def set_live(self, item: str, on: bool, *, event_id: str | None = None) -> Sent[asyncio.Future[Json]]:
        """An item of the user goes on air, or off."""
        return self._submit({"type": "live", "id": event_id or new_id(), "item": item, "on": on})

    def follow(self, user: str, *, event_id: str | None = None) -> Sent[asyncio.Future[Json]]:
        """The user follows another."""
        return self._submit({"type": "follow", "id": event_id or new_id(), "user": user})

    def unfollow(self, user: str, *, event_id: str | None = None) -> Sent[asyncio.Future[Json]]:
        """The user stops following another."""
        return self._submit({"type": "unfollow", "id": event_id or new_id(), "user": user})

    def set_topics(self, topics: dict[str, float], *, event_id: str | None = None) -> Sent[asyncio.Future[Json]]:
        """Sets topic weights by hand, 0 to 1."""
        return self._submit({"type": "configure", "id": event_id or new_id(), "topics": topics})

    # ---- the feed ----

    def configure(
        self,
        *,
        ranking: Ranking | None = None,
        limit: int | None = None,
        explain: bool | None = None,
        timing: bool | None = None,
    ) -> None:
        """Changes settings of the feed; without a connection, the next hello carries them."""
        given = _defined({"ranking": ranking, "limit": limit, "explain": explain, "timing": timing})
        self._settings.update(given)
        self.feed.forget_tail()
        self._say({"type": "configure", **given})

    def more(self) -> bool:
        """Requests the page below the feed; False without a connection."""
        return self._say({"type": "more", "after": len(self.feed.items)})

    def drawn(self, visible: list[str] | None = None) -> None:
        """Acknowledges the feed on the screen, which releases the next one."""
        if self.feed.version is not None:
            self._say({"type": "drawn", "version": self.feed.version, **_defined({"visible": visible})})

    # ---- the connection ----

    def _submit(self, message: Json) -> Sent[asyncio.Future[Json]]:
        if not self._outbox.add(message, self._now_ms()):
            words = "too many events wait for the server, or the event exceeds 60 KiB"
            raise EddylineError("outbox_full", words)
        done: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[message["id"]] = done
        self._wake.set()
        return Sent(message["id"], message, done)

    def _say(self, message: Json) -> bool:
        if not self._welcomed:
            return False
        self._outgoing.append(message)
        self._wake.set()
        return True

    def _now_ms(self) -> float:
        return time.time() * 1000 + self._offset_ms

    async def _run(self) -> None:
        while True:
            self._set_state("connecting")
            wait = None
            try:
                await self._connect()
            except _Refused as refused:
                self._set_state("refused", refused.error)
                return
            except _Lost as lost:
                wait = lost.wait
            except (OSError, WebSocketException, asyncio.TimeoutError, ValueError) as error:
                _log.debug("the connection failed: %s", error)
            except Exception:
                # A fault of the token function, or an answer of another form than the protocol's.
                _log.exception("the connection failed")
            finally:
                self._welcomed = False
                self._outgoing.clear()
                self._outbox.unsend()
            pause = backoff(self._attempt) if wait is None else wait
            self._attempt += 1
            if pause > 0:
                self._set_state("waiting", {"retry_in": pause})
                self._hurry.clear()
                try:
                    await asyncio.wait_for(self._hurry.wait(), pause)
                except asyncio.TimeoutError:
                    pass

    async def _connect(self) -> None:
        found = self._token() if callable(self._token) else self._token
        token = await found if inspect.isawaitable(found) else found
        options: Json = {"subprotocols": [_SUBPROTOCOL], "max_size": _MESSAGE_BYTES_MAX, "close_timeout": 1}
        async with connect(self._url, **options) as socket:
            self._socket = socket
            hello = {"type": "hello", "user": self.user, **self._settings, **_defined({"token": token})}
            if not self._fresh and self.feed.version is not None and self.feed.epoch is not None:
                hello["resume"] = {"epoch": self.feed.epoch, "version": self.feed.version}
            await socket.send(json.dumps(hello))
            # Also covers a server that accepts the connection and then stays silent.
            self._hear(json.loads(await asyncio.wait_for(socket.recv(), _WELCOME_WITHIN_S)))
            sender = asyncio.get_running_loop().create_task(self._send_all(socket))
            try:
                async for text in socket:
                    self._hear(json.loads(text))
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)

    async def _send_all(self, socket: ClientConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outgoing:
                await socket.send(json.dumps(self._outgoing.popleft()))
            if self._welcomed and time.monotonic() >= self._pause_until:
                for message in self._outbox.take_unsent(self._now_ms()):
                    await socket.send(json.dumps(message))

    def _hear(self, message: Json) -> None:
        kind = message["type"]
        if kind == "welcome":
            self._offset_ms = message["server_time"] - time.time() * 1000
            self._welcomed, self._fresh, self._attempt = True, False, 0
            self._pause_until = 0.0
            self._wake.set()
            self._set_state("online")
            self._emit("welcome", message)
        elif kind == "feed":
            self.feed.replace(message)
            self._changed(message)
        elif kind == "patch":
            try:
                self.feed.change(message)
            except PatchError as error:
                _log.debug("a patch does not fit, the whole feed is requested: %s", error)
                self._fresh = True
                raise _Lost(0) from error
            self._changed(message)
        elif kind == "page":
            # Drops a page that was requested before the feed changed its length: it would leave a gap.
            if message["after"] == len(self.feed.items):
                self.feed.append(message)
            self._emit("page", message)
        elif kind == "accepted":
            self._accepted(message)
        elif kind == "busy":
            self._emit("busy", message)
            self._back_off(message.get("id"), message["retry_after_ms"])
        elif kind == "error":
            self._error(message)
        elif kind == "bye":
            self._emit("bye", message)
            raise _Lost
        elif kind == "live":
            self.feed.set_live(message)
            self._emit("live", message)
        elif kind == "model":
            self._emit("model", message)

    def _changed(self, message: Json) -> None:
        if message.get("cause", {}).get("kind") == "configured":
            self.feed.forget_tail()
            # A patch does not name the ranking.
            self.feed.ranking = self._settings.get("ranking", self.feed.ranking)
        if self._acknowledge == "auto":
            self.drawn()
        self._emit("feed", {"feed": self.feed, "cause": message.get("cause"), "timing": message.get("timing")})

    def _accepted(self, answer: Json) -> None:
        event = self._outbox.settle(answer["id"])
        if event is None:
            return
        if event["type"] == "interact" and event["kind"] in _REMOVES:
            self.feed.remove_from_tail(event["item"])
        done = self._waiting.pop(answer["id"], None)
        if done is not None and not done.done():
            done.set_result(answer)
        self._emit("accepted", {"event": event, "answer": answer})

    def _error(self, error: Json) -> None:
        if error["code"] == "busy":
            return self._back_off(error.get("id"), 1000)
        if not self._welcomed:
            raise _Refused(error) if error["code"] in _HOPELESS else _Lost
        event = self._outbox.settle(error["id"]) if "id" in error else None
        done = self._waiting.pop(error.get("id", ""), None)
        if done is not None and not done.done():
            done.set_exception(EddylineError.of_frame(error))
            done.exception()  # marks it as retrieved, for callers that do not wait
        self._emit("refused", {"event": event, "error": error})

    def _back_off(self, event_id: str | None, wait_ms: float) -> None:
        self._outbox.unsend(event_id)
        # Jitter, so that rejected clients do not return within one millisecond.
        wait = max(0.05, wait_ms / 1000) * (1 + random.random() / 4)
        if not self._welcomed:
            raise _Lost(wait)
        self._pause_until = time.monotonic() + wait
        asyncio.get_running_loop().call_later(wait + 0.001, self._wake.set)

    def _set_state(self, state: State, detail: Json | None = None) -> None:
        self.state = state
        self._emit("state", {"state": state, "detail": detail})

    def _emit(self, name: EventName, event: Any) -> None:
        for listener in list(self._listeners.get(name, [])):
            try:
                listener(event)
            except Exception:
                _log.exception("a listener of %s failed", name)


class Session:
    """The live session of one user for blocking programs: an AsyncSession on a thread of its own.

    It takes the options of AsyncSession. Listeners run on that thread.
    """

    def __init__(self, user: str, url: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="eddyline", daemon=True)
        self._thread.start()
        self._live: AsyncSession = self._call(lambda: AsyncSession(user, url, **options))

    def __enter__(self) -> Session:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._live.state

    @property
    def feed(self) -> Feed:
        """The feed as it is now. The session's thread changes it."""
        return self._live.feed

    @property
    def waiting(self) -> list[str]:
        """The ids of the unacknowledged events, oldest first."""
        return self._call(lambda: self._live.waiting)

    def on(self, name: EventName, listener: Listener) -> Callable[[], None]:
        """Calls ``listener`` with each event of this name, on the session's thread. Returns a function that ends it."""
        return self._call(lambda: self._live.on(name, listener))

    def expect(self, name: EventName, test: Callable[[Any], bool] = lambda _: True) -> Future[Any]:
        """A future of the next event of this name that passes the test. It counts from this call on."""
        found: Future[Any] = Future()

        def listen() -> None:
            def hear(event: Any) -> None:
                if not found.done() and test(event):
                    end()
                    found.set_result(event)

            end = self._live.on(name, hear)

        self._call(listen)
        return found

    def start(self) -> Session:
        """Connects, and keeps the connection until ``close``."""
        self._call(self._live.start)
        return self

    def hurry(self) -> None:
        """Reconnects at once instead of after the back-off."""
        self._call(self._live.hurry)

    def save(self) -> None:
        """Stores the feed, so that a session after a restart resumes it. Events are always stored."""
        self._call(self._live.save)

    def close(self) -> None:
        """Ends the connection and the thread. Unacknowledged events stay in the storage."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._live.close(), self._loop).result()
        # Results of closed events reach their callers before the loop ends.
        self._call(lambda: None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def interact(
        self, item: str, kind: Kind, *, dwell_ms: int | None = None, at: int | None = None, event_id: str | None = None
    ) -> Sent[Future[Json]]:
        """The user acts on an item."""
        return self._sent(lambda: self._live.interact(item, kind, dwell_ms=dwell_ms, at=at, event_id=event_id))

    def like(self, item: str) -> Sent[Future[Json]]:
        """The user likes an item."""
        return self.interact(item, "like")

    def hide(self, item: str) -> Sent[Future[Json]]:
        """The user hides an item: it is never shown to them again."""
        return self.interact(item, "hide")

    def undo(self, event: str, *, event_id: str | None = None) -> Sent[Future[Json]]:
        """Takes back an interaction of the user by the id of its event."""
        return self._sent(lambda: self._live.undo(event, event_id=event_id))

    def post(
        self,
        text: str,
        *,
        topic: str | None = None,
        embedding: list[float] | None = None,
        windows: list[Window] | None = None,
        event_id: str | None = None,
    ) -> Sent[Future[Json]]:
        """The user makes an item; the answer names it in ``item``."""
        return self._sent(
            lambda: self._live.post(text, topic=topic, embedding=embedding, windows=windows, event_id=event_id)
        )

    def set_live(self, item: str, on: bool, *, event_id: str | None = None) -> Sent[Future[Json]]:
        """An item of the user goes on air, or off."""
        return self._sent(lambda: self._live.set_live(item, on, event_id=event_id))

    def follow(self, user: str, *, event_id: str | None = None) -> Sent[Future[Json]]:
        """The user follows another."""
        return self._sent(lambda: self._live.follow(user, event_id=event_id))

    def unfollow(self, user: str, *, event_id: str | None = None) -> Sent[Future[Json]]:
        """The user stops following another."""
        return self._sent(lambda: self._live.unfollow(user, event_id=event_id))

    def set_topics(self, topics: dict[str, float], *, event_id: str | None = None) -> Sent[Future[Json]]:
        """Sets topic weights by hand, 0 to 1."""
        return self._sent(lambda: self._live.set_topics(topics, event_id=event_id))

    def configure(
        self,
        *,
        ranking: Ranking | None = None,
        limit: int | None = None,
        explain: bool | None = None,
        timing: bool | None = None,
    ) -> None:
        """Changes settings of the feed; without a connection, the next hello carries them."""
        self._call(lambda: self._live.configure(ranking=ranking, limit=limit, explain=explain, timing=timing))

    def more(self) -> bool:
        """Requests the page below the feed; False without a connection."""
        return self._call(self._live.more)

    def drawn(self, visible: list[str] | None = None) -> None:
        """Acknowledges the feed on the screen, which releases the next one."""
        self._call(lambda: self._live.drawn(visible))

    def _call(self, action: Callable[[], T]) -> T:
        """Runs an action on the session's thread, and returns its result."""

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _sent(self, send: Callable[[], Sent[asyncio.Future[Json]]]) -> Sent[Future[Json]]:
        sent = self._call(send)

        async def wait() -> Json:
            return await sent.done

        waiting: Coroutine[Any, Any, Json] = wait()
        return Sent(sent.id, sent.message, asyncio.run_coroutine_threadsafe(waiting, self._loop))


def _defined(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
