//! Users and entries of collections as clients see them.
//!
//! Invariant: an object has one form wherever it is shown; a reference to nothing becomes an object that says so.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::store::activities::ObjectRow;

use super::super::apps::StreamApp;
use super::common::zoned;
use super::reply::StreamError;

/// A user as clients see it.
pub(crate) fn user_view(row: &ObjectRow) -> Value {
    json!({ "id": row.id, "data": data_of(row), "created_at": zoned(row.created), "updated_at": zoned(row.updated) })
}

/// An entry of a collection as clients see it.
pub(crate) fn entry_view(row: &ObjectRow) -> Value {
    json!({
        "id": row.id,
        "collection": row.collection,
        "foreign_id": format!("{}:{}", row.collection, row.id),
        "data": data_of(row),
        "created_at": zoned(row.created),
        "updated_at": zoned(row.updated),
    })
}

fn data_of(row: &ObjectRow) -> Value {
    serde_json::from_str(&row.doc).unwrap_or_default()
}

/// The object for a reference to nothing.
pub(crate) fn missing(reference: &str) -> Value {
    let (kind, rest) = reference.split_once(':').unwrap_or_default();
    let mut object = json!({ "id": rest, "error": "ReferenceNotFound", "reference": reference });
    object["reference_type"] = match kind {
        "SU" => "user",
        "SO" => "object",
        "SA" => "activity",
        _ => "reaction",
    }
    .into();
    if kind == "SO" {
        let (collection, id) = rest.split_once(':').unwrap_or_default();
        object["collection"] = collection.into();
        object["id"] = id.into();
    }
    object
}

/// Users by id, as clients see them; a missing one as [`missing`].
pub(crate) async fn users(app: &StreamApp, ids: BTreeSet<String>) -> Result<HashMap<String, Value>, StreamError> {
    let keys: Vec<(String, String)> = ids.into_iter().map(|id| (String::new(), id)).collect();
    let rows = app.reads().objects(&keys).await?;
    let view = |((_, id), row): ((String, String), Option<ObjectRow>)| {
        let view = row.map_or_else(|| missing(&format!("SU:{id}")), |row| user_view(&row));
        (id, view)
    };
    Ok(keys.into_iter().zip(rows).map(view).collect())
}
