//! Routes for operators: metrics, clusterings, models, tokens, keys and figures.

use crate::protocol::problem::Code;

use super::operation::{Operation, Who, route};

const SETTINGS: &str = r#"{"columns": ["time_spent"], "threshold": 50}"#;

pub(super) fn metrics() -> Vec<Operation> {
    vec![
        route("POST", "/v1/metrics", "measure", Who::Own, "Learns a measurement of a user, or up to 100.")
            .more("A value may also stand under the metric's own name, and the type as `page_type`.")
            .query("user", "Key", "The measured user, where a measurement names none.")
            .query("unknown", r#""refuse" | "ignore" = refuse"#, "Whether undeclared metrics and types are refused.")
            .idempotent()
            .body(
                "Measurement | Measurement[](..100)",
                r#"{"user": "ada", "metric": "time_spent", "value": 12.5, "type": "post"}"#,
            )
            .answer(200, "{accepted: integer, ignored: integer, warnings?: string[]}", "The measurements are durable.")
            .fails(&[Code::UnknownUser, Code::Conflict]),
        route("GET", "/v1/metrics", "listMetrics", Who::Service, "Lists metrics and their posteriors over all users.")
            .answer(
                200,
                "{metrics: MetricFigures[], declarations: MetricDeclaration[], ignored: integer}",
                "All metrics, and each type.",
            ),
        route("GET", "/v1/metrics/{name}", "readMetric", Who::Service, "Reads the declaration of a metric.")
            .answer(200, "DeclaredMetric", "The declaration in force.")
            .fails(&[Code::UnknownMetric]),
        route(
            "PUT",
            "/v1/metrics/{name}",
            "declareMetric",
            Who::Service,
            "Declares a metric, or replaces its declaration.",
        )
        .body("MetricDeclarationInput", r#"{"kind": "duration", "unit": "s", "types": ["post", "feed"]}"#)
        .optional_body()
        .answer(201, "MetricDeclaration", "The metric is new.")
        .answer(200, "MetricDeclaration", "The declaration was replaced.")
        .fails(&[Code::OutOfRange]),
        route(
            "DELETE",
            "/v1/metrics/{name}",
            "removeMetric",
            Who::Service,
            "Removes the stored declaration of a metric.",
        )
        .answer(200, "DeclaredMetric", "The configuration declares the metric again.")
        .answer(204, "", "The metric is no longer declared.")
        .fails(&[Code::UnknownMetric, Code::Conflict]),
        route(
            "GET",
            "/v1/metrics/{name}/atypical",
            "listAtypicalUsers",
            Who::Service,
            "Lists users far from a metric's mean.",
        )
        .query("sigmas", "number(..1000) = 2", "Least distance in deviations, above 0.")
        .query("type", "string", "The type of the metric.")
        .pages("integer(1..1000) = 100")
        .answer(
            200,
            "{metric: Key, type: string | null, mean: number | null, deviation: number | null, sigmas: number, \
                 people: {user: Key, value: number, sigmas: number}[], next?: string}",
            "A page, the farthest first; the last one has no `next`.",
        )
        .fails(&[Code::UnknownMetric]),
        route(
            "GET",
            "/v1/users/{id}/metrics",
            "readUserMetrics",
            Who::Own,
            "Reads a user's values beside the population's.",
        )
        .query("sigmas", "number(..1000) = 2", "Distance in deviations from which a value is atypical.")
        .answer(200, "{user: Key, sigmas: number, atypical: boolean, metrics: UserMetric[]}", "One entry per value.")
        .fails(&[Code::UnknownUser]),
    ]
}

pub(super) fn clusterings() -> Vec<Operation> {
    vec![
        route("GET", "/v1/clusterings", "listClusterings", Who::Service, "Lists all clusterings of users.").answer(
            200,
            "{clusterings: Clustering[]}",
            "`default` first, then by name.",
        ),
        route("GET", "/v1/clusterings/{name}", "readClustering", Who::Service, "Reads a clustering and its last fit.")
            .answer(200, "Clustering", "The clustering; `fit` is null before the first fit.")
            .fails(&[Code::UnknownClustering]),
        route(
            "PUT",
            "/v1/clusterings/{name}",
            "putClustering",
            Who::Service,
            "Creates a clustering, or replaces its settings.",
        )
        .body("ClusterSettings", SETTINGS)
        .optional_body()
        .path_example("name", "readers")
        .answer(201, "Clustering", "The clustering is new.")
        .answer(200, "Clustering", "The settings were replaced.")
        .fails(&[Code::OutOfRange]),
        route(
            "DELETE",
            "/v1/clusterings/{name}",
            "deleteClustering",
            Who::Service,
            "Deletes a clustering with its fits.",
        )
        .answer(200, "Clustering", "The settings of the configuration hold again.")
        .answer(204, "", "The clustering is deleted.")
        .fails(&[Code::UnknownClustering]),
        route(
            "POST",
            "/v1/clusterings/{name}/refit",
            "refitClustering",
            Who::Service,
            "Asks for a refit of a clustering.",
        )
        .answer(202, r#"{status: "accepted"}"#, "The refit starts as soon as possible.")
        .fails(&[Code::UnknownClustering]),
        route(
            "GET",
            "/v1/clusterings/{name}/history",
            "listFits",
            Who::Service,
            "Lists the last fits and settings of a clustering.",
        )
        .pages("integer(1..100) = 20")
        .answer(
            200,
            "{fits: FitReport[], revisions: {revision: integer, changed_at: Time, settings: object}[], next?: string}",
            "A page of both, the newest first; the last one has no `next`.",
        )
        .fails(&[Code::UnknownClustering]),
        route(
            "PUT",
            "/v1/clusterings/{name}/names/{cluster}",
            "nameCluster",
            Who::Service,
            "Names a cluster of the last fit.",
        )
        .body("NameInput", r#"{"name": "night readers"}"#)
        .answer(200, "{cluster: integer, name: string}", "The cluster has this name.")
        .fails(&[Code::UnknownClustering]),
        route(
            "DELETE",
            "/v1/clusterings/{name}/names/{cluster}",
            "removeClusterName",
            Who::Service,
            "Removes the name of a cluster.",
        )
        .answer(204, "", "The cluster has no name.")
        .fails(&[Code::UnknownClustering]),
        route(
            "GET",
            "/v1/users/{id}/clusters",
            "listClustersOfUser",
            Who::Service,
            "Lists a user's cluster in each clustering.",
        )
        .answer(200, "{clusters: UserCluster[]}", "`default` first.")
        .fails(&[Code::UnknownUser]),
        route("GET", "/v1/clusters", "readClusters", Who::Service, "Reads the last fit of the clustering `default`.")
            .answer(200, "Fit", "The fit; before the first one `epoch` is null."),
        route("POST", "/v1/clusters/refit", "refit", Who::Service, "Asks for a refit of the clustering `default`.")
            .answer(202, r#"{status: "accepted"}"#, "The refit starts as soon as possible."),
        route(
            "GET",
            "/v1/clusters/history",
            "listFitsOfDefault",
            Who::Service,
            "Lists the last fits of the clustering `default`.",
        )
        .pages("integer(1..100) = 20")
        .answer(
            200,
            "{fits: FitReport[], next?: string}",
            "A page, the newest first; the last one has no `next`.",
        ),
    ]
}

pub(super) fn models() -> Vec<Operation> {
    vec![
        route("GET", "/v1/models", "listModels", Who::Service, "Lists the stored two-tower models.")
            .pages("integer(1..1000) = 100")
            .answer(
                200,
                "{models: TowerModel[], next?: string}",
                "A page, the newest first; the last one has no `next`.",
            ),
        route("POST", "/v1/models", "uploadModel", Who::Service, "Stores a checkpoint of a two-tower model.")
            .query("publish", "boolean = false", "Publishes the model before the answer.")
            .body_of("application/octet-stream", "string", "")
            .answer(201, "{version: integer}", "The model is stored.")
            .fails(&[Code::UnfitModel]),
        route("GET", "/v1/models/{version}", "readModel", Who::Service, "Reads one stored model.")
            .answer(200, "TowerModel", "The model.")
            .fails(&[Code::UnknownModel]),
        route(
            "GET",
            "/v1/models/{version}/download",
            "downloadModel",
            Who::Service,
            "Reads the checkpoint of a stored model.",
        )
        .tagged()
        .answer_of(200, "application/octet-stream", "string", "The checkpoint as it was uploaded.")
        .fails(&[Code::UnknownModel]),
        route(
            "GET",
            "/v1/models/{version}/embeddings",
            "exportEmbeddings",
            Who::Service,
            "Reads vectors of the served model.",
        )
        .more("The `Link` header has the next page.")
        .query_must("of", r#""items" | "users""#, "Whose vectors.", "items")
        .query("format", r#""csv" | "ndjson" = csv"#, "The form of the answer.")
        .limit("integer(1..10000) = 1000")
        .query("after", "integer(0..4294967295)", "The `after` of the page before's `Link`.")
        .answer_of(200, "text/csv; charset=utf-8", "string", "Vectors in order of creation.")
        .answer_of(200, "application/x-ndjson", "string", "Vectors in order of creation.")
        .fails(&[Code::UnknownModel, Code::Conflict]),
        route("POST", "/v1/models/{version}/publish", "publishModel", Who::Service, "Publishes a stored model.")
            .answer(200, "{version: integer, incomplete_items?: IncompleteItems}", "The model serves.")
            .fails(&[Code::UnknownModel, Code::UnfitModel]),
        route(
            "POST",
            "/v1/models/rollback",
            "rollBack",
            Who::Service,
            "Serves the previous model, or a given one, again.",
        )
        .query("version", "integer(0..9223372036854775807)", "The model; the previous one by default.")
        .answer(200, "{version: integer}", "The model serves.")
        .fails(&[Code::UnknownModel, Code::Conflict, Code::UnfitModel]),
    ]
}

pub(super) fn access() -> Vec<Operation> {
    vec![
        route(
            "GET",
            "/v1/tokens",
            "listTokens",
            Who::Service,
            "Lists tokens that have not expired, without the tokens themselves.",
        )
        .limit("integer(1..1000) = 100")
        .query("after", "string", "`next` of the page before.")
        .answer(200, "{tokens: Token[], next?: Key}", "A page; the last one has no `next`."),
        route("POST", "/v1/tokens", "createToken", Who::Service, "Creates a token for a user or a service.")
            .body("TokenInput", r#"{"user": "ada", "days": 7}"#)
            .answer(201, "Token", "The token, which is shown only this once.")
            .fails(&[Code::Conflict]),
        route("DELETE", "/v1/tokens/{jti}", "revokeToken", Who::Service, "Revokes a token.")
            .query("expires", "TimeInput", "How long to remember a token that was made elsewhere.")
            .answer(200, "{jti: Key, revoked: Time}", "The server refuses the token.")
            .fails(&[Code::UnknownToken]),
        route("GET", "/v1/keys", "listKeys", Who::Service, "Lists signing keys without their secrets.").answer(
            200,
            "{keys: SigningKey[]}",
            "All keys.",
        ),
        route("POST", "/v1/keys", "createKey", Who::Service, "Creates a signing key; all others stay valid.")
            .answer(201, "SigningKey", "The key.")
            .fails(&[Code::Conflict]),
        route("DELETE", "/v1/keys/{kid}", "retireKey", Who::Service, "Takes a signing key out of use.")
            .answer(200, "{kid: Key, retired: Time}", "The server refuses its tokens.")
            .fails(&[Code::UnknownToken, Code::Conflict]),
    ]
}

pub(super) fn server() -> Vec<Operation> {
    vec![
        route("GET", "/health", "readHealth", Who::Open, "Tells whether the process is alive.").answer(
            200,
            r#"{status: "ok"}"#,
            "It is.",
        ),
        route("GET", "/ready", "readReadiness", Who::Open, "Tells whether the server takes requests.")
            .answer(200, r#"{status: "ready"}"#, "It does.")
            .fails(&[Code::Busy]),
        route(
            "GET",
            "/metrics",
            "readPrometheusMetrics",
            Who::Service,
            "Reads the figures in the Prometheus text format.",
        )
        .answer_of(200, "text/plain; version=0.0.4", "string", "The series."),
        route("GET", "/v1/figures", "readFigures", Who::Service, "Reads the state of the server.").answer(
            200,
            "{at: Time, journal: object, people: {known: integer, active: integer}, sockets: integer, \
             rate_limited: {*: integer}, world: object, clusterings: object[], memory_bytes: integer | null, \
             slates: {logged: integer, dropped: integer}, learned: object | null}",
            "The figures.",
        ),
        route("GET", "/v1/decay", "readDecay", Who::Known, "Reads the decay of topic weights on this server.").answer(
            200,
            r#"{curve: "exact" | "euler", rate: number, horizon_ms: integer, euler_floor: number}"#,
            "The settings.",
        ),
        route("GET", "/v1/graph", "readGraph", Who::Service, "Lays out the graph of follows for drawing.")
            .limit("integer(1..3000) = 1000")
            .answer(
                200,
                "{people: {user: Key, id: Key, name: string | null, x: number, y: number, friends: integer}[], \
                 edges: [integer, integer][], known: integer, edges_left_out: integer}",
                "Users, their places and the pairs that follow each other.",
            ),
        route("GET", "/openapi.json", "readOpenApi", Who::Open, "Reads this document.").answer(
            200,
            "object",
            "OpenAPI 3.1.",
        ),
        route("GET", "/asyncapi.json", "readAsyncApi", Who::Open, "Reads the description of the socket's messages.")
            .answer(200, "object", "AsyncAPI 3.0."),
        route("GET", "/ws", "openSocket", Who::Open, "Opens a WebSocket of the subprotocol `eddyline.v1`.")
            .more("A handshake that needs no token; `hello` does. `/asyncapi.json` describes the messages.")
            .answer(101, "", "The socket is open.")
            .fails(&[Code::BadFrame, Code::BadField, Code::Forbidden, Code::Busy]),
        page("/", "readIndexPage", "Shows the feed page."),
        page("/admin", "readAdminPage", "Shows the page for operators."),
        page("/examples/pages", "readSamplePage", "Shows a sample site that measures its visitor."),
        page("/docs", "readDocsPage", "Shows a page to try out the routes of this document."),
        route(
            "GET",
            "/clients/javascript/src/{path:.*}",
            "readClientFile",
            Who::Open,
            "Reads a file of the JavaScript client.",
        )
        .path_example("path", "index.js")
        .answer_of(200, "*/*", "string", "The file.")
        .answer(304, "", "Unchanged since the given `ETag`.")
        .fails(&[Code::UnknownRoute]),
        route("GET", "/static/{path:.*}", "readFile", Who::Open, "Reads a file of the pages.")
            .answer_of(200, "*/*", "string", "The file.")
            .answer(304, "", "Unchanged since the given `ETag`.")
            .fails(&[Code::UnknownRoute]),
    ]
}

fn page(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    route("GET", path, id, Who::Open, summary).answer_of(200, "text/html", "string", "The page.").answer(
        304,
        "",
        "Unchanged since the given `ETag`.",
    )
}
