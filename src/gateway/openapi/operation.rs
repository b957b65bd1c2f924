//! The description of one route, and its form in OpenAPI 3.1.
//!
//! Invariant: errors that follow from the form of a route are added here: those of a body, a token, a key in the path. A
//! description names only its own. Deliberately absent: descriptions of single routes.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::protocol::problem::Code;

use super::super::errors;
use super::notation;

/// Callers whom a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Any caller, without a token.
    Open,
    /// Any valid token.
    Known,
    /// A token of the user concerned, or a service token.
    Own,
    /// Only service tokens.
    Service,
}

impl Who {
    fn sentence(self) -> &'static str {
        match self {
            Who::Open => "Needs no token.",
            Who::Known => "Needs any valid token.",
            Who::Own => "Needs a token of the user concerned, or a service token.",
            Who::Service => "Needs a service token.",
        }
    }
}

/// A parameter of the query or a header.
struct Param {
    name: &'static str,
    place: &'static str,
    schema: &'static str,
    about: &'static str,
    required: bool,
    example: Option<Value>,
}

struct Answer {
    status: u16,
    media: &'static str,
    schema: &'static str,
    about: &'static str,
}

/// A content type of the body, with its schema and an example.
struct Content {
    media: &'static str,
    schema: &'static str,
    example: &'static str,
}

/// The description of one route with one method.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    who: Who,
    summary: &'static str,
    more: &'static str,
    params: Vec<Param>,
    body: Vec<Content>,
    body_is_required: bool,
    answers: Vec<Answer>,
    codes: Vec<Code>,
    path_examples: Vec<(&'static str, Value)>,
}

/// Answers of a real server by operation and status; `tests/server/examples.rs` records them, and compares them with those of
/// the present program.
static RECORDED: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());

pub(super) const JSON: &str = "application/json";

/// Begins the description of a route: its method and path as in the table of routes, a unique name for generated clients,
/// its callers and a sentence.
pub(super) fn route(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    who: Who,
    summary: &'static str,
) -> Operation {
    Operation {
        method,
        path,
        id,
        who,
        summary,
        more: "",
        params: Vec::new(),
        body: Vec::new(),
        body_is_required: true,
        answers: Vec::new(),
        codes: Vec::new(),
        path_examples: Vec::new(),
    }
}

impl Operation {
    /// Sentences behind the summary, which tell what the schemas do not.
    pub(super) fn more(mut self, text: &'static str) -> Self {
        self.more = text;
        self
    }

    fn param(mut self, place: &'static str, name: &'static str, schema: &'static str, about: &'static str) -> Self {
        self.params.push(Param { name, place, schema, about, required: false, example: None });
        self
    }

    /// An optional parameter of the query. `schema` may end in ` = DEFAULT`.
    pub(super) fn query(self, name: &'static str, schema: &'static str, about: &'static str) -> Self {
        self.param("query", name, schema, about)
    }

    /// A required parameter of the query, with an example.
    pub(super) fn query_must(
        self,
        name: &'static str,
        schema: &'static str,
        about: &'static str,
        example: &'static str,
    ) -> Self {
        let mut this = self.query(name, schema, about);
        if let Some(param) = this.params.last_mut() {
            (param.required, param.example) = (true, Some(example.into()));
        }
        this
    }

    /// `limit` of a list.
    pub(super) fn limit(self, schema: &'static str) -> Self {
        self.query("limit", schema, "Most entries of the answer.")
    }

    /// `limit` of a list, and `after`, the cursor of a page.
    pub(super) fn pages(self, limit: &'static str) -> Self {
        self.limit(limit).query("after", "string(..64)", "`next` of the page before, with its other parameters.")
    }

    /// An example of a parameter of the path, where the general one does not fit.
    pub(super) fn path_example(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.path_examples.push((name, value.into()));
        self
    }

    /// Takes the header `Idempotency-Key` where the body has no `id`.
    pub(super) fn idempotent(self) -> Self {
        let about = "Id of the event, where the body has none. A resend with the id of an earlier event is harmless.";
        self.param("header", "Idempotency-Key", "EventId", about)
    }

