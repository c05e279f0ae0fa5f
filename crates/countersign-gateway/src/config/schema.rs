//! The JSON Schema of the configuration, for editors and for checks without the gateway.

use serde_json::{Map, Value, json};

use super::TABLES;
use super::keys::{Key, Keys, Kind, NAME};

/// The JSON Schema (2020-12) of the configuration, made of what its parser knows.
///
/// It describes every key with its type, default and what it is. What it accepts may still be
/// refused by [`Config::load`](crate::Config::load): whether names fit together and what is in files
/// is beyond a schema. It refuses nothing that is right.
pub fn schema() -> Value {
    let mut schema = table(TABLES);
    schema.extend([
        ("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema")),
        ("title".to_owned(), json!("Configuration of countersign gateway")),
    ]);
    Value::Object(schema)
}

fn table(keys: Keys) -> Map<String, Value> {
    let known = || keys.iter().filter(|key| !matches!(key.kind, Kind::Reserved(_)));
    let properties: Map<_, _> = known().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = known().filter(|key| key.needed).map(|key| key.name).collect();
    let mut table = object(json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    }));
    if !required.is_empty() {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

fn property(key: &Key) -> Value {
    let mut property = kind(&key.kind);
    property.insert("description".to_owned(), json!(key.about));
    if let Some(default) = key.default.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        property.insert("default".to_owned(), default);
    }
    Value::Object(property)
}

fn kind(kind: &Kind) -> Map<String, Value> {
    object(match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Numbers(numbers) => json!({ "type": "integer", "enum": numbers }),
        Kind::Duration => json!({
            "type": "string",
            "pattern": "^0*[1-9][0-9]*(ms|s|m)$",
            "examples": ["500ms", "10s", "2m"],
        }),
        Kind::Size(least, most) => json!({
            "type": "string",
            "pattern": "^[0-9]+(B|KiB|MiB|GiB)$",
            "examples": [format!("{least}B"), format!("{most}B")],
        }),
        Kind::Address => json!({
            "type": "string",
            "pattern": r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]{1,5}$",
            "examples": ["127.0.0.1:8443", "[::]:443"],
        }),
        Kind::File => json!({ "type": "string", "minLength": 1 }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
        Kind::List(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::NonEmpty(item) => {
            json!({ "type": "array", "items": self::kind(item), "minItems": 1 })
        }
        Kind::OneOrMore(item) => {
            json!({ "anyOf": [self::kind(item), self::kind(&Kind::NonEmpty(item))] })
        }
        Kind::Table(keys) => return table(keys),
        Kind::Named(keys) => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": table(keys),
        }),
        Kind::Reserved(_) => json!({ "not": {} }),
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests;
