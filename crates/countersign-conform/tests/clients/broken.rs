//! A little client that does everything right, but for one fault.

use std::sync::Arc;
use std::time::Duration;

use countersign_conform::CodePoints;
use countersign_conform::Version;
use countersign_conform::against_server::{Target, Visit};
use countersign_conform::authenticator::{
    Check, Draft, Hash, Proof, Request, Side, check, decline, extension,
};
use countersign_conform::code_points::{
    Code, H3_CLOSED_CRITICAL_STREAM, H3_STREAM_CREATION_ERROR, MALFORMED, NO_SETTINGS, TOO_LONG,
    UNEXPECTED,
};
use countersign_conform::identity::Identity;
use countersign_conform::raw::{
    Arrival, Event, FLAG_END_HEADERS, Peer, kind, parse_settings, payload, settings_payload,
};
use countersign_conform::tls::Suites;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::UnixTime;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::flaws::{Flaw, Shape, flaw, shape};
use crate::lies::{Lie, lie};

/// What can be wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    // What it lacks, which is no fault.
    LacksServersDraft,
    LacksIdentity,
    // How it complains.
    AnotherCode,
    EndsWithoutAWord,
    // Settings.
    AnnouncesNothing,
    AnnouncesServerTwo,
    /// It takes this setting back when it answers.
    TakesBack(u16),
    /// It takes back that it can be asked, when it answers a request with an odd extension.
    TakesBackOnce,
    LetsServerAnnounceTwo,
    LetsServerTakeBack,
    LetsTakeBack,
    LetsTakeBackAtOnce,
    TakesSecondSettings,
    TakesRequestsBeforeSettings,
    TakesCertificatesBeforeSettings,
    TakesSecondControlStreams,
    NeedsNoControlStream,
    FearsTheUnknown,
    FearsUnknownSettings,
    FearsOriginOnAStream,
    FearsNonsenseInOrigin,
    FearsFlagsOfOrigin(u8),
    FearsEmptyOrigin,
    FearsLongOrigin,
    // Answers.
    PresentsAtOnce,
    AnswersTwice,
    AnswersLastFirstOfAFrame,
    AnswersLastFrameFirst,
    /// So many times, and then no more.
    AnswersTimes(usize),
    /// It counts answered requests as outstanding.
    CountsForever,
    Forges,
    AnswersOnAStream,
    AnswersAtLength,
    /// It complains of these requests.
    Minds(Oddity),
    /// It declines these requests.
    Declines(Oddity),
    MindsFlags,
    UsesAnyScheme,
    /// It presents whatever this extension says.
    IgnoresExtension(u16),
    PresentsAsServer,
    AsksItself,
    // Requests that may not be answered.
    IgnoresTheLimit,
    /// It takes these requests and does not answer.
    Swallows(Flaw),
    TakesRepeatedContexts,
    TakesContextsTwiceInAFrame,
    NeedsNoAlgorithms,
    TakesTwins,
    NeedsNoNegotiationToBeAsked,
    NeedsNoNegotiationToBeShown,
    AnswersAnybody,
    // Frames.
    IgnoresStrayRequests,
    IgnoresStrayCertificates,
    IgnoresPushedRequests,
    IgnoresOpenBlocks,
    AwaitsAnyLength,
    // Certificates of servers.
    RefusesServers,
    /// It takes authority from certificates that are like this.
    Trusts(Blemish),
    TrustsNobody,
    ComplainsOf(Blemish),
    KnowsP256Only,
    ComplainsOfLongChains,
    ComplainsOfLongProofs,
    KnowsSha256Only,
    Skips(&'static [Check]),
    Takes(Shape),
    Believes(Lie),
    TakesAnyScheme,
    TakesRepeatedProofs,
}

/// What a request can be like, or the connection that it comes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    Type13,
    Extension,
    Length,
    EmptyContext,
    LongContext,
    WideLength,
    Flags,
    AfterTheUnknown,
    Sha384,
    Tls12,
}