    /// The answer has an `ETag`.
    pub(super) fn tagged(self) -> Self {
        let about = "The `ETag` of an earlier answer, for which an unchanged one is 304 without a body.";
        self.param("header", "If-None-Match", "string", about).answer(304, "", "Unchanged since the given `ETag`.")
    }

    /// A JSON body with an example.
    pub(super) fn body(self, schema: &'static str, example: &'static str) -> Self {
        self.body_of(JSON, schema, example)
    }

    /// A body of another content type.
    pub(super) fn body_of(mut self, media: &'static str, schema: &'static str, example: &'static str) -> Self {
        self.body.push(Content { media, schema, example });
        self
    }

    /// The body may be absent.
    pub(super) fn optional_body(mut self) -> Self {
        self.body_is_required = false;
        self
    }

    /// An answer in JSON; an empty schema is an answer without a body.
    pub(super) fn answer(self, status: u16, schema: &'static str, about: &'static str) -> Self {
        self.answer_of(status, JSON, schema, about)
    }

    /// An answer of another content type.
    pub(super) fn answer_of(
        mut self,
        status: u16,
        media: &'static str,
        schema: &'static str,
        about: &'static str,
    ) -> Self {
        self.answers.push(Answer { status, media, schema, about });
        self
    }

    /// Errors beside those that follow from the form of the route.
    pub(super) fn fails(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// The path as OpenAPI writes it: without the patterns of its parameters.
    pub(super) fn open_path(&self) -> String {
        let mut parts = self.path.split('{');
        let mut path = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            path.push_str(&format!("{{{}}}{rest}", name.split(':').next().unwrap_or_default()));
        }
        path
    }

