//! What is printed for debugging tells neither the connection's secrets nor what was made with them.

#![cfg(test)]

mod support;

use std::fmt::Debug;

use exported_authenticator::stateless::UnsignedAuthenticator;
use exported_authenticator::{Authenticator, Contexts, Role};
use rustls::pki_types::UnixTime;
use support::{Ends, Secrets, alice, client_verifier, now, proven, template};

/// The forms in which bytes get into a log.
fn forms(bytes: &[u8]) -> [String; 4] {
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let hex_list: Vec<String> = bytes.iter().map(|byte| format!("{byte:x}")).collect();
    [hex::encode(bytes), hex::encode_upper(bytes), list.join(", "), hex_list.join(", ")]
}

#[test]
fn debug_output_holds_no_secret() {
    let secrets = Secrets(1);
    let (authority, alice) = alice();
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Server, &template(), b"context");
    let (values, chain) = (secrets.values(), alice.chain());
    let scheme = alice.choose_scheme(&request).unwrap();
    let unsigned =
        UnsignedAuthenticator::answer(&values, Role::Client, &request, chain, scheme).unwrap();
    let message = unsigned.message().to_vec();
    let bytes = ends.client.authenticate(&request, &alice).unwrap();
    let parsed = Authenticator::parse(&bytes).unwrap();
    let validated = ends.server.validate(&request, &bytes).unwrap();
    let proven = proven(validated.clone());
    let verifier = client_verifier(&authority);
    let rejected = proven
        .clone()
        .verify_client(&*verifier, UnixTime::since_unix_epoch(Default::default()))
        .unwrap_err();
    let verified = proven.clone().verify_client(&*verifier, now()).unwrap();
    let replayed = ends.server.validate(&request, &bytes).unwrap_err();
    let contexts = Contexts::new(values.hash(), 1);

    let printed: Vec<String> = [
        &values as &dyn Debug,
        &values.hash(),
        &unsigned,
        &parsed,
        &validated,
        &proven,
        &verified,
        &rejected,
        &replayed,
        &contexts,
        &ends.client,
        &ends.server,
        &alice,
        &request,
        &chain,
    ]
    .iter()
    .flat_map(|one| [format!("{one:?}"), format!("{one:#?}")])
    .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    .collect();

    let finished = &bytes[bytes.len() - 32..];
    let signature = &bytes[bytes.len() - 36 - 64..bytes.len() - 36];
    let transcript = &message[message.len() - 32..];
    let mut kept = vec![finished.to_vec(), signature.to_vec(), transcript.to_vec()];
    for sender in ["client", "server"] {
        kept.push(secrets.handshake_context(sender));
        kept.push(secrets.finished_key(sender));
    }
    for secret in &kept {
        // Eight bytes are enough to find it by, wherever an abbreviation begins.
        for window in secret.windows(8) {
            for form in forms(window) {
                let found = printed.iter().find(|text| text.contains(&form));
                assert_eq!(found, None, "{form}");
            }
        }
    }
}
