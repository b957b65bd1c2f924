//! Error codes of the protocol, for programs.
//!
//! Invariant: a code never changes its meaning. Later versions may add codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Machine-readable kind of an error, on the socket and (as the end of `type`) in problem bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not JSON, not UTF-8, or nested too deeply.
    BadJson,
    /// A binary frame, or another form the server does not read.
    BadFrame,
    /// The `type` is not in the protocol.
    UnknownType,
    /// A field is missing, unknown, duplicate, or of the wrong type or form.
    BadField,
    /// A value is well formed but outside of its range.
    OutOfRange,
    /// No user has this key.
    UnknownUser,
    /// No item has this key.
    UnknownItem,
    /// No event of the user has this id.
    UnknownEvent,
    /// No route has this path.
    UnknownRoute,
    /// No token or signing key has this id.
    UnknownToken,
    /// No two-tower model has this version.
    UnknownModel,
    /// No clustering has this name, or it has no cluster of this number.
    UnknownClustering,
    /// No metric of this name is declared.
    UnknownMetric,
    /// The route does not take this method.
    MethodNotAllowed,
    /// The item exists but is not available now.
    Unavailable,
    /// The first message of a session must be `hello`, and no other.
    HelloFirst,
    /// The request conflicts with stored data.
    Conflict,
    /// The file is no checkpoint, or does not fit this server.
    UnfitModel,
    /// The body or frame has too many bytes.
    TooLarge,
    /// The route does not read this content type.
    UnsupportedMedia,
    /// The request has no valid token.
    Unauthorized,
    /// The token does not permit this request.
    Forbidden,
    /// The client exceeds its rate limit. Nothing was learned.
    RateLimited,
    /// Backpressure: queues are full, or the store is unavailable. Nothing was learned; the client retries later.
    Busy,
    /// The server has failed.
    Internal,
}

impl Code {
    /// All codes, in the order of their declaration.
    pub const ALL: [Code; 25] = [
        Code::BadJson,
        Code::BadFrame,
        Code::UnknownType,
        Code::BadField,
        Code::OutOfRange,
        Code::UnknownUser,
        Code::UnknownItem,
        Code::UnknownEvent,
        Code::UnknownRoute,
        Code::UnknownToken,
        Code::UnknownModel,
        Code::UnknownClustering,
        Code::UnknownMetric,
        Code::MethodNotAllowed,
        Code::Unavailable,
        Code::HelloFirst,
        Code::Conflict,
        Code::UnfitModel,
        Code::TooLarge,
        Code::UnsupportedMedia,
        Code::Unauthorized,
        Code::Forbidden,
        Code::RateLimited,
        Code::Busy,
        Code::Internal,
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Code::BadJson => "bad_json",
            Code::BadFrame => "bad_frame",
            Code::UnknownType => "unknown_type",
            Code::BadField => "bad_field",
            Code::OutOfRange => "out_of_range",
            Code::UnknownUser => "unknown_user",
            Code::UnknownItem => "unknown_item",
            Code::UnknownEvent => "unknown_event",
            Code::UnknownRoute => "unknown_route",
            Code::UnknownToken => "unknown_token",
            Code::UnknownModel => "unknown_model",
            Code::UnknownClustering => "unknown_clustering",
            Code::UnknownMetric => "unknown_metric",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::Unavailable => "unavailable",
            Code::HelloFirst => "hello_first",
            Code::Conflict => "conflict",
            Code::UnfitModel => "unfit_model",
            Code::TooLarge => "too_large",
            Code::UnsupportedMedia => "unsupported_media",
            Code::Unauthorized => "unauthorized",
            Code::Forbidden => "forbidden",
            Code::RateLimited => "rate_limited",
            Code::Busy => "busy",
            Code::Internal => "internal",
        }
    }
}
