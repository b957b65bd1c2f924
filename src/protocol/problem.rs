//! What can be wrong, as codes that a program can tell apart.
//!
//! Invariant: a code never changes its meaning; new ones may come.

use serde::{Deserialize, Serialize};

/// Machine-readable kind of an error, on the socket and (as the end of `type`) in problem bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not JSON, not UTF-8, or nested too deeply.
    BadJson,
    /// A binary frame, or another form the server does not read.
    BadFrame,
    /// The `type` is not one of the protocol's.
    UnknownType,
    /// A field is missing, unknown, twice there, or of the wrong type or form.
    BadField,
    /// A value is well formed and outside of what is allowed.
    OutOfRange,
    /// No such person.
    UnknownUser,
    /// No such item.
    UnknownItem,
    /// No such route.
    UnknownRoute,
    /// No such token, or key.
    UnknownToken,
    /// No such two-tower model.
    UnknownModel,
    /// The route exists, not for this method.
    MethodNotAllowed,
    /// The item is there and cannot be acted on now.
    Unavailable,
    /// `hello` must come first, and once.
    HelloFirst,
    /// Clashes with what is already there.
    Conflict,
    /// A checkpoint that is none, or does not fit this server.
    UnfitModel,
    /// Too many bytes.
    TooLarge,
    /// The content type is not one the route reads.
    UnsupportedMedia,
    /// No valid token.
    Unauthorized,
    /// The token may not do this.
    Forbidden,
    /// Too many requests or messages: slow down. Nothing was learned.
    RateLimited,
    /// The server has too much to do, or cannot store now: try again later. Nothing was learned.
    Busy,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// All codes.
    pub const ALL: [Code; 22] = [
        Code::BadJson,
        Code::BadFrame,
        Code::UnknownType,
        Code::BadField,
        Code::OutOfRange,
        Code::UnknownUser,
        Code::UnknownItem,
        Code::UnknownRoute,
        Code::UnknownToken,
        Code::UnknownModel,
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

    /// The name on the wire.
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
            Code::UnknownRoute => "unknown_route",
            Code::UnknownToken => "unknown_token",
            Code::UnknownModel => "unknown_model",
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
