//! Peers that break a rule: each violation is provoked, and ends the machine for good.

mod authenticators;
mod requests;

use bytes::Bytes;
use exported_authenticator::{AuthenticatorRequest, MessageType, RequestTemplate};

use self::authenticators::{
    bad_extensions, bad_finished, bad_schemes, bad_signatures, malformed_authenticators,
};
use self::requests::{malformed_requests, repeated_contexts};
use super::fixtures::{
    accepting_client, answer, client, client_auth, client_with, generic, negotiated_client,
    negotiated_server, payload, policy, refusal, request, server, server_auth,
};
use super::pair::MAX_PAYLOAD;
use crate::client::ClientMachine;
use crate::frame::read_requests;
use crate::link::Place;
use crate::server::ServerMachine;
use crate::{ChallengeId, FrameKind, Misuse, Violation};

/// What the peer does, what the machine says to it, and the machine after that.
enum Provoked {
    Client(&'static str, Result<(), Violation>, ClientMachine),
    Server(&'static str, Result<(), Violation>, ServerMachine),
}

/// Lengths and header blocks are the transport's to see; what waits to be verified, its owner's.
const ELSEWHERE: [Violation; 3] =
    [Violation::FrameTooLong, Violation::InsideHeaderBlock, Violation::TooManyServerCertificates];

#[test]
fn every_violation_ends_the_machine() {
    for violation in Violation::ALL {
        let provoked = provoke(*violation);
        let elsewhere = ELSEWHERE.contains(violation);
        assert_eq!(provoked.is_empty(), elsewhere, "{violation:?}");
        for provoked in provoked {
            match provoked {
                Provoked::Client(how, verdict, client) => {
                    assert_eq!(verdict, Err(*violation), "{how}");
                    assert_client_dead(client, *violation);
                }
                Provoked::Server(how, verdict, server) => {
                    assert_eq!(verdict, Err(*violation), "{how}");
                    assert_server_dead(server, *violation);
                }
            }
        }
    }
}

fn provoke(violation: Violation) -> Vec<Provoked> {
    use FrameKind::{AuthenticatorRequests, Certificate, ServerCertificate};
    match violation {
        //= specs/client-certs.md#decisions-limits
        //= type=test
        //# (ours) AUTHENTICATOR_REQUESTS or CERTIFICATE without negotiation MUST be a connection
        //# error, PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
        //= specs/client-certs.md#decisions-limits
        //= type=test
        //# (ours) AUTHENTICATOR_REQUESTS that reaches a client whose own setting is 0 MUST be
        //# treated as not negotiated.
        //= specs/exported-authenticators.md#section-1
        //= type=test
        //# The protocol that carries authenticators MUST bring its own means to announce support
        //# and to deal with failures.
        Violation::NotNegotiated => not_negotiated(),
        //= specs/client-certs.md#section-4.2
        //= type=test
        //# In HTTP/2 a client that receives a server's CERTIFICATE without that negotiation MUST
        //# answer with a connection error PROTOCOL_ERROR.
        Violation::ServerCertificateNotNegotiated => {
            vec![at_client("SERVER_CERTIFICATE that nobody announced", |client| {
                client.frame_header(ServerCertificate, Place::Control)
            })]
        }
        //= specs/client-certs.md#section-4.1.1
        //= type=test
        //# A server that receives this HTTP/2 frame on whatever stream MUST treat that as a
        //# connection error PROTOCOL_ERROR.
        Violation::RequestsFromClient => [Place::Control, Place::Stream(1), Place::Stream(3)]
            .map(|place| {
                at_server("AUTHENTICATOR_REQUESTS from a client", |server| {
                    server.frame_header(AuthenticatorRequests, place)
                })
            })
            .into(),
        Violation::CertificateFromServer => vec![at_client("CERTIFICATE", |client| {
            client.frame_header(Certificate, Place::Control)
        })],
        Violation::ServerCertificateFromClient => {
            vec![at_server("SERVER_CERTIFICATE from a client", |server| {
                server.frame_header(ServerCertificate, Place::Control)
            })]
        }
        //= specs/client-certs.md#section-4.1.1
        //= type=test
        //# A client that receives this HTTP/2 frame on another stream than 0 MUST treat that as a
        //# connection error PROTOCOL_ERROR.
        Violation::WrongStream => vec![
            at_client("AUTHENTICATOR_REQUESTS on stream 3", |client| {
                client.frame_header(AuthenticatorRequests, Place::Stream(3))
            }),
            at_client("SERVER_CERTIFICATE on stream 2", |client| {
                client.frame_header(ServerCertificate, Place::Stream(2))
            }),
            at_server("CERTIFICATE on stream 1", |server| {
                server.frame_header(Certificate, Place::Stream(1))
            }),
        ],
        Violation::FrameTooLong
        | Violation::InsideHeaderBlock
        | Violation::TooManyServerCertificates => Vec::new(),
        Violation::ServerCertSetting => vec![
            at_client("2", |client| client.peer_settings(&server_auth(2))),
            at_client("0 after 1", |client| {
                client.peer_settings(&server_auth(1))?;
                client.peer_settings(&server_auth(0))
            }),
            at_server("a huge value", |server| server.peer_settings(&server_auth(u64::MAX))),
        ],
        Violation::ServerCertificateInvalid => vec![
            at_offered("no authenticator", Bytes::from_static(b"nonsense")),
            at_offered("an empty authenticator", refusal(&request(1)).into()),
        ],
        Violation::EmptyRequests => vec![requested("no request", Bytes::new())],
        //= specs/client-certs.md#section-4.1.1
        //= type=test
        //# In HTTP/2 a payload that does not decode, such as one with a cut length, MUST be treated
        //# as a connection error PROTOCOL_ERROR.
        Violation::RequestLength => [
            ("a cut length", &[0x40][..]),
            ("a length beyond the frame", &[5, 1, 2]),
            ("a length beyond memory", &[0xff; 8]),
        ]
        .map(|(how, payload)| requested(how, Bytes::from_static(payload)))
        .into(),
        //= specs/client-certs.md#section-4.1.1
        //= type=test
        //# In HTTP/2 an authenticator request that does not decode MUST be treated as a connection
        //# error PROTOCOL_ERROR.
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) A request without signature_algorithms MUST be treated as malformed.
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) A request with bytes after its end MUST be treated as malformed.
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) A request that has an extension twice MUST be treated as malformed.
        Violation::MalformedRequest => malformed_requests(),
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) A request that repeats a context of its connection MUST be treated as malformed.
        Violation::RepeatedContext => repeated_contexts(),
        //= specs/client-certs.md#section-4.1
        //= type=test
        //# A client MUST end the connection with an error when the server goes over that limit.
        //= specs/client-certs.md#section-4.1.4
        //= type=test
        //# A client MUST treat a server that exceeds the announced number as the cause of a
        //# connection error.
        Violation::TooManyRequests => vec![
            requested(
                "three at once where two are allowed",
                payload([&request(1), &request(2), &request(3)]),
            ),
            at_client("a third while two are owed", |client| {
                client.requests(&payload([&request(1), &request(2)]))?;
                client.keep(ChallengeId(0)).unwrap();
                client.answer(ChallengeId(1), vec![1]).unwrap();
                client.requests(&payload([&request(3)]))
            }),
            requested("thousands of empty ones", vec![0; 5_000].into()),
        ],
        //= specs/client-certs.md#decisions-limits
        //= type=test
        //# (ours) A client that cannot remember any more request contexts MUST end the connection,
        //# with ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
        Violation::TooManyContexts => {
            let mut client = client_with(1, 3);
            client.settings_sent();
            client.peer_settings(&client_auth(1)).unwrap();
            let verdict = (0..9).try_for_each(|context| {
                client.requests(&payload([&request(context)]))?;
                client.decline(ChallengeId(context.into())).unwrap();
                assert!(client.poll_transmit(MAX_PAYLOAD).is_some());
                Ok(())
            });
            vec![Provoked::Client("requests without end", verdict, client)]
        }
        //= specs/client-certs.md#section-4.2
        //= type=test
        //# A server that receives CERTIFICATE with no request outstanding MUST treat that as a
        //# connection error.
        //= specs/client-certs.md#section-5.5
        //= type=test
        //# An implementation SHOULD bound the computation that one connection can cause.
        Violation::Unsolicited => vec![
            at_server("the header of CERTIFICATE out of the blue", |server| {
                server.frame_header(Certificate, Place::Control)
            }),
            at_server("CERTIFICATE out of the blue", |server| {
                server.certificate(refusal(&request(1)).into()).map(drop)
            }),
            at_server("a second answer to one request", |server| {
                let request = asked(server, &generic());
                server.certificate(answer(&request).into())?.verify()?;
                server.certificate(answer(&request).into()).map(drop)
            }),
        ],
        //= specs/client-certs.md#decisions-bad
        //= type=test
        //# (ours) An authenticator that fails to decode, is out of order or has a wrong context,
        //# extension, scheme, signature or MAC MUST be a connection error, PROTOCOL_ERROR in HTTP/2
        //# and H3_MESSAGE_ERROR in HTTP/3.
        Violation::OutOfOrder => vec![at_server("the second request's answer first", |server| {
            asked(server, &generic());
            let second = asked(server, &generic());
            server.certificate(answer(&second).into()).map(drop)
        })],
        Violation::Replayed => vec![at_server("the first answer for the second", |server| {
            let first = asked(server, &generic());
            asked(server, &generic());
            let payload = Bytes::from(answer(&first));
            server.certificate(payload.clone())?.verify()?;
            server.certificate(payload).map(drop)
        })],
        Violation::WrongContext => vec![
            answered("another context", &generic(), |_| answer(&request(9))),
            answered("no context", &generic(), |_| {
                let none = generic().build(MessageType::CertificateRequest, &[]).unwrap();
                answer(&none)
            }),
        ],
        Violation::MalformedAuthenticator => malformed_authenticators(),
        Violation::AuthenticatorExtension => bad_extensions(),
        Violation::SignatureScheme => bad_schemes(),
        Violation::BadSignature => bad_signatures(),
        Violation::BadFinished => bad_finished(),
        //= specs/client-certs.md#section-3.1
        //= type=test
        //# Support that has been announced MUST count as enabled until the connection ends.
        //= specs/client-certs.md#decisions-limits
        //= type=test
        //# (ours) A setting that goes back to 0 in HTTP/2 MUST be a connection error
        //# PROTOCOL_ERROR.
        Violation::SettingTakenBack => vec![
            at_client("0 after 1", |client| client.peer_settings(&client_auth(0))),
            at_server("0 after 2", |server| server.peer_settings(&client_auth(0))),
            at_server("3 and 0 in one SETTINGS", |server| {
                server.peer_settings(&[client_auth(3), client_auth(0)].concat())
            }),
        ],
    }
}

