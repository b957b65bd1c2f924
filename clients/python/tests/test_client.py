"""REST and sessions against a real server: reconnect, resume, offline queue, idempotent ids, tokens."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from conftest import ITEMS, SECRET, Server, signed

from eddyline import AsyncEddyline, Eddyline, EddylineError, Feed, FileStorage, PatchError, apply_operations
from eddyline.outbox import ENTRIES_MAX, Outbox
from eddyline.session import backoff

WAIT_S = 10


def likes(client: Eddyline, user: str) -> list[str]:
    found = client.request("GET", f"user/{quote(user, safe='')}/feed")["interactions"]
    return [entry["item"] for entry in found if entry["kind"] == "like"]


def keys(feed: Feed | list[Any]) -> list[str]:
    return [item["item"] for item in (feed.items if isinstance(feed, Feed) else feed)]


def test_users_follows_feeds_and_predictions(client: Eddyline, person: str) -> None:
    client.put_user("grace", name="Grace")
    client.follow(person, "grace")
    assert "grace" in str(client.user(person)["friends"])
    client.unfollow(person, "grace")
    assert client.user(person)["friends"] == []
    assert any(user["user"] == person for user in client.users(prefix="test_users"))
    assert len(client.feed(person, limit=3, explain=True)["items"]) == 3
    before = client.predict(person, "weir")
    assert abs(before["accepted"] + before["rejected"] - 1) < 1e-6
    assert client.judge(person, "weir", "accepted")["accepted"] > before["accepted"]
    client.set_topics(person, {"rivers": 0.5})
    assert client.model(person)["topics"]["rivers"] > 0.4
    assert client.export_user(person)
    client.delete_user(person)


def test_items_topics_and_similar_items(client: Eddyline) -> None:
    assert set(ITEMS) <= {item["item"] for item in client.all_items(limit=2)}
    made = client.create_item({"text": "made", "topics": ["other"]})["item"]
    client.patch_item(made, {"text": "changed"})
    assert client.item(made)["text"] == "changed"
    client.put_item(made, {"text": "whole"})
    client.put_windows(made, [{"start": 1000, "stop": 2000}])
    client.delete_item(made)
    with pytest.raises(EddylineError) as caught:
        client.item(made)
    assert (caught.value.code, caught.value.status) == ("unknown_item", 404)
    assert "rivers" in [topic["topic"] for topic in client.topics()["topics"]]
    assert client.similar("weir", by="embedding")
    assert client.popular(limit=2)


def test_metrics_and_clusterings(client: Eddyline, person: str) -> None:
    measured = [{"metric": "time_spent", "type": "post", "value": 12.5}]
    assert client.measure(measured, user_id=person)["accepted"] == 1
    assert client.user_metrics(person)["metrics"]
    client.put_metric("taps", {"unit": "1", "range": [0, 100]})
    assert "taps" in [declared["name"] for declared in client.metrics()["declarations"]]
    client.delete_metric("taps")
    client.put_clustering("mine", {"columns": ["visits"]})
    assert "mine" in [one["name"] for one in client.clusterings()]
    assert client.clustering("mine")["name"] == "mine"
    client.delete_clustering("mine")


def test_a_refused_interaction_affects_no_other_and_a_resend_is_learned_once(client: Eddyline, person: str) -> None:
    results = client.interact_all(
        [
            {"user": person, "item": "weir", "kind": "like", "id": "one"},
            {"user": person, "item": "nowhere", "kind": "like"},
        ]
    )
    assert len(results) == 2
    client.interact(person, "weir", "like", event_id="one")
    assert likes(client, person) == ["weir"]


def test_an_undone_interaction_is_no_longer_listed_over_rest_and_by_a_session(client: Eddyline, person: str) -> None:
    client.interact(person, "weir", "like", event_id="one")
    client.interact(person, "mill", "hide", event_id="two")
    assert [entry["item"] for entry in client.liked(person)["items"]] == ["weir"]
    assert [entry["item"] for entry in client.hidden(person, limit=5)["items"]] == ["mill"]
    first = client.undo(person, "one")
    assert first["event"] == "one"
    assert client.undo(person, "one")["seq"] == first["seq"], "a second undo is answered as the first one"
    assert client.liked(person)["items"] == []
    with client.session(person) as session:
        assert session.undo("two").done.result(WAIT_S)["id"]
        assert client.hidden(person)["items"] == []
        with pytest.raises(EddylineError) as caught:
            session.undo("never sent").done.result(WAIT_S)
        assert caught.value.code == "unknown_event"


def test_bulk_routes_have_one_result_per_part_beyond_the_length_of_a_list(client: Eddyline, person: str) -> None:
    made = client.put_users([{"user": "bulk-ada"}, {"user": "bulk-grace", "name": "Grüße"}, {"user": ""}])
    assert [result["status"] for result in made] == ["created", "created", "refused"]
    assert client.user("bulk-grace")["name"] == "Grüße"
    assert [user["user"] for user in client.users(prefix="bulk-", after="bulk-ada")] == ["bulk-grace"]
    followed = client.follow_all([{"user": "bulk-ada", "whom": "bulk-grace"}])
    assert [result["status"] for result in followed] == ["accepted"]
    assert "bulk-grace" in str(client.user("bulk-ada")["friends"])
    results = client.interact_all([{"user": person, "item": "weir", "kind": "click"}] * 10_001)
    assert [result["status"] for result in results] == ["accepted"] * 10_001
    gone = client.delete_all([{"user": "bulk-ada"}, {"item": "nowhere"}])
    assert [result["status"] for result in gone] == ["deleted", "refused"]
    assert client.interact_all([]) == []


def test_search_recommendations_and_stored_models(client: Eddyline, person: str) -> None:
    assert [item["item"] for item in client.search("quay tonight", available=True)["items"]] == ["quay"]
    found = client.recommend(["weir", {"item": "mill", "kind": "like"}], limit=2, exclude=["weir"])
    assert len(found["items"]) == 2
    assert "weir" not in keys(found["items"])
    only = client.recommend(user=person, filters={"topic": "rivers"}, boosts=[{"item": "lock", "factor": 1000}])
    assert only["items"][0]["item"] == "lock"
    page = client.feed(person, limit=2)
    below = client.feed(person, limit=2, after=page["next"])
    assert not set(keys(page["items"])) & set(keys(below["items"]))
    assert isinstance(client.similar_users(person), list)
    assert client.models() == []
    with pytest.raises(EddylineError) as caught:
        client.stored_model(1)
    assert caught.value.code == "unknown_model"


@pytest.mark.parametrize("text", ["{", "", "[]", "7", '{"a": 7}', "\xff"])
def test_a_storage_file_that_holds_something_else_is_set_aside_with_a_warning(tmp_path: Path, text: str) -> None:
    file = tmp_path / "session.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.warns(RuntimeWarning, match=r"session\.json\.bad"):
        storage = FileStorage(file)
    assert (tmp_path / "session.json.bad").read_bytes() == text.encode("latin-1")
    assert storage.get("a") is None
    storage.set("a", "kept")
    assert FileStorage(file).get("a") == "kept"


def test_all_pages_of_a_list_hold_each_entry_once(client: Eddyline) -> None:
    found = [item["item"] for item in client.all("v1/popular", "items", limit=2)]
    assert len(found) == len(set(found))
    assert set(ITEMS) <= set(found)


def test_a_refusal_names_its_code_and_its_fields(client: Eddyline, person: str) -> None:
    with pytest.raises(EddylineError) as caught:
        client.feed(person, limit=0)
    assert (caught.value.code, caught.value.status, caught.value.faults[0]["field"]) == ("out_of_range", 422, "limit")


def test_a_blocking_session_shows_what_rest_says_and_an_act_moves_it(client: Eddyline, person: str) -> None:
    session = client.session(person, limit=5, explain=True)
    first = session.expect("feed")
    with session:
        first.result(WAIT_S)
        asked = client.feed(person, limit=5)["items"]
        assert keys(session.feed) == keys(asked)
        changed = session.expect("feed", lambda event: event["cause"]["kind"] == "event")
        sent = session.hide(asked[0]["item"])
        assert sent.done.result(WAIT_S)["id"] == sent.id
        changed.result(WAIT_S)
        assert asked[0]["item"] not in keys(session.feed)
        made = session.post("High water", topic="rivers").done.result(WAIT_S)["item"]
        session.set_live(made, True).done.result(WAIT_S)
        session.set_topics({"rivers": 0.75}).done.result(WAIT_S)
        client.put_user("grace")
        session.follow("grace").done.result(WAIT_S)
        session.unfollow("grace").done.result(WAIT_S)
        flat = session.expect("feed", lambda event: event["feed"].ranking == "flat")
        session.configure(ranking="flat")
        flat.result(WAIT_S)
        page = session.expect("page")
        assert session.more()
        page.result(WAIT_S)
        with pytest.raises(EddylineError, match="nowhere"):
            session.like("nowhere").done.result(WAIT_S)
        assert session.waiting == []


def test_the_asyncio_client_does_what_the_blocking_one_does(server: Server, client: Eddyline, person: str) -> None:
    async def walk() -> None:
        async with AsyncEddyline(server.url) as live:
            assert len((await live.feed(person, limit=2))["items"]) == 2
            assert set(ITEMS) <= {item["item"] async for item in live.all_items(limit=2)}
            with pytest.raises(EddylineError):
                await live.item("nowhere")
            session = live.session(person, limit=3)
            first = asyncio.create_task(session.next("feed"))
            async with session:
                await asyncio.wait_for(first, WAIT_S)
                answer = await asyncio.wait_for(session.like("weir").done, WAIT_S)
                assert answer["seq"] == 1
                assert len((await live.search("weir"))["items"]) == 1
                assert (await live.interact_all([{"user": person, "item": "mill", "kind": "view"}]))[0]["seq"] == 2

    asyncio.run(walk())
    assert likes(client, person) == ["weir"]


def test_while_the_server_is_away_an_event_waits_and_arrives_once_after_a_restart_of_the_program(
    server: Server, client: Eddyline, person: str, tmp_path: Path
) -> None:
    file = tmp_path / "session.json"
    session = client.session(person, storage=FileStorage(file))
    first, waiting = session.expect("feed"), session.expect("state", lambda event: event["state"] == "waiting")
    session.start()
    first.result(WAIT_S)
    server.stop(signal.SIGKILL)
    waiting.result(WAIT_S)
    sent = session.like("mill")
    session.close()
    with pytest.raises(EddylineError) as caught:
        sent.done.result(WAIT_S)
    assert caught.value.code == "closed"

    again = client.session(person, storage=FileStorage(file))
    assert again.waiting == [sent.id]
    assert again.feed.version == session.feed.version, "the feed is shown at once"
    waiting = again.expect("state", lambda event: event["state"] == "waiting")
    accepted = again.expect("accepted")
    with again:
        waiting.result(WAIT_S)
        server.start()
        again.hurry()
        assert accepted.result(WAIT_S)["event"]["id"] == sent.id
        assert again.waiting == []
    assert likes(client, person) == ["mill"]


def test_after_a_drop_the_session_resumes_and_loses_nothing(client: Eddyline, server: Server, person: str) -> None:
    async def walk() -> None:
        async with AsyncEddyline(server.url) as live:
            session = live.session(person, limit=3)
            first = asyncio.create_task(session.next("feed"))
            async with session:
                await asyncio.wait_for(first, WAIT_S)
                sent = [session.like(item) for item in ITEMS]
                await asyncio.sleep(0)
                # The connection breaks without a close frame while answers are under way.
                assert session._socket is not None
                session._socket.transport.abort()
                answers = await asyncio.wait_for(asyncio.gather(*(one.done for one in sent)), WAIT_S)
                assert sorted(answer["seq"] for answer in answers) == [1, 2, 3, 4, 5]
                asked = await live.feed(person, limit=3)
                assert keys(session.feed) == keys(asked["items"])

    asyncio.run(walk())
    assert sorted(likes(client, person)) == sorted(ITEMS)


def test_an_unknown_user_is_refused_and_the_session_does_not_return_by_itself(client: Eddyline) -> None:
    session = client.session("nobody here")
    refused = session.expect("state", lambda event: event["state"] == "refused")
    with session:
        assert refused.result(WAIT_S)["detail"]["code"] == "unknown_user"


def test_with_a_secret_a_token_opens_rest_and_sessions_and_none_is_refused(guarded: Server) -> None:
    with Eddyline(guarded.url, token=signed({"sub": "tests", "role": "service"})) as service:
        service.put_user("ada")
        service.create_item({"item": "weir", "text": "The weir"})
        token = service.create_token(user="ada")["token"]
    with Eddyline(guarded.url, token=lambda: token) as ada:
        assert len(ada.feed("ada")["items"]) == 1
        with ada.session("ada") as session:
            session.like("weir").done.result(WAIT_S)
    with Eddyline(guarded.url) as none:
        with pytest.raises(EddylineError) as caught:
            none.feed("ada")
        assert (caught.value.code, caught.value.status) == ("unauthorized", 401)
        refused_session = none.session("ada")
        refused = refused_session.expect("state", lambda event: event["state"] == "refused")
        with refused_session:
            assert refused.result(WAIT_S)["detail"]["code"] == "unauthorized"
    assert len(SECRET) >= 32


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_answer_is_retried_with_one_id_and_the_token_stays_out_of_addresses(status: int) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) < 3:
            return httpx.Response(status, headers={"retry-after": "0"}, json={"type": "/problems/busy"})
        return httpx.Response(200, json={"id": "one", "seq": 1})

    with Eddyline("http://127.0.0.1:9", token="a-token") as client:
        client._http = httpx.Client(transport=httpx.MockTransport(answer))
        assert client.interact("ada", "weir", "like")["seq"] == 1
        assert len(asked) == 3
        assert len({json.loads(request.content)["id"] for request in asked}) == 1
        assert len({request.headers["idempotency-key"] for request in asked}) == 1
        assert all(request.headers["authorization"] == "Bearer a-token" for request in asked)
        assert not any("a-token" in str(request.url) for request in asked)
        asked.clear()
        with pytest.raises(EddylineError) as caught:
            client.create_item({"item": "weir", "text": "The weir"})
        assert (len(asked), caught.value.status) == (1, status), "a creation is not repeated by itself"


def test_a_deletion_whose_answer_was_lost_is_done(client: Eddyline, monkeypatch: pytest.MonkeyPatch) -> None:
    client.put_item("adrift", {"text": "A boat adrift"})
    send, sent = client._http.request, []

    def lossy(**request: Any) -> httpx.Response:
        answer = send(**request)
        sent.append(answer.status_code)
        if len(sent) == 1:
            raise httpx.ReadError("the connection broke")
        return answer

    monkeypatch.setattr(client._http, "request", lossy)
    client.delete_item("adrift")
    assert sent == [204, 404]
    with pytest.raises(EddylineError) as caught:
        client.delete_item("adrift")
    assert caught.value.code == "unknown_item"


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_what_libraries_drop_from_a_path_is_no_key(client: Eddyline, person: str, key: str) -> None:
    for ask in [lambda: client.unfollow(person, key), lambda: client.undo(person, key), lambda: client.user(key)]:
        with pytest.raises(ValueError):
            ask()
    assert client.user(person)["user"] == person


def test_a_server_that_does_not_answer_is_an_error_of_the_network() -> None:
    with Eddyline("http://127.0.0.1:9", retries=0) as nobody, pytest.raises(EddylineError) as caught:
        nobody.users()
    assert caught.value.code == "network"


@pytest.mark.parametrize(
    ("operations", "after"),
    [
        ([], "abc"),
        ([{"op": "remove", "item": "a"}], "bc"),
        ([{"op": "move", "item": "a", "position": 2}], "bca"),
        ([{"op": "insert", "item": {"item": "x", "position": 1}}], "axbc"),
        ([{"op": "update", "item": {"item": "b", "position": 0, "score": 9}}], "abc"),
    ],
)
def test_a_patch_that_fits_is_applied(operations: list[Any], after: str) -> None:
    before: list[Any] = [{"item": key, "position": place} for place, key in enumerate("abc")]
    found = apply_operations(before, operations)
    assert "".join(keys(found)) == after
    assert [item["position"] for item in found] == list(range(len(found)))


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "item": "x"},
        {"op": "move", "item": "a", "position": 3},
        {"op": "move", "item": "a", "position": -1},
        {"op": "insert", "item": {"item": "a", "position": 0}},
        {"op": "insert", "item": {"item": "x", "position": 4}},
        {"op": "swap", "item": "a"},
    ],
)
def test_a_patch_that_does_not_fit_is_refused_as_a_whole(operation: Any) -> None:
    before: list[Any] = [{"item": key, "position": place} for place, key in enumerate("abc")]
    with pytest.raises(PatchError):
        apply_operations(before, [{"op": "remove", "item": "b"}, operation])
    assert keys(before) == ["a", "b", "c"]


def test_the_outbox_has_an_end_and_a_late_event_says_when_it_was_made() -> None:
    saved: list[Any] = []
    outbox = Outbox([], lambda messages: saved.__setitem__(slice(None), messages))
    for number in range(ENTRIES_MAX):
        assert outbox.add({"type": "interact", "id": str(number)}, 10_000)
    assert not outbox.add({"type": "interact", "id": "one too many"}, 10_000)
    assert outbox.take_unsent(20_000)[0]["at"] == 10_000
    assert outbox.take_unsent(20_000) == []
    outbox.unsend()
    assert outbox.take_unsent(90_000)[0]["at"] == 10_000
    outbox.settle("0")
    assert len(saved) == ENTRIES_MAX - 1
    assert not Outbox([], lambda _: None).add({"type": "post", "id": "large", "text": "é" * 40_000}, 0)


def test_the_back_off_doubles_up_to_an_end_and_half_of_it_is_chance() -> None:
    assert [backoff(attempt, lambda: 1.0) for attempt in (0, 1, 2, 30)] == [0.4, 0.8, 1.6, 15.0]
    assert [backoff(attempt, lambda: 0.0) for attempt in (0, 30)] == [0.2, 7.5]
