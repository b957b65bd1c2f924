//! Checks of values against JSON Schemas of the documents.
//!
//! Invariant: an object may have only the fields that its schema names, so that a field without a description is found.
//! Deliberately absent: patterns and formats.

use serde_json::Value;

/// The faults of a value, each with its place.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "", &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        match document.pointer(target.trim_start_matches('#')) {
            Some(target) => check(document, target, value, at, found),
            None => found.push(format!("{at}: {target} does not exist")),
        }
    }
    for name in ["anyOf", "oneOf"] {
        let Some(all) = schema[name].as_array() else { continue };
        let tried: Vec<Vec<String>> = all
            .iter()
            .map(|one| {
                let mut faults = Vec::new();
                check(document, one, value, at, &mut faults);
                faults
            })
            .collect();
        let fits = tried.iter().filter(|faults| faults.is_empty()).count();
        if fits == 0 {
            found.push(format!(
                "{at}: fits none of {} schemas; the nearest: {:?}",
                all.len(),
                tried.iter().min_by_key(|f| f.len())
            ));
        } else if name == "oneOf" && fits > 1 {
            found.push(format!("{at}: fits {fits} schemas instead of one"));
        }
    }
    for one in schema["allOf"].as_array().into_iter().flatten() {
        check(document, one, value, at, found);
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        found.push(format!("{at}: is {value}, must be {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        found.push(format!("{at}: is {value}, must be one of {}", schema["enum"]));
    }
    let is_of = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of(name)) {
        found.push(format!("{at}: is {value}, must be {types:?}"));
        return;
    }
    if let Some(number) = value.as_f64()
        && (schema["minimum"].as_f64().is_some_and(|least| number < least)
            || schema["maximum"].as_f64().is_some_and(|most| number > most))
    {
        found.push(format!("{at}: {number} is out of range"));
    }
    if let Some(list) = value.as_array() {
        let length = list.len() as u64;
        if schema["minItems"].as_u64().is_some_and(|least| length < least)
            || schema["maxItems"].as_u64().is_some_and(|most| length > most)
        {
            found.push(format!("{at}: has {length} elements"));
        }
        for (index, inner) in list.iter().enumerate() {
            let of = schema["prefixItems"].get(index).or_else(|| schema.get("items"));
            if let Some(of) = of.filter(|of| of.is_object()) {
                check(document, of, inner, &format!("{at}/{index}"), found);
            }
        }
    }
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        if let (Some(fields), Some(of)) =
            (value.as_object(), schema.get("additionalProperties").filter(|of| of.is_object()))
        {
            for (name, inner) in fields {
                check(document, of, inner, &format!("{at}/{name}"), found);
            }
        }
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, inner) in fields {
        match (known.get(name), schema.get("additionalProperties").filter(|of| of.is_object())) {
            (Some(of), _) | (None, Some(of)) => check(document, of, inner, &format!("{at}/{name}"), found),
            (None, None) => found.push(format!("{at}: {name} is not described")),
        }
    }
}