fn not_negotiated() -> Vec<Provoked> {
    use FrameKind::{AuthenticatorRequests, Certificate};
    let requests = payload([&request(1)]);
    let mut provoked = Vec::new();
    for (how, limit, sent, value) in [
        ("before any SETTINGS", 1, false, None),
        ("before our SETTINGS", 1, false, Some(1)),
        ("before the server's SETTINGS", 1, true, None),
        ("from a server that announced 0", 1, true, Some(0)),
        ("after our announcement of 0", 0, true, Some(1)),
    ] {
        let silent = || {
            let mut client = client(limit);
            if sent {
                client.settings_sent();
            }
            if let Some(value) = value {
                client.peer_settings(&client_auth(value)).unwrap();
            }
            client
        };
        let mut client = silent();
        let verdict = client.frame_header(AuthenticatorRequests, Place::Control);
        provoked.push(Provoked::Client(how, verdict, client));
        let mut client = silent();
        let verdict = client.requests(&requests);
        provoked.push(Provoked::Client(how, verdict, client));
    }
    for (how, sent, value) in [
        ("before any SETTINGS", false, None),
        ("before our SETTINGS", false, Some(1)),
        ("before the client's SETTINGS", true, None),
        ("from a client that announced 0", true, Some(0)),
    ] {
        let silent = || {
            let mut server = server(policy());
            if sent {
                server.settings_sent();
            }
            if let Some(value) = value {
                server.peer_settings(&client_auth(value)).unwrap();
            }
            server
        };
        let mut server = silent();
        let verdict = server.frame_header(Certificate, Place::Control);
        provoked.push(Provoked::Server(how, verdict, server));
        let mut server = silent();
        let verdict = server.certificate(refusal(&request(1)).into()).map(drop);
        provoked.push(Provoked::Server(how, verdict, server));
    }
    provoked
}

