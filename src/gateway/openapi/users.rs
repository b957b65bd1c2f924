//! Routes about users, their events and their feeds.

use crate::protocol::problem::Code;

use super::operation::{Operation, Who, route};

const RANKING: &str = r#""flat" | "topics" | "model" | "tower" = model"#;
const LABEL: &str = r#"{"label": "accepted", "id": "ada-23"}"#;
const INTERACTIONS: &str = "{interactions: ListedInteraction[], next?: string} | InteractionRow[]";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        route("GET", "/v1/users", "listUsers", Who::Service, "Lists users whose key or name starts with a prefix.")
            .query("prefix", "string", "The prefix; ASCII letters match in either case.")
            .limit("integer(1..1000) = 100")
            .query("after", "Key", "`next` of the page before.")
            .query("cluster", "integer(0..4294967295)", "Only members of this cluster of the last fit.")
            .query("clustering", "Key = default", "The clustering of `cluster`.")
            .answer(200, "{users: User[], next: Key | null}", "A page by key; `next` is null on the last one.")
            .fails(&[Code::UnknownClustering]),
        route("POST", "/v1/users", "putUsers", Who::Own, "Creates or changes users of a list.")
            .more("Each part has its own result: a refused part does not affect the others.")
            .body("UserInput[](..10000)", r#"[{"user": "ada", "name": "Ada"}, {"user": "grace"}]"#)
            .body_of("application/x-ndjson", "string", "{\"user\":\"ada\"}\n")
            .answer(200, "Results", "One result per part.")
            .answer_of(200, "application/x-ndjson", "string", "One result per line."),
        route("POST", "/v1/follows", "putFollows", Who::Own, "Follows and unfollows users of a list.")
            .more("Each part has its own result. A resend with an id is harmless.")
            .body("FollowInput[](..10000)", r#"[{"user": "ada", "whom": "grace", "id": "ada-19"}]"#)
            .body_of("application/x-ndjson", "string", "{\"user\":\"ada\",\"whom\":\"grace\"}\n")
            .answer(200, "Results", "One result per part.")
            .answer_of(200, "application/x-ndjson", "string", "One result per line."),
        route("POST", "/v1/deletions", "deleteAll", Who::Own, "Deletes the items and erases the users of a list.")
            .more("Each part has its own result. Items need a service token.")
            .body("DeletionInput[](..10000)", r#"[{"item": "river-cam"}, {"user": "ada"}]"#)
            .body_of("application/x-ndjson", "string", "{\"item\":\"river-cam\"}\n")
            .answer(200, "Results", "One result per part.")
            .answer_of(200, "application/x-ndjson", "string", "One result per line."),
        route("GET", "/v1/users/{id}", "readUser", Who::Own, "Reads a user.")
            .tagged()
            .answer(200, "User", "The user, with the users whom they follow as `friends`.")
            .fails(&[Code::UnknownUser]),
        route("PUT", "/v1/users/{id}", "putUser", Who::Own, "Creates a user, or changes their name or attributes.")
            .body("PersonInput", r#"{"name": "Ada", "attributes": {"age": 36}}"#)
            .optional_body()
            .answer(201, "User", "The user is new.")
            .answer(200, "User", "The user was changed."),
        route("DELETE", "/v1/users/{id}", "eraseUser", Who::Own, "Erases a user permanently.")
            .answer(204, "", "No trace of the user is left.")
            .fails(&[Code::UnknownUser]),
        route("GET", "/user/{id}", "readUserProfile", Who::Own, "Reads a user, as `GET /v1/users/{id}` does.")
            .tagged()
            .answer(200, "User", "The user, with the users whom they follow as `friends`.")
            .fails(&[Code::UnknownUser]),
        route("GET", "/v1/users/{id}/export", "exportUser", Who::Own, "Exports all data of a user.")
            .answer(
                200,
                "{format: string, exported_at: Time, profile: object, follows: any[], followers: any[], model: object, \
                 items: object[], shown: object[], journal: object[]}",
                "One document, which is incomplete if the connection ends before its end.",
            )
            .fails(&[Code::UnknownUser]),
        route("PUT", "/v1/users/{id}/follows/{whom}", "follow", Who::Own, "Follows a user.")
            .idempotent()
            .answer(200, "{id: Key, seq: integer}", "The event is durable.")
            .fails(&[Code::UnknownUser, Code::OutOfRange, Code::Conflict]),
        route("DELETE", "/v1/users/{id}/follows/{whom}", "unfollow", Who::Own, "Stops following a user.")
            .idempotent()
            .answer(200, "{id: Key, seq: integer}", "The event is durable.")
            .fails(&[Code::UnknownUser, Code::OutOfRange, Code::Conflict]),
        route(
            "GET",
            "/v1/users/{id}/feed",
            "readFeed",
            Who::Own,
            "Ranks the feed that a socket of these settings would get.",
        )
        .query("ranking", RANKING, "The ranking.")
        .limit("integer(1..100) = 30")
        .query("after", "integer(0..1000) = 0", "Number of items that the client has: `next` of the page before.")
        .query("explain", "boolean = false", "Adds `why` to each item.")
        .answer(
            200,
            r#"{user: Key, version: integer, epoch: integer, ranking: "flat" | "topics" | "model" | "tower",
                    items: WireItem[], next: integer | null, model_version?: integer}"#,
            "The feed, the best item first.",
        )
        .fails(&[Code::UnknownUser]),
        route(
            "GET",
            "/post/recommendations",
            "recommend",
            Who::Own,
            "Ranks items for a user, now or at a time of the past.",
        )
        .query_must("id", "Key", "Key of the user.", "ada")
        .query("time", "TimeInput", "The time; now by default.")
        .query("ranking", RANKING, "The ranking.")
        .limit("integer(1..100) = 30")
        .query("model", r#""then" | "newest" = then"#, "The two-tower model of a question about the past.")
        .query("compat", r#""list""#, "Answers a bare list.")
        .answer(
            200,
            r#"{user: Key, time: Time, recommendations: WireItem[], model_version?: integer,
                    availability?: "then" | "now", model?: "then" | "newest", model_missing?: integer}
                   | {id: Key, text: string, topic: Key | null}[]"#,
            "The best item first.",
        )
        .fails(&[Code::UnknownUser, Code::UnknownModel]),
        route(
            "POST",
            "/v1/interactions",
            "interact",
            Who::Own,
            "Learns an interaction, a list of them, or lines of JSON.",
        )
        .more("Each part of a list has its own result. A resend with an id is harmless.")
        .idempotent()
        .body(
            "InteractionInput | InteractionInput[](..10000)",
            r#"{"user": "ada", "id": "ada-17", "item": "river-cam", "kind": "watch", "dwell_ms": 42000}"#,
        )
        .body_of("application/x-ndjson", "string", "{\"user\":\"ada\",\"item\":\"river-cam\",\"kind\":\"like\"}\n")
        .answer(200, "Accepted | Results", "The event is durable; for a list, one result per part.")
        .answer_of(200, "application/x-ndjson", "string", "One result per line.")
        .fails(&[Code::UnknownUser, Code::UnknownItem, Code::Unavailable, Code::Conflict]),
        route(
            "GET",
            "/user/{id}/feed",
            "listInteractionsOfUser",
            Who::Own,
            "Lists interactions of a user, newest first.",
        )
        .pages("integer(1..1000) = 100")
        .query("expand", EXPAND, "Adds `user_detail`, `post_detail` or both to each.")
        .query("compat", r#""list""#, "Answers a bare list of rows, which has no `next`.")
        .answer(200, INTERACTIONS, "A page, the newest first; the last one has no `next`.")
        .fails(&[Code::UnknownUser]),
        route(
            "GET",
            "/post/{id}/feed",
            "listInteractionsWithItem",
            Who::Service,
            "Lists interactions with an item, newest first.",
        )
        .pages("integer(1..1000) = 100")
        .query("expand", EXPAND, "Adds `user_detail`, `post_detail` or both to each.")
        .query("compat", r#""list""#, "Answers a bare list of rows, which has no `next`.")
        .answer(200, INTERACTIONS, "A page, the newest first; the last one has no `next`.")
        .fails(&[Code::UnknownItem]),
        route(
            "DELETE",
            "/v1/users/{id}/interactions/{event:.+}",
            "undoInteraction",
            Who::Own,
            "Cancels an interaction, as if the user had never acted.",
        )
        .idempotent()
        .answer(200, "{id: Key, event: Key, seq: integer}", "The undo is durable.")
        .fails(&[Code::UnknownUser, Code::UnknownEvent, Code::Conflict]),
        standing("/v1/users/{id}/hidden", "listHiddenItems", "Lists items that are not shown to the user again."),
        standing("/v1/users/{id}/liked", "listLikedItems", "Lists items that the user likes."),
        route(
            "GET",
            "/v1/users/{id}/similar",
            "listSimilarUsers",
            Who::Service,
            "Lists active users who resemble a user.",
        )
        .query("by", r#""visits" | "topics" | "both" = both"#, "The measure of similarity.")
        .pages("integer(1..100) = 30")
        .answer(200, "SimilarPeopleAnswer", "A page, the best first; the last one has no `next`.")
        .fails(&[Code::UnknownUser]),
        route("POST", "/v1/recommend", "recommendItems", Who::Known, "Ranks items for a user or an unknown session.")
            .more("With `user` it needs a token of that user, or a service token.")
            .body(
                "RecommendInput",
                r#"{"items": ["river-cam"], "limit": 10, "exclude": ["weir-cam"], "filters": {"topic": "rivers"}}"#,
            )
            .optional_body()
            .answer(
                200,
                r#"{user: Key | null, epoch: integer, ranking: "flat" | "topics" | "model" | "tower",
                    model_version?: integer, items: RecommendedItem[]}"#,
                "The best item first.",
            )
            .fails(&[Code::Forbidden, Code::UnknownUser, Code::UnknownItem, Code::UnknownModel]),
        route("GET", "/v1/users/{id}/model", "readUserModel", Who::Own, "Reads the learned state of a user.")
            .answer(200, "UserModel", "Topic weights, experts and the quality of the predictions.")
            .fails(&[Code::UnknownUser]),
        route("PATCH", "/v1/users/{id}/model", "setTopicWeights", Who::Own, "Sets topic weights of a user by hand.")
            .idempotent()
            .body("TopicsInput", r#"{"topics": {"rivers": 0.75}, "id": "ada-21"}"#)
            .answer(200, "UserModel", "The state after the change.")
            .fails(&[Code::UnknownUser, Code::Conflict]),
        route(
            "GET",
            "/v1/users/{id}/topics/history",
            "readTopicHistory",
            Who::Own,
            "Reads topic weights of a user over time, from the user's journal.",
        )
        .query("topic", "Key", "Only this topic.")
        .pages("integer(1..16) = 8")
        .query("from", "TimeInput", "Start of the lines.")
        .query("to", "TimeInput", "End of the lines; now by default, and for all pages that of the first one.")
        .answer(
            200,
            "{user: Key, from: Time | null, to: Time, decay: DecaySettings, \
             topics: {topic: Key, changes: [integer, number][], points: [integer, number][]}[], truncated: boolean, \
             timedecay: WeightCurve[], exampledecay: WeightCurve[], next?: string}",
            "A page, the topics of the highest weights first; the last one has no `next`.",
        )
        .fails(&[Code::UnknownUser]),
        route(
            "GET",
            "/v1/users/{id}/predictions/{item:.+}",
            "predict",
            Who::Own,
            "Predicts whether a user accepts an item.",
        )
        .answer(200, "Prediction", "The probabilities.")
        .fails(&[Code::UnknownUser, Code::UnknownItem]),
        route("POST", "/v1/users/{id}/predictions/{item:.+}", "label", Who::Own, "Learns a user's label of an item.")
            .idempotent()
            .body("LabelInput", LABEL)
            .answer(200, "Prediction", "The probabilities after it.")
            .fails(&[Code::UnknownUser, Code::UnknownItem, Code::Unavailable, Code::Conflict]),
        route(
            "GET",
            "/prediction/{n}",
            "readNumberedPrediction",
            Who::Open,
            "Shows a page to accept or reject a post by number.",
        )
        .more("JSON needs `Accept: application/json` and a token of the user, or a service token.")
        .query("user", "Key", "Key of the user; required for JSON.")
        .answer_of(200, "text/html", "string", "The page, or JSON.")
        .answer(
            200,
            "{number: integer, count: integer, user: Key, item: Item, now: Judgement, previous: integer | null, \
                 next: integer | null}",
            "The page, or JSON.",
        )
        .fails(&[Code::UnknownUser, Code::UnknownItem, Code::Unauthorized, Code::Forbidden, Code::Busy]),
        route("POST", "/prediction/{n}", "labelNumbered", Who::Own, "Learns a user's label of a post by number.")
            .query_must("user", "Key", "Key of the user.", "ada")
            .idempotent()
            .body("LabelInput", LABEL)
            .answer(
                200,
                "{number: integer, user: Key, before: Judgement, after: Judgement, seq: integer}",
                "The figures.",
            )
            .fails(&[Code::UnknownUser, Code::UnknownItem, Code::Unavailable, Code::Conflict]),
        route("GET", "/v1/score", "readScore", Who::Own, "Reads the progressive accuracy of the predictions.")
            .more("Without `user` it needs a service token.")
            .query("user", "Key", "Key of the user; all users by default.")
            .answer(200, "UserScore | ServerScore", "The figures.")
            .fails(&[Code::UnknownUser]),
        route(
            "GET",
            "/score",
            "readScoreWithCurves",
            Who::Open,
            "Shows a page with the ROC curves of the predictions.",
        )
        .more("JSON needs `Accept: application/json` and a token, as `GET /v1/score` does.")
        .query("user", "Key", "Key of the user; all users by default.")
        .answer_of(200, "text/html", "string", "The page, or JSON.")
        .answer(200, "ScoreWithCurves", "The page, or JSON.")
        .fails(&[Code::UnknownUser, Code::Unauthorized, Code::Forbidden, Code::Busy]),
    ]
}

/// A list of items by what a user did with them.
fn standing(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    route("GET", path, id, Who::Own, summary)
        .limit("integer(1..1000) = 100")
        .query("after", "integer(0..4294967295)", "`next` of the page before.")
        .answer(
            200,
            "{items: StandingView[], next?: integer}",
            "A page, the last one first; the last page has no `next`.",
        )
        .fails(&[Code::UnknownUser])
}

const EXPAND: &str = r#""user" | "post" | "user,post" | "post,user""#;
