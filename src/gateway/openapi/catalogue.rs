//! Routes about items, topics and availability.

use crate::protocol::problem::Code;

use super::operation::{Operation, Who, route};

const ITEM: &str = r#"{"item": "river-cam", "text": "The river at the weir", "topic": "rivers"}"#;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        route("GET", "/v1/items", "listItems", Who::Known, "Lists the catalogue in order of creation, page by page.")
            .limit("integer(1..1000) = 100")
            .query("after", "integer(0..4294967295)", "`next` of the page before.")
            .answer(200, "{items: Item[], next: integer | null}", "A page; `next` is null on the last one."),
        route("POST", "/v1/items", "createItems", Who::Service, "Creates an item, or a list of items.")
            .more("Each part of a list has its own result: a refused part does not affect the others.")
            .body("ItemInput | ItemInput[](..10000)", ITEM)
            .answer(201, "Written", "The item is durable.")
            .answer(200, "Results", "One result per part of the list.")
            .fails(&[Code::Conflict, Code::UnknownUser]),
        route("GET", "/v1/items/{id:.+}", "readItem", Who::Known, "Reads an item.")
            .tagged()
            .answer(200, "Item", "The item.")
            .fails(&[Code::UnknownItem]),
        route("PUT", "/v1/items/{id:.+}", "putItem", Who::Service, "Creates an item, or replaces the whole item.")
            .body("ItemInput", r#"{"text": "The river at the weir", "topics": ["rivers"]}"#)
            .answer(201, "Written", "The item is new and durable.")
            .answer(200, "Written", "The item was replaced.")
            .fails(&[Code::Conflict, Code::UnknownUser]),
        route("PATCH", "/v1/items/{id:.+}", "changeItem", Who::Service, "Changes the given fields of an item.")
            .body("ItemInput", r#"{"topics": ["rivers", "cameras"]}"#)
            .answer(200, "Written", "The item was changed.")
            .fails(&[Code::UnknownItem, Code::Conflict, Code::UnknownUser]),
        route("DELETE", "/v1/items/{id:.+}", "deleteItem", Who::Service, "Deletes an item: no feed shows it again.")
            .answer(204, "", "The item is deleted.")
            .fails(&[Code::UnknownItem]),
        route("GET", "/post/{id:.+}", "readPost", Who::Known, "Reads an item, as `GET /v1/items/{id}` does.")
            .tagged()
            .answer(200, "Item", "The item.")
            .fails(&[Code::UnknownItem]),
        route("GET", "/v1/items/{id}/windows", "readWindows", Who::Known, "Lists the availability windows of an item.")
            .answer(200, "Window[]", "The windows by start; without any the item is always available.")
            .fails(&[Code::UnknownItem]),
        route("PUT", "/v1/items/{id}/windows", "putWindows", Who::Service, "Replaces all windows of an item.")
            .body("WindowInput[](..100000)", r#"[{"start": 1767225600000, "stop": "2026-01-01T01:00:00Z"}]"#)
            .answer(200, "Window[]", "The windows by start.")
            .fails(&[Code::UnknownItem, Code::Conflict]),
        route(
            "GET",
            "/v1/items/{id}/similar",
            "listSimilarItems",
            Who::Known,
            "Lists available items that resemble an item.",
        )
        .query("by", r#""visits" | "embedding" | "both" = both"#, "The measure of similarity.")
        .pages("integer(1..100) = 30")
        .answer(
            200,
            r#"{item: Key, by: "visits" | "embedding" | "both", items: SimilarItem[], next?: string}"#,
            "A page, the best first; the last one has no `next`.",
        )
        .fails(&[Code::UnknownItem]),
        route(
            "GET",
            "/v1/items/{id}/audience",
            "listAudience",
            Who::Service,
            "Lists active users by their score for an item.",
        )
        .pages("integer(1..1000) = 100")
        .answer(
            200,
            "{item: Key, people: {user: Key, score: number}[], active: integer, scored: integer, next?: string}",
            "A page, the highest score first; the last one has no `next`.",
        )
        .fails(&[Code::UnknownItem]),
        route("GET", "/v1/search", "searchItems", Who::Known, "Finds items by the words of their texts.")
            .query_must("q", "string(..256)", "The words.", "river")
            .query("topic", "Key", "Only items of this topic.")
            .query("author", "Key", "Only items of this author.")
            .query("available", "boolean = false", "Only items that are available now.")
            .limit("integer(1..100) = 30")
            .query("after", "integer(0..1000) = 0", "`next` of the page before.")
            .answer(200, "{items: FoundItem[], next: integer | null}", "A page, the most relevant item first."),
        route("GET", "/v1/topics", "listTopics", Who::Known, "Lists topics by key, with the number of their items.")
            .limit("integer(1..1000) = 100")
            .query("after", "Key", "`next` of the page before.")
            .answer(
                200,
                "{topics: {topic: Key, id: Key, items: integer, available: integer}[], next: Key | null}",
                "A page; `next` is null on the last one.",
            ),
        route("GET", "/v1/popular", "listPopularItems", Who::Known, "Lists the most popular available items.")
            .more("With `cluster` it needs a service token.")
            .query("cluster", "integer(0..4294967295)", "A cluster of the last fit, whose users are counted.")
            .query("topic", "Key", "Only items of this topic.")
            .pages("integer(1..100) = 30")
            .answer(
                200,
                "{items: PopularItem[], at: Time, cluster: integer | null, next?: string}",
                "A page, the best first; the last one has no `next`.",
            )
            .fails(&[Code::Forbidden]),
        route(
            "GET",
            "/v1/availability",
            "listAvailability",
            Who::Known,
            "Lists available items, or the windows of a span.",
        )
        .more("With `from` and `to` it lists windows, and takes neither `at` nor `live`.")
        .query("at", "TimeInput", "The time; now by default.")
        .query("live", "boolean = false", "Leaves out items that are always available.")
        .limit("integer(1..1000) = 100")
        .query(
            "after",
            "integer(0..4294967295) | string(..64)",
            "`next` of the page before, with its other parameters.",
        )
        .query("from", "TimeInput", "Start of the span.")
        .query("to", "TimeInput", "End of the span.")
        .answer(
            200,
            "{items: AvailableItem[], at: Time, total: integer, next: integer | null} \
                 | {windows: PlacedWindow[], from: Time, to: Time, total: integer, next?: string}",
            "Items by creation, or windows by start.",
        ),
    ]
}