/// What a negotiated client with the limit 2 says.
fn at_client(
    how: &'static str,
    act: impl FnOnce(&mut ClientMachine) -> Result<(), Violation>,
) -> Provoked {
    let mut client = negotiated_client(2);
    let verdict = act(&mut client);
    Provoked::Client(how, verdict, client)
}

/// What a client that accepts server certificates says to this payload of SERVER_CERTIFICATE.
fn at_offered(how: &'static str, payload: Bytes) -> Provoked {
    let mut client = accepting_client();
    let verdict = client.server_certificate(payload).map(drop);
    Provoked::Client(how, verdict, client)
}

/// What it says to this payload of AUTHENTICATOR_REQUESTS.
fn requested(how: &'static str, payload: Bytes) -> Provoked {
    at_client(how, |client| client.requests(&payload))
}

/// What a negotiated server says to a client with the limit 2.
fn at_server(
    how: &'static str,
    act: impl FnOnce(&mut ServerMachine) -> Result<(), Violation>,
) -> Provoked {
    let mut server = negotiated_server(policy(), 2);
    let verdict = act(&mut server);
    Provoked::Server(how, verdict, server)
}

/// What it says to `forge`'s answer to a request.
fn answered(
    how: &'static str,
    template: &RequestTemplate,
    forge: impl Fn(&AuthenticatorRequest) -> Vec<u8>,
) -> Provoked {
    at_server(how, |server| {
        let request = asked(server, template);
        server.frame_header(FrameKind::Certificate, Place::Control)?;
        let answer = server.certificate(forge(&request).into())?;
        answer.verify().map(drop).inspect_err(|violation| server.fail(*violation))
    })
}

