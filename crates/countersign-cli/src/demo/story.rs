//! What happens in the demo, step by step.

use countersign::client::{Event, Origin};
use http::HeaderMap;

use super::narrator::{Narrator, Way};
use super::stage::{OTHER_NAME, Stage};
use super::visitor::{Answer, Visitor};
use crate::client::Protocol;
use crate::failure::Failure;
use crate::names;

/// The field that tells a backend of all identities in a few words.
const IDENTITIES: &str = "client-identities";
/// The fields that tell a backend of one, with the certificate itself in them.
const CERTIFICATES: [&str; 3] = ["client-cert", "client-cert-chain", "x-forwarded-client-cert"];

/// Says who is who.
pub(super) fn introduce(stage: &Stage, narrator: &Narrator) {
    narrator.say(&format!(
        "Certificates when they are needed: a server asks for client certificates on a live connection.\n\
         \n\
         gateway  {}, a reverse proxy. /public/ is for everybody, /device/ for known devices,\n\
         \x20        /admin/ for alice on a known device. It has certificates for two names\n\
         backend  {}, an ordinary HTTP server behind it that does no TLS and checks no certificate\n\
         client   has a device's and a user's certificate, and shows them only when asked\n\
         \n\
         Everything below really happens, on this machine.",
        stage.gateway, stage.backend,
    ));
}

/// Plays all steps over one version of HTTP; an error is what keeps the story from going on.
pub(super) async fn tell(
    stage: &Stage,
    protocol: Protocol,
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    narrator.chapter(&format!("{} over {}", protocol.name(), protocol.transport()));
    alice(stage, protocol, narrator).await?;
    bob(stage, protocol, narrator).await?;
    revoked(stage, protocol, narrator).await?;
    plain(stage, protocol, narrator).await?;
    two_names(stage, protocol, narrator).await
}

/// Steps on one connection: public, device, step-up, and again.
async fn alice(stage: &Stage, protocol: Protocol, narrator: &mut Narrator) -> Result<(), Failure> {
    narrator.step("The client connects, and the gateway asks which device it is.");
    let bag = [&stage.pki.device, &stage.pki.alice];
    let mut client = Visitor::connect(stage, protocol, Some(&bag), narrator).await?;
    let events = client.until_answered().await?;
    recount(&events, narrator);
    narrator.check(
        proven(&events) == ["device-1.example.test"],
        "the device was proven, its user was not asked for",
    );
    narrator.remark(
        "The proof is a signature over the challenge and this one connection's TLS secrets:",
    );
    narrator.remark("whoever copied it could use it nowhere else.");

    narrator.step("A public page. The client lies about who it is.");
    let lie = (IDENTITIES, "\"user\";email=\"root@example.test\"");
    let answer = ask(&mut client, "/public/", &[lie], stage, narrator).await?;
    let fields = answer.fields.as_ref();
    narrator.check(answer.status == 200, "everybody gets the public page");
    narrator.check(
        fields.is_some_and(|fields| !fields.contains_key(IDENTITIES)),
        "the lie did not reach the backend",
    );

    narrator.step("A page for known devices.");
    let answer = ask(&mut client, "/device/", &[], stage, narrator).await?;
    narrator.check(
        answer.status == 200 && answer.challenges == 0,
        "the device is known already, so nothing is asked again",
    );
    narrator.check(answer.tells("device-1.example.test"), "the backend is told which device it is");
    narrator.check(!answer.tells("alice"), "and nothing about its user, who is not known yet");

    narrator
        .step("A page for alice: the gateway holds the request and asks who sits at the device.");
    let answer = ask(&mut client, "/admin/", &[], stage, narrator).await?;
    narrator.check(
        answer.status == 200 && answer.challenges == 1 && answer.proven == ["alice@example.test"],
        "alice was asked for, proven and let in, on the connection that was there",
    );
    narrator.check(
        answer.tells("alice@example.test") && answer.tells("device-1.example.test"),
        "the backend is told both: alice, on this device",
    );

    narrator.step("The same page again.");
    let answer = ask(&mut client, "/admin/", &[], stage, narrator).await?;
    narrator.check(
        answer.status == 200 && answer.challenges == 0,
        "nothing is asked: the identity is the connection's",
    );
    narrator.check(client.leave().await, "all of this was one connection");
    Ok(())
}

async fn bob(stage: &Stage, protocol: Protocol, narrator: &mut Narrator) -> Result<(), Failure> {
    narrator.step("Bob tries, on another connection: his certificate is good, he is not alice.");
    let bag = [&stage.pki.device, &stage.pki.bob];
    let mut client = Visitor::connect(stage, protocol, Some(&bag), narrator).await?;
    recount(&client.until_answered().await?, narrator);
    let answer = ask(&mut client, "/admin/", &[], stage, narrator).await?;
    narrator.check(
        answer.is_refusal("not-allowed") && answer.proven == ["bob@example.test"],
        "bob was proven to be bob, and refused",
    );
    narrator.check(answer.fields.is_none(), "the backend never saw the request");
    let answer = ask(&mut client, "/public/", &[], stage, narrator).await?;
    narrator.check(
        answer.status == 200 && client.leave().await,
        "a refusal is no error: the connection goes on",
    );
    Ok(())
}