/// Why a certificate gives no authority for further.test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blemish {
    OtherName,
    Expired,
    Early,
    Stranger,
    Namesake,
    ForClients,
    NotForSignatures,
}

/// What is said to the visitor: where to, over what, and what to fetch.
pub(crate) struct Errand {
    pub(crate) target: Target,
    pub(crate) version: Version,
    pub(crate) suites: Suites,
    /// Whether it goes on to further.test.
    pub(crate) further: bool,
}

/// The frame type ORIGIN.
const ORIGIN: u64 = 0xc;
/// It takes this many requests at a time.
const LIMIT: u64 = 4;

/// Visits until it has its response or something to complain about.
pub(crate) async fn visit(errand: &Errand, fault: Fault) {
    let &Errand { ref target, version, suites, further } = errand;
    let Ok(peer) = (Visit { target, version }).connect_over(suites).await else { return };
    let client = Client {
        peer,
        fault,
        points: target.points,
        identity: target.identities.first().unwrap(),
        verifier: Arc::clone(&target.verifier),
        offered: target.verifier.supported_verify_schemes().into_iter().map(u16::from).collect(),
        settings: None,
        own: 0,
        contexts: Vec::new(),
        before: 0,
        asked: 0,
        answered: 0,
        held: Vec::new(),
        open_block: false,
        tls12: [Suites::Tls12, Suites::Tls12Sha384].contains(&suites),
        flags: 0,
        unknown: 0,
        further,
        authority: false,
    };
    client.run(&target.authority).await;
}

struct Client<'a> {
    peer: Peer,
    fault: Fault,
    points: CodePoints,
    identity: &'a Identity,
    verifier: Arc<dyn ServerCertVerifier>,
    /// The signature schemes of its ClientHello.
    offered: Vec<u16>,
    settings: Option<(u64, u64)>,
    own: u64,
    contexts: Vec<Vec<u8>>,
    /// How many of them came before the last frame.
    before: usize,
    /// How many requests have come.
    asked: usize,
    answered: usize,
    /// Answers that wait for the last one.
    held: Vec<Vec<u8>>,
    open_block: bool,
    tls12: bool,
    /// Those of the last frame.
    flags: u8,
    /// How many frames of types that mean nothing have come.
    unknown: usize,
    /// Whether it goes on to further.test, and whether it was shown a certificate for that.
    further: bool,
    authority: bool,
}