/// Has the server ask, and gives what it asked.
fn asked(server: &mut ServerMachine, template: &RequestTemplate) -> AuthenticatorRequest {
    server.challenge(template).unwrap();
    let frame = server.poll_transmit(MAX_PAYLOAD).unwrap();
    let requests = read_requests(&frame.payload).unwrap();
    AuthenticatorRequest::parse(requests.last().unwrap()).unwrap()
}

fn assert_client_dead(mut client: ClientMachine, violation: Violation) {
    let refused = Err(violation);
    assert_eq!(client.failed(), Some(violation));
    for _ in 0..2 {
        let header = client.frame_header(FrameKind::AuthenticatorRequests, Place::Control);
        assert_eq!(header, refused);
        assert_eq!(client.requests(&payload([&request(200)])), refused);
        assert_eq!(client.peer_settings(&client_auth(1)), refused);
        assert_eq!(client.set_limit(9), Err(Misuse::Closed));
        client.settings_sent();
        client.settings_acked();
        assert_eq!(client.poll_transmit(MAX_PAYLOAD), None);
        assert_eq!(client.outstanding(), 0);
        client.fail(Violation::InsideHeaderBlock);
        assert_eq!(client.failed(), Some(violation), "the first counts");
    }
}

fn assert_server_dead(mut server: ServerMachine, violation: Violation) {
    let refused = Some(violation);
    assert_eq!(server.failed(), refused);
    for _ in 0..2 {
        let header = server.frame_header(FrameKind::Certificate, Place::Control);
        assert_eq!(header, Err(violation));
        let certificate = server.certificate(refusal(&request(200)).into());
        assert_eq!(certificate.err(), refused);
        assert_eq!(server.peer_settings(&client_auth(1)), Err(violation));
        assert_eq!(server.challenge(&generic()), Err(Misuse::Closed));
        server.settings_sent();
        assert_eq!(server.poll_transmit(MAX_PAYLOAD), None);
        assert_eq!(server.outstanding(), 0);
        server.fail(Violation::InsideHeaderBlock);
        assert_eq!(server.failed(), refused, "the first counts");
    }
}