    fn path_params(&self) -> Vec<&'static str> {
        let parts = self.path.split('{').skip(1);
        parts.filter_map(|part| part.split([':', '}']).next()).collect()
    }

    /// The operation in OpenAPI, under this tag. Faults of the description go to `faults`.
    pub(super) fn to_json(&self, tag: &str, faults: &mut Vec<String>) -> Value {
        let mut found = Vec::new();
        let operation = self.written(tag, &mut found);
        faults.extend(found.into_iter().map(|fault| format!("{} {}: {fault}", self.method, self.path)));
        operation
    }

    fn written(&self, tag: &str, faults: &mut Vec<String>) -> Value {
        let mut read = |text: &str| {
            notation::schema(text).unwrap_or_else(|error| {
                faults.push(format!("{text:?}: {error}"));
                json!({})
            })
        };
        let mut params: Vec<Value> = Vec::new();
        for name in self.path_params() {
            let (schema, about, example) = path_param(self.path, name);
            let example =
                self.path_examples.iter().find(|(named, _)| *named == name).map_or(example, |(_, e)| e.clone());
            params.push(json!({
                "name": name, "in": "path", "required": true, "description": about, "schema": read(schema),
                "example": example,
            }));
        }
        for Param { name, place, schema, about, required, example } in &self.params {
            let (schema, default) = schema.split_once(" = ").unwrap_or((schema, ""));
            let mut schema = read(schema);
            if !default.is_empty() {
                schema["default"] = serde_json::from_str(default).unwrap_or_else(|_| json!(default));
            }
            let mut param =
                json!({"name": name, "in": place, "required": required, "description": about, "schema": schema});
            if let Some(example) = example {
                param["example"] = example.clone();
            }
            params.push(param);
        }
        let mut answers = Map::new();
        for Answer { status, media, schema, about } in &self.answers {
            let answer = answers.entry(status.to_string()).or_insert_with(|| json!({"description": about}));
            if !schema.is_empty() {
                let mut content = json!({"schema": read(schema)});
                if let Some(example) = self.example_of(*status, schema).filter(|_| *media == JSON) {
                    content["example"] = example.clone();
                }
                answer["content"][*media] = content;
            }
        }
        self.add_errors(&mut answers);
        let about = [self.who.sentence(), self.more].join(" ");
        let mut operation = json!({
            "operationId": self.id,
            "tags": [tag],
            "summary": self.summary,
            "description": about.trim_end(),
            "security": if self.who == Who::Open { json!([]) } else { json!([{"token": []}]) },
            "responses": answers,
        });
        if !params.is_empty() {
            operation["parameters"] = params.into();
        }
        if !self.body.is_empty() {
            let mut content = Map::new();
            for Content { media, schema, example } in &self.body {
                let mut of_media = json!({"schema": read(schema)});
                if *media == JSON {
                    // A test reads every example.
                    of_media["example"] = serde_json::from_str(example).unwrap_or_default();
                } else if !example.is_empty() {
                    of_media["example"] = (*example).into();
                }
                content.insert((*media).to_owned(), of_media);
            }
            operation["requestBody"] = json!({"required": self.body_is_required, "content": content});
        }
        operation
    }

    /// A recorded answer of this status, of another one with this schema, or of another operation for results of a list.
    fn example_of(&self, status: u16, schema: &str) -> Option<&'static Value> {
        let recorded = RECORDED.get(self.id)?;
        let alike = self.answers.iter().filter(|answer| answer.media == JSON && answer.schema == schema);
        let others = alike.map(|answer| answer.status);
        let own = std::iter::once(status).chain(others).find_map(|status| recorded.get(status.to_string()));
        own.or_else(|| RECORDED.get("putUsers").filter(|_| schema == "Results")?.get("200"))
    }

    /// All errors of the route, in the order of the protocol.
    pub(super) fn errors(&self) -> Vec<Code> {
        let is_page = self.answers.iter().all(|answer| answer.media == "text/html");
        let mut found = self.codes.clone();
        if self.who != Who::Open {
            found.extend([Code::Unauthorized, Code::BadField, Code::Busy]);
        }
        if matches!(self.who, Who::Own | Who::Service) {
            found.push(Code::Forbidden);
        }
        if self.method != "GET" {
            found.push(Code::Forbidden);
        }
        if !is_page && self.params.iter().any(|param| param.place == "query") {
            found.extend([Code::BadField, Code::OutOfRange]);
        }
        if !self.body.is_empty() {
            found.extend([Code::BadJson, Code::BadField, Code::OutOfRange, Code::TooLarge, Code::UnsupportedMedia]);
        }
        if !["/health", "/ready"].contains(&self.path) {
            found.push(Code::RateLimited);
        }
        Code::ALL.into_iter().filter(|code| found.contains(code)).collect()
    }

    fn add_errors(&self, answers: &mut Map<String, Value>) {
        for code in self.errors() {
            let status = errors::status(code).as_u16().to_string();
            let answer = answers.entry(status).or_insert_with(|| {
                json!({"description": "", "content": {"application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"}, "examples": {},
                }}})
            });
            let named = format!("`{}`: {}.", code.name(), errors::title(code));
            let before = answer["description"].as_str().unwrap_or_default();
            answer["description"] = [before, &named].join(" ").trim_start().into();
            answer["content"]["application/problem+json"]["examples"][code.name()] =
                json!({"$ref": format!("#/components/examples/{}", code.name())});
        }
    }
}

/// Schema, sentence and example of a parameter of the path.
fn path_param(path: &str, name: &str) -> (&'static str, &'static str, Value) {
    match name {
        "id" if path.contains("items") || path.contains("post") => ("Key", "Key of the item.", json!("river-cam")),
        "item" => ("Key", "Key of the item.", json!("river-cam")),
        "event" => ("Key", "Id of the event.", json!("ada-17")),
        "whom" => ("Key", "Key of the followed user.", json!("grace")),
        "version" => ("integer(0..9223372036854775807)", "Number of the model.", json!(1)),
        "cluster" => ("integer(0..4294967295)", "Number of the cluster.", json!(0)),
        "n" => ("integer(1..4294967295)", "Number of the post, from 1 in order of creation.", json!(1)),
        "path" => ("string", "Path of the file.", json!("icon.svg")),
        "name" if path.contains("metrics") => ("Key", "Name of the metric.", json!("time_spent")),
        "name" => ("Key", "Name of the clustering.", json!("default")),
        "jti" => ("Key", "Id of the token.", json!("4b0f7a52")),
        "kid" => ("Key", "Id of the key.", json!("k2")),
        _ => ("Key", "Key of the user.", json!("ada")),
    }
}