async fn revoked(
    stage: &Stage,
    protocol: Protocol,
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    narrator.step("Somebody with a certificate that has been revoked.");
    let bag = [&stage.pki.device, &stage.pki.revoked];
    let mut client = Visitor::connect(stage, protocol, Some(&bag), narrator).await?;
    recount(&client.until_answered().await?, narrator);
    let answer = ask(&mut client, "/admin/", &[], stage, narrator).await?;
    narrator.check(
        answer.is_refusal("credential-revoked") && answer.fields.is_none(),
        "the key was proven, the certificate is on the revocation list: refused",
    );
    narrator.check(client.leave().await, "and this connection was not broken off either");
    Ok(())
}

async fn plain(stage: &Stage, protocol: Protocol, narrator: &mut Narrator) -> Result<(), Failure> {
    narrator.step("A client that has never heard of all this.");
    let mut client = Visitor::connect(stage, protocol, None, narrator).await?;
    recount(&client.until_settings().await?, narrator);
    let answer = ask(&mut client, "/public/", &[], stage, narrator).await?;
    narrator.check(
        answer.status == 200 && answer.challenges == 0,
        "it gets public pages as ever, and no frame that it does not know",
    );
    let answer = ask(&mut client, "/admin/", &[], stage, narrator).await?;
    narrator.check(
        answer.is_refusal("credential-missing") && answer.fields.is_none(),
        "it cannot be asked, so it is refused at once",
    );
    client.leave().await;
    Ok(())
}

/// The other direction: the server shows a further certificate.
async fn two_names(
    stage: &Stage,
    protocol: Protocol,
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    narrator.step(&format!(
        "The gateway is {OTHER_NAME}, too, with an unrelated certificate, and shows it on the connection."
    ));
    let mut client = Visitor::connect_for_more(stage, protocol, narrator).await?;
    let other = client.other_origin();
    let events = client.until_authoritative(&other).await?;
    recount(&events, narrator);
    narrator.check(
        events.iter().any(|event| matches!(event, Event::ServerCertificate { rejected: None, .. })),
        "the key was proven, the certificate verified, and DNS leads to this very address",
    );
    for (name, origin) in [("localhost", None), (OTHER_NAME, Some(&other))] {
        let answer = ask_at(&mut client, origin, "/public/", &[], stage, narrator).await?;
        narrator.check(answer.status == 200, &format!("{name} answers on this connection"));
    }
    narrator.check(client.leave().await, "two origins, one connection, one handshake");

    narrator
        .step("A client that takes no further certificates asks for it on localhost's connection.");
    let mut client = Visitor::connect(stage, protocol, None, narrator).await?;
    recount(&client.until_settings().await?, narrator);
    let answer = ask_at(&mut client, Some(&other), "/public/", &[], stage, narrator).await?;
    narrator.check(
        answer.status == 421 && answer.fields.is_none(),
        "it has seen no certificate for that name here: misdirected, on to another connection",
    );
    client.leave().await;
    Ok(())
}

/// What one request led to.
#[derive(Debug)]
struct Outcome {
    status: u16,
    body: String,
    challenges: usize,
    /// Who was proven meanwhile.
    proven: Vec<String>,
    /// The request's fields as the backend got them; `None` if it got no request.
    fields: Option<HeaderMap>,
}

impl Outcome {
    /// Whether the backend's fields name somebody.
    fn tells(&self, name: &str) -> bool {
        self.fields.as_ref().is_some_and(|fields| {
            fields
                .get_all(IDENTITIES)
                .iter()
                .any(|value| String::from_utf8_lossy(value.as_bytes()).contains(name))
        })
    }

    /// Whether it is a 403 whose problem document has this type.
    fn is_refusal(&self, kind: &str) -> bool {
        self.status == 403 && problem(&self.body, "type") == format!("urn:countersign:{kind}")
    }
}

/// Sends a request, tells what happens, and returns it.
async fn ask(
    client: &mut Visitor,
    path: &str,
    fields: &[(&str, &str)],
    stage: &Stage,
    narrator: &Narrator,
) -> Result<Outcome, Failure> {
    ask_at(client, None, path, fields, stage, narrator).await
}

