//! What holds together the parser, the schema, the reference and all examples there are.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use countersign_testkit::tls::test_pki;
use toml::Value as Toml;

use super::*;
use crate::config::Config;
use crate::config::keys::find;

/// A configuration with every table that there is.
const FULL: &str = r#"
[listen]
address = "127.0.0.1:0"
[limits]
[audit]
file = "-"
[[tls]]
certificate = "server.pem"
key = "server.key"
[credentials.user]
trust = "user-ca.pem"
[pool]
[upstreams.backend]
servers = ["https://127.0.0.1:9000"]
[upstreams.backend.tls]
trust = "server-ca.pem"
[upstreams.backend.health]
path = "/healthz"
[[routes]]
path = "/"
require = ["user"]
allow = [{ credential = "user", subject_alt_names = ["*@example.test"] }]
upstream = "backend"
forward = { client_cert = "user" }
[protocol]
"#;

struct Checker {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Checker {
    fn new() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        // This holds the schema to its metaschema.
        compiler.add_resource("urn:schema", schema()).unwrap();
        let index = compiler.compile("urn:schema", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn check(&self, text: &str) -> Result<(), String> {
        let document: Toml = toml::from_str(text).map_err(|error| error.to_string())?;
        let document = serde_json::to_value(document).unwrap();
        self.schemas.validate(&document, self.index).map_err(|error| format!("{error:#}"))
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in test_pki().files() {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn parse(folder: &Path, text: &str) -> Result<Config, String> {
    Config::parse(text, &folder.join("gateway.toml")).map_err(|error| error.to_string())
}

/// A way into a document: names of tables, of which lists stand for their first, and a key.
type Way = Vec<&'static str>;

/// All keys with the ways to them.
fn all(keys: Keys, way: &[&'static str]) -> Vec<(Way, &'static Key)> {
    let mut found = Vec::new();
    for key in keys.iter().filter(|key| !matches!(key.kind, Kind::Reserved(_))) {
        let way: Way = way.iter().copied().chain([key.name]).collect();
        found.push((way.clone(), key));
        if let Kind::Table(keys) | Kind::NonEmpty(Kind::Table(keys)) = &key.kind {
            found.extend(all(keys, &way));
        } else if let Kind::Named(keys) = &key.kind {
            found.extend(all(keys, &[&way[..], &["NAME"]].concat()));
        }
    }
    found
}

/// `FULL` with one value replaced or added.
fn set(way: &[&str], value: Toml) -> String {
    let mut document: Toml = toml::from_str(FULL).unwrap();
    let (key, tables) = way.split_last().unwrap();
    let mut place = &mut document;
    for name in tables {
        let table = place.as_table_mut().unwrap();
        place = match *name {
            "NAME" => table.iter_mut().next().unwrap().1,
            name => table.get_mut(name).unwrap_or_else(|| panic!("add {name} of {way:?} to FULL")),
        };
        if place.is_array() {
            place = place.get_mut(0).unwrap();
        }
    }
    place.as_table_mut().unwrap().insert((*key).to_owned(), value);
    toml::to_string(&document).unwrap()
}

#[test]
fn every_key_of_the_schema_is_read_by_the_parser() {
    let (folder, checker) = (folder(), Checker::new());
    parse(folder.path(), FULL).unwrap();
    checker.check(FULL).unwrap();
    for (way, key) in all(TABLES, &[]) {
        let takes_strings = matches!(
            key.kind,
            Kind::Duration
                | Kind::Size(..)
                | Kind::Address
                | Kind::File
                | Kind::Word(_)
                | Kind::OneOrMore(_)
                | Kind::Text(_)
        );
        let wrong = if takes_strings { Toml::Integer(1) } else { Toml::String("x".into()) };
        let text = set(&way, wrong);
        let said = parse(folder.path(), &text).unwrap_err();
        assert!(said.contains(&format!("`{}`", key.name)), "{way:?}: {said}");
        assert!(said.contains(" must be "), "{way:?}: {said}");
        assert!(checker.check(&text).is_err(), "{way:?}");
        // Whatever else is written there is unknown.
        let mut unknown = way.clone();
        *unknown.last_mut().unwrap() = "unknown-key";
        let text = set(&unknown, Toml::Integer(1));
        let open = unknown.len() == 2 && ["credentials", "upstreams"].contains(&unknown[0]);
        let said = parse(folder.path(), &text).unwrap_err();
        assert!(open || said.contains("unknown key `unknown-key`"), "{way:?}: {said}");
        assert!(checker.check(&text).is_err(), "{way:?}");
    }
}

/// What is made of everything that has a default.
fn meaning(config: &Config) -> String {
    let credentials = config.credentials.iter();
    let credentials: Vec<_> =
        credentials.map(|one| (one.ask_on_connect, one.accept_handshake)).collect();
    let routes = config.routes.iter();
    let routes: Vec<_> = routes
        .map(|one| (&one.require, &one.allow, &one.without_extension, &one.forward, &one.upstream))
        .collect();
    let Config { http3, pool, limits, protocol, .. } = config;
    format!("{http3} {pool:?} {limits:?} {protocol:?} {credentials:?} {routes:?}")
}

#[test]
fn defaults_are_what_leaving_out_means() {
    let (folder, checker) = (folder(), Checker::new());
    for (way, key) in all(TABLES, &[]) {
        let Some(default) = key.default else { continue };
        let value: Toml =
            toml::from_str::<toml::Table>(&format!("x = {default}")).unwrap()["x"].clone();
        let mut document: Toml = toml::from_str(FULL).unwrap();
        if way == ["routes", "require"] {
            // What FULL requires and what goes with it.
            let route = document["routes"][0].as_table_mut().unwrap();
            for gone in ["require", "allow"] {
                route.remove(gone);
            }
        }
        let without = toml::to_string(&document).unwrap();
        let with = if way == ["routes", "require"] {
            let route = document["routes"][0].as_table_mut().unwrap();
            route.insert("require".to_owned(), value);
            toml::to_string(&document).unwrap()
        } else {
            set(&way, value)
        };
        checker.check(&with).unwrap_or_else(|said| panic!("{way:?}: {said}"));
        let read = |text: &str| meaning(&parse(folder.path(), text).unwrap());
        assert_eq!(read(&with), read(&without), "{way:?}");
    }
}

/// The rows of the first table in `configuration.md`: table, key and what is said of it.
fn reference() -> Vec<(String, String, String)> {
    let mut table = String::new();
    let document = include_str!("../../../configuration.md");
    let rows = document.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let mut reference = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').splitn(3, " | ").map(str::trim).collect();
        if !cells[0].is_empty() {
            table = cells[0].trim_matches(['`', '[', ']']).to_owned();
        }
        for key in cells[1].split(", ").filter(|key| *key != "…") {
            reference.push((table.clone(), key.trim_matches('`').to_owned(), cells[2].to_owned()));
        }
    }
    reference
}

#[test]
fn the_reference_has_every_key_and_its_default_and_no_other() {
    let reference = reference();
    // Tables within values, and numbers that stand in one row.
    let beside = |way: &Way| way.contains(&"allow") || way.contains(&"forward");
    for (way, key) in all(TABLES, &[]) {
        let (name, tables) = way.split_last().unwrap();
        let table =
            matches!(key.kind, Kind::Table(_) | Kind::Named(_) | Kind::NonEmpty(Kind::Table(_)));
        if (table && tables.is_empty()) || (beside(&way) && way.len() > 2) {
            continue;
        }
        let row = reference.iter().find(|(at, key, _)| *at == tables.join(".") && key == name);
        let Some((.., said)) = row else {
            let one_row = tables == ["protocol"];
            assert!(one_row, "configuration.md lacks {way:?}");
            continue;
        };
        let default = key.default.filter(|default| tables != ["protocol"] && *default != "[]");
        let told = default.is_none_or(|default| said.contains(default));
        assert!(told, "{way:?} is {default:?} unless set; configuration.md says: {said}");
    }
    for (table, key, _) in &reference {
        let way: Vec<_> = table.split('.').collect();
        let known = all(TABLES, &[]).into_iter().any(|(known, _)| {
            let (name, tables) = known.split_last().unwrap();
            name == key && tables == way
        });
        assert!(known, "configuration.md has `{key}` of [{table}], which is no key");
    }
}

/// The examples in a text: from a first line that names a table to one that is no TOML.
fn examples(text: &str) -> Vec<String> {
    let mut examples = vec![String::new()];
    for line in text.lines() {
        let line =
            line.trim().replace("{{", "{").replace("}}", "}").replace("{backend}", "[::1]:80");
        let toml = line.is_empty()
            || line.starts_with(['#', '['])
            || line.split_once(" = ").is_some_and(|(key, _)| {
                key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            });
        let last = examples.last_mut().unwrap();
        match toml {
            true => *last += &(line + "\n"),
            false if !last.is_empty() => examples.push(String::new()),
            false => {}
        }
    }
    examples.retain(|one| one.contains("[listen]\n") && one.contains("[[routes]]\n"));
    examples
}

#[test]
fn every_example_in_the_repository_fits_the_schema() {
    let checker = Checker::new();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for file in [
        "crates/countersign-pki/src/gateway.toml",
        "crates/countersign-cli/src/demo/stage.rs",
        "packaging/kubernetes/gateway.yaml",
        "bench/templates/gateway.toml",
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let text = text.replace("@ADDRESS@", "127.0.0.1:0").replace("@BACKEND@", "[::1]:80");
        let examples = examples(&text);
        assert_eq!(examples.len(), 1, "{file}: {examples:?}");
        for example in examples {
            checker.check(&example).unwrap_or_else(|said| panic!("{file}: {said}"));
        }
    }
}

#[test]
fn both_refuse_what_is_wrong_by_itself() {
    let (folder, checker) = (folder(), Checker::new());
    let list = |values: &[&str]| values.iter().map(|value| Toml::from(*value)).collect::<Vec<_>>();
    let bad: &[(&[&str], Toml)] = &[
        (&["listen", "address"], "localhost:8443".into()),
        (&["listen", "address"], "127.0.0.1".into()),
        (&["listen", "admin"], "9090".into()),
        (&["limits", "streams"], 0.into()),
        (&["limits", "streams"], 10_001.into()),
        (&["limits", "connections"], (-1).into()),
        (&["limits", "header_bytes"], "64KB".into()),
        (&["limits", "header_bytes"], "".into()),
        (&["limits", "idle_timeout"], "2 m".into()),
        (&["limits", "idle_timeout"], "0s".into()),
        (&["limits", "idle_timeout"], "2h".into()),
        (&["pool", "generic_challenges"], 65.into()),
        (&["pool", "answer_timeout"], "soon".into()),
        (&["audit", "file"], "".into()),
        (&["tls"], Toml::Array(Vec::new())),
        (&["tls", "key"], "".into()),
        (&["credentials", "a.b"], toml::Table::new().into()),
        (&["credentials", ""], toml::Table::new().into()),
        (&["credentials", "NAME", "ask"], "always".into()),
        (&["credentials", "NAME", "handshake"], "Accept".into()),
        (&["credentials", "NAME", "crl"], Toml::Array(Vec::new())),
        (&["credentials", "NAME", "subject_alt_names"], list(&["a b"]).into()),
        (&["credentials", "NAME", "extended_key_usages"], list(&["1.3"]).into()),
        (&["credentials", "NAME", "spiffe_trust_domains"], list(&["example.test"]).into()),
        (&["routes"], Toml::Array(Vec::new())),
        (&["routes", "path"], "admin/".into()),
        (&["routes", "path"], "/admin?x".into()),
        (&["routes", "require"], list(&["a b"]).into()),
        (&["routes", "allow"], Toml::Array(Vec::new())),
        (&["routes", "allow", "subject_alt_names"], Toml::Array(Vec::new())),
        (&["routes", "without_extension"], "redirect:/help".into()),
        (&["routes", "upstream"], "127.0.0.1:9000".into()),
        (&["routes", "upstream"], Toml::Array(Vec::new())),
        (&["protocol", "message_type"], 14.into()),
        (&["protocol", "frame_certificate"], 256.into()),
        (&["protocol", "settings_client_cert_auth"], 0.into()),
    ];
    for (way, value) in bad {
        let text = set(way, value.clone());
        assert!(parse(folder.path(), &text).is_err(), "{way:?} = {value} is taken by the parser");
        assert!(checker.check(&text).is_err(), "{way:?} = {value} fits the schema");
    }
    for table in ["listen", "tls", "routes"] {
        let mut document: toml::Table = toml::from_str(FULL).unwrap();
        document.remove(table);
        let text = toml::to_string(&document).unwrap();
        assert!(parse(folder.path(), &text).is_err() && checker.check(&text).is_err(), "{table}");
    }
    assert!(find(TABLES, "listen").is_some_and(|key| key.needed));
}