impl Client<'_> {
    fn fault(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn error<T>(&self, code: Code) -> Result<T, u64> {
        Err(code.of(self.peer.version))
    }

    async fn run(mut self, authority: &str) {
        let server = if self.fault(Fault::AnnouncesServerTwo) { 2 } else { 1 };
        let mut settings = Vec::new();
        if !self.fault(Fault::LacksServersDraft) {
            settings.push((self.points.server_cert_auth.into(), server));
        }
        if !self.fault(Fault::AnnouncesNothing) {
            settings.push((self.points.client_cert_auth.into(), LIMIT));
        }
        self.peer.announce(&settings).await;
        self.own = self.peer.get(authority, "/").await;
        if self.fault(Fault::PresentsAtOnce) {
            self.peer.certificate(b"whatever").await;
        }
        if self.fault(Fault::PresentsAsServer) {
            self.peer.control(self.points.server_certificate, b"whatever").await;
        }
        if self.fault(Fault::AsksItself) {
            self.peer.control(self.points.requests, b"whatever").await;
        }
        while let Event::Arrived(arrival) = self.peer.event(|_| true).await {
            match self.take(arrival).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(code) => {
                    self.peer.close(self.complaint(code), "no").await;
                    self.peer.be_patient(Duration::from_secs(5));
                    self.peer.event(|_| false).await;
                    return;
                }
            }
        }
        let no_error = if self.peer.version == Version::Http2 { 0 } else { 0x100 };
        self.peer.close(no_error, "").await;
    }

    /// The code that it ends with where this one is due.
    fn complaint(&self, due: u64) -> u64 {
        match (self.fault, self.peer.version) {
            (Fault::AnotherCode, Version::Http2) => 0x2,
            (Fault::AnotherCode, Version::Http3) => 0x102,
            (Fault::EndsWithoutAWord, Version::Http2) => 0,
            (Fault::EndsWithoutAWord, Version::Http3) => 0x100,
            _ => due,
        }
    }

    /// Whether to go on; the error is the code to end with.
    async fn take(&mut self, arrival: Arrival) -> Result<bool, u64> {
        let (stream, frame, flags) = match &arrival {
            Arrival::Frame { stream, kind, flags, .. } => (*stream, *kind, *flags),
            Arrival::Oversized if self.fault(Fault::AwaitsAnyLength) => return Ok(true),
            Arrival::Oversized => return self.error(TOO_LONG),
            Arrival::ControlEnded if self.fault(Fault::NeedsNoControlStream) => return Ok(true),
            Arrival::ControlEnded => return Err(H3_CLOSED_CRITICAL_STREAM),
            Arrival::StreamEnded(_) | Arrival::Closed(_) => return Ok(true),
        };
        let payload = payload(arrival);
        let ours = [self.points.requests, self.points.server_certificate].map(u64::from);
        if self.settings.is_none() && stream.is_none() && frame != kind::SETTINGS {
            let lax = frame == ours[0] && self.fault(Fault::TakesRequestsBeforeSettings)
                || frame == ours[1] && self.fault(Fault::TakesCertificatesBeforeSettings);
            return if lax { Ok(true) } else { self.error(NO_SETTINGS) };
        }
        if stream.is_some() && frame == kind::SETTINGS {
            let lax = self.fault(Fault::TakesSecondControlStreams);
            return if lax { Ok(true) } else { Err(H3_STREAM_CREATION_ERROR) };
        }
        if self.open_block && frame != kind::CONTINUATION {
            let ignores = self.fault(Fault::IgnoresOpenBlocks);
            return if ignores { Ok(true) } else { self.error(UNEXPECTED) };
        }
        if stream.is_some() && ours.contains(&frame) {
            // Servers begin unidirectional streams with these numbers (RFC 9000, section 2.1).
            let pushed = stream.is_some_and(|id| id % 4 == 3);
            let lax = match frame {
                frame if frame != ours[0] => self.fault(Fault::IgnoresStrayCertificates),
                _ if pushed && self.peer.version == Version::Http3 => {
                    self.fault(Fault::IgnoresPushedRequests)
                }
                _ => self.fault(Fault::IgnoresStrayRequests),
            };
            return if lax { Ok(true) } else { self.error(UNEXPECTED) };
        }
        if frame == ours[1] && flags != 0 && self.fault(Fault::MindsFlags) {
            return self.error(UNEXPECTED);
        }
        if frame == ORIGIN && self.fears(stream, flags, &payload) {
            return self.error(UNEXPECTED);
        }
        self.flags = flags;
        match (stream, frame) {
            (Some(_), kind::HEADERS)
                if self.peer.version == Version::Http2 && flags & FLAG_END_HEADERS == 0 =>
            {
                self.open_block = true;
            }
            (Some(stream), kind::HEADERS) if stream == self.own => {
                let again = self.further && self.authority && !self.fault(Fault::TrustsNobody);
                if again {
                    self.peer.get("further.test", "/").await;
                }
                return Ok(again);
            }
            (None, kind::SETTINGS) => self.take_settings(&payload)?,
            (None, frame) if frame == ours[0] => self.take_requests(&payload).await?,
            (None, frame) if frame == ours[1] && self.fault(Fault::LacksServersDraft) => {
                // Of the client draft is only the type that it shares.
                let shared = self.points.server_certificate == self.points.certificate;
                return if shared { self.error(UNEXPECTED) } else { Ok(true) };
            }
            (None, frame) if frame == ours[1] => self.take_server_certificate(&payload)?,
            (None, frame) if frame > kind::CONTINUATION && self.fault(Fault::FearsTheUnknown) => {
                return self.error(UNEXPECTED);
            }
            (None, frame) if frame > kind::CONTINUATION && frame != ORIGIN => self.unknown += 1,
            (Some(_) | None, _) => {}
        }
        Ok(true)
    }

    /// Whether this ORIGIN is too much for it.
    fn fears(&self, stream: Option<u64>, flags: u8, payload: &[u8]) -> bool {
        match self.fault {
            Fault::FearsOriginOnAStream => stream.is_some(),
            Fault::FearsNonsenseInOrigin => payload.windows(8).any(|piece| piece == b"nonsense"),
            Fault::FearsFlagsOfOrigin(flag) => flags & flag != 0,
            Fault::FearsEmptyOrigin => payload.is_empty(),
            Fault::FearsLongOrigin => payload.len() > 10_000,
            _ => false,
        }
    }

    fn take_settings(&mut self, payload: &[u8]) -> Result<(), u64> {
        let again = self.settings.is_some() && self.peer.version == Version::Http3;
        if again && !self.fault(Fault::TakesSecondSettings) {
            return self.error(UNEXPECTED);
        }
        let (mut client, mut server) = self.settings.unwrap_or_default();
        for (identifier, value) in parse_settings(self.peer.version, payload).unwrap() {
            if identifier == u64::from(self.points.client_cert_auth) {
                let lax = match self.settings {
                    Some(_) => self.fault(Fault::LetsTakeBack),
                    None => self.fault(Fault::LetsTakeBackAtOnce),
                };
                if value < client && !lax {
                    return self.error(UNEXPECTED);
                }
                client = value;
            } else if identifier == u64::from(self.points.server_cert_auth) {
                if self.fault(Fault::LacksServersDraft) {
                    continue;
                }
                let wrong = value > 1 && !self.fault(Fault::LetsServerAnnounceTwo)
                    || value < server && !self.fault(Fault::LetsServerTakeBack);
                if wrong {
                    return self.error(UNEXPECTED);
                }
                server = value;
            } else if self.fault(Fault::FearsUnknownSettings) && identifier > 64 {
                return self.error(UNEXPECTED);
            }
        }
        self.settings = Some((client, server));
        Ok(())
    }

    async fn take_requests(&mut self, payload: &[u8]) -> Result<(), u64> {
        let announced = self.settings.is_some_and(|(client, _)| client > 0);
        if !announced && !self.fault(Fault::AnswersAnybody) {
            let lax = self.fault(Fault::NeedsNoNegotiationToBeAsked);
            return if lax { Ok(()) } else { self.error(UNEXPECTED) };
        }
        if flaw(payload).is_some_and(|flaw| self.fault(Fault::Swallows(flaw))) {
            return Ok(());
        }
        let Some(requests) = Request::parse_list(payload).ok().filter(|_| flaw(payload).is_none())
        else {
            return self.error(MALFORMED);
        };
        if requests.len() as u64 > LIMIT && !self.fault(Fault::IgnoresTheLimit) {
            return self.error(UNEXPECTED);
        }
        self.asked += requests.len();
        if self.asked as u64 > LIMIT && self.fault(Fault::CountsForever) {
            return self.error(UNEXPECTED);
        }
        self.before = self.contexts.len();
        let mut answers = Vec::new();
        for request in &requests {
            let odd = |oddity| self.is(oddity, request, payload[0] >= 0xc0);
            let declines = matches!(self.fault, Fault::Declines(oddity) if odd(oddity))
                || self.fault(Fault::LacksIdentity);
            let minds = matches!(self.fault, Fault::Minds(oddity) if odd(oddity));
            self.examine(request, minds)?;
            answers.push(self.authenticator(request, declines));
        }
        self.send(answers, requests.len()).await;
        let odd = requests.iter().any(|request| self.is(Oddity::Extension, request, false));
        let setting = match self.fault {
            Fault::TakesBack(setting) => Some(setting),
            Fault::TakesBackOnce if odd => Some(self.points.client_cert_auth),
            _ => None,
        };
        if let Some(setting) = setting {
            let payload = settings_payload(self.peer.version, &[(setting.into(), 0)]);
            self.peer.control(kind::SETTINGS, &payload).await;
        }
        Ok(())
    }

    /// Whether the request, or the connection, is like this.
    fn is(&self, oddity: Oddity, request: &Request, wide: bool) -> bool {
        match oddity {
            Oddity::Type13 => request.typ == 13,
            Oddity::Extension => request.extensions.iter().any(|(typ, _)| *typ > 64),
            Oddity::Length => request.bytes.len() > 4096,
            Oddity::EmptyContext => request.context.is_empty(),
            Oddity::LongContext => request.context.len() > 64,
            Oddity::WideLength => wide,
            Oddity::Flags => self.flags != 0,
            Oddity::AfterTheUnknown => self.unknown == 1,
            Oddity::Sha384 => self.peer.secrets.hash() != Hash::Sha256,
            Oddity::Tls12 => self.tls12,
        }
    }

    fn examine(&mut self, request: &Request, minds: bool) -> Result<(), u64> {
        let (before, together) = self.contexts.split_at(self.before);
        let repeated = before.contains(&request.context)
            && !self.fault(Fault::TakesRepeatedContexts)
            || together.contains(&request.context)
                && !self.fault(Fault::TakesContextsTwiceInAFrame);
        self.contexts.push(request.context.clone());
        let mut types: Vec<_> = request.extensions.iter().map(|(typ, _)| *typ).collect();
        types.sort_unstable();
        let twins = types.windows(2).any(|pair| pair[0] == pair[1]);
        let wrong = minds
            || repeated
            || twins && !self.fault(Fault::TakesTwins)
            || request.schemes().is_empty() && !self.fault(Fault::NeedsNoAlgorithms);
        if wrong { self.error(MALFORMED) } else { Ok(()) }
    }

    fn authenticator(&self, request: &Request, declines: bool) -> Vec<u8> {
        let own = self.identity.key.schemes()[0];
        let offered = request.schemes();
        let scheme = offered.contains(&own)
            || self.fault(Fault::UsesAnyScheme)
            || self.fault(Fault::NeedsNoAlgorithms);
        let below = [
            extension::CERTIFICATE_AUTHORITIES,
            extension::OID_FILTERS,
            extension::SIGNATURE_ALGORITHMS_CERT,
        ]
        .into_iter()
        .all(|typ| request.extension(typ).is_none() || self.fault(Fault::IgnoresExtension(typ)));
        if declines || !scheme || !below {
            return decline(&self.peer.secrets, Side::Client, &request.bytes, &request.context);
        }
        // Made for a request that offers what is needed, then over the one that came.
        let fitting = Request::new(17, &request.context, &[Request::algorithms(&[own])]);
        let mut draft = Draft::answer(&fitting, self.identity).unwrap();
        draft.request.clone_from(&request.bytes);
        if self.fault(Fault::AnswersAtLength) {
            let leaf = draft.chain[0].clone();
            draft.chain.extend(std::iter::repeat_n(leaf, 60));
        }
        draft.break_signature = self.fault(Fault::Forges);
        draft.sign(&self.peer.secrets).unwrap()
    }

    async fn send(&mut self, answers: Vec<Vec<u8>>, together: usize) {
        let mut answers = answers;
        match self.fault {
            Fault::AnswersLastFirstOfAFrame if together > 1 => answers.reverse(),
            Fault::AnswersLastFrameFirst if together == 1 => {
                self.held.append(&mut answers);
                if self.held.len() < LIMIT as usize {
                    return;
                }
                answers = std::mem::take(&mut self.held);
                answers.reverse();
            }
            Fault::AnswersTwice => answers.extend(answers.clone()),
            Fault::AnswersTimes(times) if self.answered >= times => return,
            _ => {}
        }
        for answer in answers {
            self.answered += 1;
            if self.fault(Fault::AnswersOnAStream) {
                let stream = self.peer.begin("localhost", "/more").await;
                self.peer.on_stream(stream, self.points.certificate, &answer).await;
            } else {
                self.peer.certificate(&answer).await;
            }
        }
    }

    fn take_server_certificate(&mut self, payload: &[u8]) -> Result<(), u64> {
        let negotiated = self.settings.is_some_and(|(_, server)| server == 1);
        if !negotiated {
            let lax = self.fault(Fault::NeedsNoNegotiationToBeShown);
            return if lax { Ok(()) } else { self.error(UNEXPECTED) };
        }
        let invalid = self.points.server_certificate_invalid.into();
        let skip = match self.fault {
            Fault::Skips(skip) => skip,
            Fault::TakesAnyScheme => &[Check::Scheme, Check::Signature],
            _ => &[],
        };
        let believed = lie(&self.peer.secrets, payload);
        if believed.is_some_and(|lie| self.fault(Fault::Believes(lie))) {
            return Ok(());
        }
        let taken = self.fault(Fault::Takes(shape(payload)));
        let (chain, context, scheme) =
            match check(&self.peer.secrets, Side::Server, None, payload, skip) {
                Ok(Proof::Proven { chain, context, scheme }) => (chain, context, scheme),
                Ok(Proof::Declined) => return if taken { Ok(()) } else { Err(invalid) },
                Err(_) if taken && shape(payload) != Shape::Empty => return Ok(()),
                Err(_) => return Err(invalid),
            };
        let repeated = self.contexts.contains(&context) && !context.is_empty();
        self.contexts.push(context);
        let wrong = self.fault(Fault::RefusesServers)
            || !self.offered.contains(&scheme) && skip.is_empty()
            || self.minds_proof(payload, &chain, scheme)
            || repeated && !self.fault(Fault::TakesRepeatedProofs);
        self.authority |= self.blemish(&chain).is_none_or(|one| self.fault(Fault::Trusts(one)));
        if wrong { Err(invalid) } else { Ok(()) }
    }

    /// Why this chain gives no authority for further.test, if it gives none.
    fn blemish(&self, chain: &[Vec<u8>]) -> Option<Blemish> {
        let (leaf, above) = chain.split_first()?;
        let above: Vec<_> = above.iter().map(|der| der.as_slice().into()).collect();
        let (der, name) = (leaf.as_slice().into(), "further.test".try_into().unwrap());
        let now = UnixTime::now();
        let (_, parsed) = X509Certificate::from_der(leaf).unwrap();
        if self.verifier.verify_server_cert(&der, &above, &name, &[], now).is_ok() {
            let usage = parsed.key_usage().unwrap().unwrap().value;
            return (!usage.digital_signature()).then_some(Blemish::NotForSignatures);
        }
        let names = format!("{:?}", parsed.subject_alternative_name().unwrap().unwrap().value);
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        Some(match parsed.validity() {
            validity if validity.not_after < ASN1Time::now() => Blemish::Expired,
            validity if validity.not_before > ASN1Time::now() => Blemish::Early,
            _ if parsed.issuer().to_string().contains("Nobody") => Blemish::Stranger,
            _ if !names.contains("further.test") => Blemish::OtherName,
            _ if usage.client_auth => Blemish::ForClients,
            _ => Blemish::Namesake,
        })
    }

    /// Whether it complains of what it should not.
    fn minds_proof(&self, payload: &[u8], chain: &[Vec<u8>], scheme: u16) -> bool {
        let blemish = self.blemish(chain);
        match self.fault {
            Fault::ComplainsOf(one) => blemish == Some(one),
            Fault::KnowsP256Only => scheme != 0x0403,
            Fault::ComplainsOfLongChains => chain.len() > 3,
            Fault::ComplainsOfLongProofs => payload.len() > 1 << 14,
            Fault::KnowsSha256Only => self.peer.secrets.hash() != Hash::Sha256,
            _ => false,
        }
    }
}
