use std::collections::HashSet;
use std::sync::LazyLock;

use super::*;
use crate::authenticator::{Hash, Proof, Request, Secrets, Side, check};

static SET: LazyLock<File> = LazyLock::new(|| generate().unwrap());

#[test]
fn it_is_read_as_it_was_written() {
    let text = SET.to_json().unwrap();
    assert_eq!(serde_json::from_str::<File>(&text).unwrap(), *SET);
    assert!(text.len() < 1_500_000, "{} bytes", text.len());
}

#[test]
fn every_refused_case_has_an_accepted_twin_that_differs() {
    let mut names = HashSet::new();
    for vector in &SET.vectors {
        assert!(names.insert(&vector.name), "{} twice", vector.name);
        assert_eq!(vector.twin.is_empty(), vector.is_accepted(), "{}", vector.name);
        assert_eq!(vector.error.is_some(), !vector.is_accepted() && vector.op.ends_with("_frame"));
        if vector.is_accepted() {
            continue;
        }
        let twin = SET.vectors.iter().find(|one| one.name == vector.twin);
        let twin = twin.unwrap_or_else(|| panic!("{}: no {}", vector.name, vector.twin));
        assert!(twin.is_accepted(), "{}", vector.name);
        let what = |one: &Vector| {
            let place = (one.op.clone(), one.hash.clone(), one.connection.clone());
            let role = if one.op.ends_with("_frame") { one.role.clone() } else { String::new() };
            (place, role)
        };
        if !vector.hash.is_empty() && !twin.hash.is_empty() {
            assert_eq!(what(vector), what(twin), "{}", vector.name);
        }
        let mut same = vector.clone();
        (same.name, same.note) = (twin.name.clone(), twin.note.clone());
        (same.expect, same.twin, same.error) = (twin.expect.clone(), String::new(), None);
        (same.deterministic, same.key_pkcs8) = (twin.deterministic, twin.key_pkcs8.clone());
        same.chain.clone_from(&twin.chain);
        assert_ne!(same, *twin, "{} is its own twin", vector.name);
    }
}

/// The tool's own checks, which know no verifier of chains.
#[test]
fn the_tools_own_checks_agree_on_what_is_proven() {
    for vector in SET.vectors.iter().filter(|vector| vector.op == "validate") {
        // Not theirs to see: chains, used contexts, ClientHellos.
        let chain = vector.expect.contains("untrusted");
        let elsewhere = ["context_replayed", "scheme_not_offered", "spontaneous_client"];
        if elsewhere.contains(&vector.expect.as_str())
            || vector.name.ends_with("not-in-clienthello")
            || !vector.used_contexts.is_empty()
        {
            continue;
        }
        let side = if vector.role == "client" { Side::Client } else { Side::Server };
        let hash = if vector.hash == "sha256" { Hash::Sha256 } else { Hash::Sha384 };
        let secrets = Secrets::export(hash, |output, label| {
            let value = if label.ends_with(b"context") {
                &vector.handshake_context.0
            } else {
                &vector.finished_key.0
            };
            output.copy_from_slice(value);
            Ok::<(), ()>(())
        });
        let request =
            (!vector.request.0.is_empty()).then(|| Request::parse(&vector.request.0).unwrap());
        let proof = check(&secrets.unwrap(), side, request.as_ref(), &vector.authenticator.0, &[]);
        match (vector.expect.as_str(), &proof) {
            ("ok", Ok(Proof::Proven { .. })) | ("empty", Ok(Proof::Declined)) => {}
            // signature_algorithms has no place in Certificate, which the tool does not care about.
            _ if vector.name.ends_with("extension-of-requests") => {}
            _ if chain => assert!(matches!(proof, Ok(Proof::Proven { .. })), "{}", vector.name),
            ("ok" | "empty", other) => panic!("{}: {other:?}", vector.name),
            (_, refused) => assert!(refused.is_err(), "{}: {refused:?}", vector.name),
        }
    }
}