/// The same for another origin than the connection's own, if there is one.
async fn ask_at(
    client: &mut Visitor,
    origin: Option<&Origin>,
    path: &str,
    fields: &[(&str, &str)],
    stage: &Stage,
    narrator: &Narrator,
) -> Result<Outcome, Failure> {
    let shown = origin.map(Origin::to_string).unwrap_or_default();
    narrator.message(Way::ClientToGateway, &format!("GET {shown}{path}"));
    for (name, value) in fields {
        narrator.message(Way::ClientToGateway, &format!("    {name}: {value}"));
    }
    let Answer { status, body, events } = match origin {
        Some(origin) => client.get_from(origin, path, fields).await?,
        None => client.get(path, fields).await?,
    };
    recount(&events, narrator);
    let seen = stage.seen_by_backend().pop();
    if let Some(seen) = &seen {
        narrator.message(Way::GatewayToBackend, &format!("GET {}", seen.path));
        for value in seen.fields.get_all(IDENTITIES) {
            let text = format!("    {IDENTITIES}: {}", in_brief(value.as_bytes()));
            narrator.message(Way::GatewayToBackend, &text);
        }
        for name in CERTIFICATES {
            for value in seen.fields.get_all(name) {
                let text = format!("    {name}: certificates, {} bytes", value.len());
                narrator.message(Way::GatewayToBackend, &text);
            }
        }
    }
    let why = problem(&body, "detail");
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let kind = problem(&body, "type");
    let kind = if kind.is_empty() { kind } else { format!(" {kind}") };
    narrator.message(Way::GatewayToClient, &format!("{status}{kind}{why}"));
    Ok(Outcome {
        status,
        body,
        challenges: events.iter().filter(|event| matches!(event, Event::Challenge(_))).count(),
        proven: proven(&events),
        fields: seen.map(|seen| seen.fields),
    })
}

/// Tells what the client's observer saw.
#[expect(clippy::wildcard_enum_match_arm, reason = "the end of a connection is told elsewhere")]
fn recount(events: &[Event], narrator: &Narrator) {
    for event in events {
        match event {
            Event::PeerSettings(settings) => {
                let asks = settings.client_cert_auth.is_some_and(|value| value > 0);
                let text = match (asks, settings.supports_server_certificates()) {
                    (true, true) => "I may ask for certificates, and show further ones of mine",
                    (true, false) => "I may ask for certificates",
                    (false, true) => "I may show further certificates of mine",
                    (false, false) => "nothing about certificates",
                };
                narrator.message(Way::GatewayToClient, &format!("SETTINGS: {text}"));
            }
            Event::Challenge(request) => {
                let authorities: Vec<_> =
                    request.certificate_authorities().map(names::common_name).collect();
                let text = format!(
                    "AUTHENTICATOR_REQUESTS: challenge {}, prove a certificate from \"{}\"",
                    brief(request.context()),
                    authorities.join("\" or \"")
                );
                narrator.message(Way::GatewayToClient, &text);
            }
            Event::Answer { context, credential, reason } => {
                let leaf = credential
                    .as_ref()
                    .and_then(|credential| credential.chain().certificates().first());
                let text = match leaf {
                    Some(leaf) => {
                        format!("I am {}, signed for {}", names::holder(leaf), brief(context))
                    }
                    None => format!(
                        "none, for {} ({})",
                        brief(context),
                        reason.as_deref().unwrap_or("no reason")
                    ),
                };
                narrator.message(Way::ClientToGateway, &format!("CERTIFICATE: {text}"));
            }
            Event::ServerCertificate { names, rejected, .. } => {
                let verdict =
                    rejected.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                let text = format!("SERVER_CERTIFICATE: I am {}, too{verdict}", names.join(", "));
                narrator.message(Way::GatewayToClient, &text);
            }
            _ => {}
        }
    }
}

/// Whom the client proved to be.
fn proven(events: &[Event]) -> Vec<String> {
    let shown = events.iter().filter_map(|event| {
        if let Event::Answer { credential, .. } = event { credential.as_ref() } else { None }
    });
    shown
        .filter_map(|credential| credential.chain().certificates().first())
        .map(|leaf| names::holder(leaf))
        .collect()
}

/// A member of a problem document; empty if the body is none.
fn problem(body: &str, member: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    document.get(member).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// Enough of a context to tell one from another.
fn brief(context: &[u8]) -> String {
    hex::encode(context.get(..4).unwrap_or(context))
}

/// The members of a structured list with those parameters that are names.
fn in_brief(list: &[u8]) -> String {
    let Ok(list) = sfv::Parser::new(list).parse::<sfv::List>() else {
        return "(no structured list)".to_owned();
    };
    let member = |entry: &sfv::ListEntry| {
        let sfv::ListEntry::Item(item) = entry else {
            return None;
        };
        let mut text = format!("{:?}", item.bare_item.as_string()?.as_str());
        for name in ["email", "dns", "uri"] {
            if let Some(value) = item.params.get(name).and_then(|value| value.as_string()) {
                text.push_str(&format!("; ... {name}={:?}", value.as_str()));
            }
        }
        Some(text)
    };
    list.iter().filter_map(member).collect::<Vec<_>>().join(", ")
}
