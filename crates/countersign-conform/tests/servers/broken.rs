//! A little server that does everything right, but for one fault.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use countersign_conform::authenticator::{
    Draft, Hash, Proof, Request, SCHEMES, Side, check, extension, message,
};
use countersign_conform::code_points::{
    Code, H3_CLOSED_CRITICAL_STREAM, H3_MISSING_SETTINGS, H3_STREAM_CREATION_ERROR, MALFORMED,
    TOO_LONG, UNEXPECTED,
};
use countersign_conform::identity::Identity;
use countersign_conform::raw::{
    Arrival, Event, FLAG_END_HEADERS, Listener, Peer, fields, kind, parse_settings,
    settings_payload,
};
use countersign_conform::tls::Suites;
use countersign_conform::{CodePoints, Version};

use crate::faults::Fault;
use crate::lenient::overlooks;
use crate::trust::{Kind, Trust};
use crate::world::{World, provider};

/// What all connections share.
struct Shared {
    fault: Fault,
    points: CodePoints,
    further: Identity,
    trust: Trust,
    contexts: AtomicU64,
    proven: std::sync::Mutex<HashSet<Kind>>,
    dead: AtomicBool,
}

/// Starts one that serves until the test's runtime ends.
pub(crate) async fn start(world: &World, version: Version, fault: Fault) -> SocketAddr {
    let points = CodePoints::default();
    let own = (world.pki.server.chain.clone(), world.pki.server.key.clone_key());
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let forever = Duration::from_secs(60);
    let suites = match fault {
        Fault::SpeaksTls12 | Fault::SpeaksTls12InVain | Fault::SpeaksTls12OfSha256 => {
            Suites::BothVersions
        }
        _ => Suites::Any,
    };
    let listener = Listener::bind(local, version, own, suites, points, forever).await.unwrap();
    let address = listener.address();
    let shared = Arc::new(Shared {
        fault,
        points,
        further: Identity::issued(&world.further).unwrap(),
        trust: Trust::new(world, fault),
        contexts: AtomicU64::new(0),
        proven: std::sync::Mutex::default(),
        dead: AtomicBool::new(false),
    });
    tokio::spawn(async move {
        while let Ok(arriving) = listener.accept().await {
            if shared.dead.load(Ordering::SeqCst) {
                return;
            }
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                if let Ok(peer) = arriving.handshake().await {
                    Connection::new(peer, shared).serve().await;
                }
            });
        }
    });
    address
}

/// So many may decline and are asked again.
const PATIENT: usize = 100;

/// How long answers are waited for.
const DEADLINE: Duration = Duration::from_secs(5);

struct Connection {
    peer: Peer,
    shared: Arc<Shared>,
    settings: bool,
    limit: u64,
    server_certificates: u64,
    outstanding: VecDeque<(Request, Kind)>,
    asked: usize,
    waiting: Vec<(u64, Kind)>,
    identities: HashSet<Kind>,
    seen: Vec<Vec<u8>>,
    open_block: bool,
    resets: usize,
    declined: usize,
    /// Header sections whose streams are open, where that matters.
    open: Vec<(u64, Vec<u8>)>,
}

impl Connection {
    fn new(peer: Peer, shared: Arc<Shared>) -> Self {
        let identities = match shared.fault {
            Fault::RemembersForAll => shared.proven.lock().unwrap().clone(),
            Fault::RemembersByTicket if peer.resumed == Some(true) => {
                shared.proven.lock().unwrap().clone()
            }
            _ => HashSet::new(),
        };
        Self {
            peer,
            shared,
            settings: false,
            limit: 0,
            server_certificates: 0,
            outstanding: VecDeque::new(),
            asked: 0,
            waiting: Vec::new(),
            identities,
            seen: Vec::new(),
            open_block: false,
            resets: 0,
            declined: 0,
            open: Vec::new(),
        }
    }

    fn fault(&self, fault: Fault) -> bool {
        self.shared.fault == fault
    }

    async fn serve(mut self) {
        let points = self.shared.points;
        let client = if self.fault(Fault::AnnouncesTwo) { 2 } else { 1 };
        let server = if self.fault(Fault::AnnouncesServerTwo) { 2 } else { 1 };
        let mut settings = vec![(points.client_cert_auth.into(), client)];
        if !self.fault(Fault::AnnouncesNoOffers) && !self.fault(Fault::OffersUnannounced) {
            settings.push((points.server_cert_auth.into(), server));
        }
        self.peer.announce(&settings).await;
        if self.fault(Fault::AsksBeforeSettings) {
            let list = Request::encode_list(&[self.request(Kind::User)]);
            self.peer.control(points.requests, &list).await;
        }
        if !self.fault(Fault::WaitsWithoutEnd) {
            self.peer.be_patient(DEADLINE);
        }
        loop {
            let arrival = match self.peer.event(|_| true).await {
                Event::Arrived(arrival) => arrival,
                Event::Silence if !self.waiting.is_empty() => {
                    self.answer_all(408).await;
                    continue;
                }
                Event::Silence => continue,
                Event::Closed(_) => break,
            };
            if let Err(code) = self.take(arrival).await {
                if self.fault(Fault::EndsWithoutAWord) {
                    return;
                }
                let other = Code { h2: 0x2, h3: 0x102 }.of(self.peer.version);
                let code = if self.fault(Fault::EndsWithAnotherCode) { other } else { code };
                self.peer.close(code, "no").await;
                // Lingers, so that the error is read.
                self.peer.be_patient(Duration::from_secs(5));
                self.peer.event(|_| false).await;
                return;
            }
        }
        if self.fault(Fault::DiesOfAbsence) && !self.outstanding.is_empty() {
            self.shared.dead.store(true, Ordering::SeqCst);
        }
    }

    fn error(&self, code: Code) -> Result<(), u64> {
        Err(code.of(self.peer.version))
    }

    async fn take(&mut self, arrival: Arrival) -> Result<(), u64> {
        match arrival {
            Arrival::Frame { stream: None, kind, flags, payload } => {
                self.unless_block_is_open(kind)?;
                self.control(kind, flags, &payload).await
            }
            Arrival::Frame { stream: Some(stream), kind, flags, payload } => {
                self.unless_block_is_open(kind)?;
                self.on_stream(stream, kind, flags, &payload).await
            }
            Arrival::Oversized if self.fault(Fault::AwaitsAnyLength) => Ok(()),
            Arrival::Oversized => self.error(TOO_LONG),
            Arrival::ControlEnded if self.fault(Fault::NeedsNoControlStream) => Ok(()),
            Arrival::ControlEnded => Err(H3_CLOSED_CRITICAL_STREAM),
            Arrival::StreamEnded(stream) => {
                self.ended(stream).await;
                Ok(())
            }
            Arrival::Closed(_) => Ok(()),
        }
    }

    fn unless_block_is_open(&self, kind: u64) -> Result<(), u64> {
        let wrong = self.open_block && kind != kind::CONTINUATION;
        if wrong && !self.fault(Fault::IgnoresOpenBlocks) { self.error(UNEXPECTED) } else { Ok(()) }
    }

    async fn control(&mut self, frame: u64, flags: u8, payload: &[u8]) -> Result<(), u64> {
        let points = self.shared.points;
        if frame == kind::SETTINGS {
            return self.take_settings(payload).await;
        }
        let lax = self.peer.version == Version::Http2 && self.fault(Fault::IgnoresUnsolicited);
        if !self.settings && !lax && !self.fault(Fault::NeedsNoSettings) {
            return match self.peer.version {
                Version::Http2 => self.error(UNEXPECTED),
                Version::Http3 => Err(H3_MISSING_SETTINGS),
            };
        }
        if frame == u64::from(points.requests) {
            return if self.fault(Fault::IgnoresRequests) {
                Ok(())
            } else {
                self.error(UNEXPECTED)
            };
        }
        if frame == u64::from(points.certificate) {
            let form = self.peer.form(frame).unwrap_or_default();
            let minds = match self.shared.fault {
                Fault::MindsFlags => flags != 0,
                Fault::MindsTheReservedBit => form.reserved,
                Fault::NeedsWholeFrames => form.reads > 1,
                Fault::NeedsShortIntegers => form.wide,
                Fault::EndsOnGoodbye => self.peer.form(kind::GOAWAY).is_some(),
                _ => false,
            };
            if minds {
                return self.error(UNEXPECTED);
            }
            return self.take_certificate(payload).await;
        }
        let known = frame <= kind::CONTINUATION || !self.fault(Fault::FearsTheUnknown);
        if known { Ok(()) } else { self.error(UNEXPECTED) }
    }

    async fn take_settings(&mut self, payload: &[u8]) -> Result<(), u64> {
        let first = !std::mem::replace(&mut self.settings, true);
        if !first && self.peer.version == Version::Http3 && !self.fault(Fault::TakesSecondSettings)
        {
            return self.error(UNEXPECTED);
        }
        let points = self.shared.points;
        if !first && self.fault(Fault::HeedsFirstSettingsOnly) {
            return Ok(());
        }
        let settings = parse_settings(self.peer.version, payload).unwrap();
        if settings.len() > 1000 && self.fault(Fault::FearsManySettings) {
            return self.error(UNEXPECTED);
        }
        for (identifier, value) in settings {
            if identifier == u64::from(points.client_cert_auth) {
                if value == 0 && self.limit > 0 && !self.fault(Fault::LetsTakeBack) {
                    return self.error(UNEXPECTED);
                }
                let value = match self.shared.fault {
                    Fault::TakesLimitOf32Bits => value & 0xffff_ffff,
                    _ => value,
                };
                let signed = self.fault(Fault::TakesLimitAsSigned) && value > i32::MAX as u64;
                self.limit = if signed { 0 } else { value };
            } else if identifier == u64::from(points.server_cert_auth) {
                let wrong = value > 1 || value < self.server_certificates;
                if wrong && !self.fault(Fault::LetsServerSettingBeAnything) {
                    return self.error(UNEXPECTED);
                }
                self.server_certificates = value;
            } else if identifier > 0xff && self.fault(Fault::FearsUnknownSettings) {
                return self.error(UNEXPECTED);
            }
        }
        let ready = [Fault::KeepsReady, Fault::KeepsReadyInVain, Fault::KeepsReadyOnce];
        let ready = ready.contains(&self.shared.fault);
        if first && ready && self.limit > 0 {
            let request = self.request(Kind::User);
            let list = Request::encode_list(std::slice::from_ref(&request));
            self.peer.control(points.requests, &list).await;
            self.outstanding.push_back((request, Kind::User));
        }
        let both = self.server_certificates == 1 && !self.fault(Fault::AnnouncesNoOffers);
        if first && (both || self.fault(Fault::OffersToAnybody)) {
            self.offer().await;
        }
        Ok(())
    }

    fn context(&self) -> Vec<u8> {
        match self.shared.fault {
            Fault::CountsContexts => {
                let number = self.shared.contexts.fetch_add(1, Ordering::SeqCst);
                [&[0; 24][..], &number.to_be_bytes()].concat()
            }
            Fault::RepeatsContexts | Fault::OffersUnderOneContext => vec![0x5a; 32],
            _ => {
                let mut context = vec![0; 32];
                provider().secure_random.fill(&mut context).unwrap();
                context
            }
        }
    }

    async fn offer(&mut self) {
        let mut draft = Draft::spontaneous(&self.context(), &self.shared.further);
        if !self.peer.offered.contains(&draft.scheme) && !self.fault(Fault::OffersWithAnyScheme) {
            return;
        }
        draft.break_signature = self.fault(Fault::OffersForged);
        let authenticator = draft.sign(&self.peer.secrets).unwrap();
        self.peer.control(self.shared.points.server_certificate, &authenticator).await;
    }

    async fn on_stream(
        &mut self,
        stream: u64,
        frame: u64,
        flags: u8,
        payload: &[u8],
    ) -> Result<(), u64> {
        let points = self.shared.points;
        // A client's unidirectional stream, and neither its control stream nor one of QPACK's (RFC 9000, section 2.1).
        if self.peer.version == Version::Http3 && stream % 4 == 2 {
            let takes = self.fault(Fault::TakesAnyStream);
            return if takes { Ok(()) } else { Err(H3_STREAM_CREATION_ERROR) };
        }
        if frame == u64::from(points.requests) || frame == u64::from(points.certificate) {
            return if self.fault(Fault::IgnoresStrays) { Ok(()) } else { self.error(UNEXPECTED) };
        }
        if frame == kind::RST_STREAM {
            self.resets += 1;
            if self.resets > 1000 && self.fault(Fault::DiesOfResets) {
                self.shared.dead.store(true, Ordering::SeqCst);
            }
            self.waiting.retain(|(waiting, _)| *waiting != stream);
            if self.fault(Fault::ForgetsWhoCancels) {
                self.outstanding.clear();
            }
        }
        if frame != kind::HEADERS {
            return Ok(());
        }
        if self.peer.version == Version::Http2 && flags & FLAG_END_HEADERS == 0 {
            self.open_block = true;
            return Ok(());
        }
        if self.fault(Fault::AsksAtTheEnd) {
            self.open.push((stream, payload.to_vec()));
        } else {
            self.take_request(stream, payload).await;
        }
        Ok(())
    }

    async fn ended(&mut self, stream: u64) {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == stream) {
            let (_, payload) = self.open.remove(at);
            self.take_request(stream, &payload).await;
        }
    }

    async fn take_request(&mut self, stream: u64, payload: &[u8]) {
        let kind = match fields::path(self.peer.version, payload).as_deref() {
            Some("/user") => Kind::User,
            Some("/device") => Kind::Device,
            Some("/public") if self.fault(Fault::AsksForThePublic) => Kind::User,
            Some(_) | None => {
                self.peer.respond(stream, 200).await;
                return;
            }
        };
        let held = self.identities.contains(&kind) && !self.fault(Fault::ForgetsIdentities);
        if held {
            self.peer.respond(stream, 200).await;
        } else if self.limit == 0 && !self.fault(Fault::AsksAnybody) {
            self.peer.respond(stream, 403).await;
        } else {
            self.waiting.push((stream, kind));
            self.ask().await;
        }
    }

    /// Asks for what is waited for, as long as there is room.
    async fn ask(&mut self) {
        for at in 0..self.waiting.len() {
            let (_, kind) = self.waiting[at];
            let outstanding = self.outstanding.len() as u64;
            let under_way = self.outstanding.iter().any(|(_, asked)| *asked == kind);
            let may = match self.shared.fault {
                Fault::IgnoresTheLimit => !under_way,
                Fault::LimitsToOneMore if self.limit > 1 => outstanding <= self.limit,
                _ => !under_way && outstanding < self.limit.max(1),
            };
            if !may {
                continue;
            }
            let gives_up = self.fault(Fault::AsksOnce) && self.asked > 0
                || self.fault(Fault::KeepsReadyOnce) && self.declined > 0
                || self.fault(Fault::GivesUp) && self.declined > 2
                || self.declined > PATIENT && !self.fault(Fault::NeverGivesUp);
            if gives_up {
                self.answer_waiting(kind, 403).await;
                return;
            }
            self.asked += 1;
            let request = self.request(kind);
            let all = std::slice::from_ref(&request);
            let requests = if self.fault(Fault::AsksEmpty) { &[] } else { all };
            let payload = Request::encode_list(requests);
            let typ = self.shared.points.requests;
            if self.fault(Fault::AsksOnAStream) {
                self.peer.on_stream(self.waiting[at].0, typ, &payload).await;
            } else {
                self.peer.control(typ, &payload).await;
            }
            self.outstanding.push_back((request, kind));
        }
    }

    fn request(&self, kind: Kind) -> Request {
        let mut schemes: Vec<u16> =
            SCHEMES.iter().filter(|scheme| scheme.allowed).map(|scheme| scheme.number).collect();
        let mut extensions = Vec::new();
        match self.shared.fault {
            Fault::AsksWithoutSchemes => schemes.clear(),
            Fault::OffersPkcs1 => schemes.push(0x0401),
            Fault::LacksEd25519 | Fault::SkipsOfFew(_) => {
                schemes.retain(|scheme| *scheme != 0x0807)
            }
            Fault::AsksWithOddExtension => extensions.push((51, vec![0, 0])),
            Fault::AsksWithServerName => extensions.push((extension::SERVER_NAME, vec![0, 0])),
            _ => {}
        }
        extensions.push(Request::algorithms(&schemes));
        extensions.push((extension::STATUS_REQUEST, vec![1, 0, 0, 0, 0]));
        let name = self.shared.trust.name(kind);
        let names = [&(name.len() as u16).to_be_bytes()[..], &name].concat();
        let list = [&(names.len() as u16).to_be_bytes()[..], &names].concat();
        extensions.push((extension::CERTIFICATE_AUTHORITIES, list));
        Request::new(message::CLIENT_CERTIFICATE_REQUEST, &self.context(), &extensions)
    }

    async fn answer_waiting(&mut self, kind: Kind, status: u16) {
        let (answered, waiting) =
            self.waiting.drain(..).partition::<Vec<_>, _>(|(_, waits_for)| *waits_for == kind);
        self.waiting = waiting;
        for (stream, _) in answered {
            self.peer.respond(stream, status).await;
        }
    }

    /// Dies of many frames that it did not ask for.
    async fn drowns(&mut self) {
        if !self.fault(Fault::DiesOfFloods) {
            return;
        }
        let certificate = u64::from(self.shared.points.certificate);
        let another = |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind, .. } if *kind == certificate);
        for _ in 0..1000 {
            if !matches!(self.peer.event(another).await, Event::Arrived(_)) {
                return;
            }
        }
        self.shared.dead.store(true, Ordering::SeqCst);
    }

    async fn answer_all(&mut self, status: u16) {
        self.answer_waiting(Kind::User, status).await;
        self.answer_waiting(Kind::Device, status).await;
    }

    async fn take_certificate(&mut self, payload: &[u8]) -> Result<(), u64> {
        if self.fault(Fault::RefusesLongFrames) && payload.len() > 1 << 14 {
            return self.error(TOO_LONG);
        }
        let replay = self.fault(Fault::TakesReplays) && self.seen.iter().any(|one| one == payload);
        let next = match self.shared.fault {
            Fault::ExpectsTheLastFirst => self.outstanding.pop_back(),
            Fault::TakesAnyOrder => {
                let fits = |(request, _): &(Request, Kind)| {
                    let side = Side::Client;
                    check(&self.peer.secrets, side, Some(request), payload, &[]).is_ok()
                };
                let at = self.outstanding.iter().position(fits);
                self.outstanding.remove(at.unwrap_or_default())
            }
            _ => self.outstanding.pop_front(),
        };
        let Some((request, kind)) = next else {
            self.drowns().await;
            let ignores = self.fault(Fault::IgnoresUnsolicited);
            return if ignores { Ok(()) } else { self.error(UNEXPECTED) };
        };
        self.seen.push(payload.to_vec());
        if replay {
            self.answer_waiting(kind, 200).await;
            return Ok(());
        }
        let skip = match self.shared.fault {
            Fault::Skips(skip) | Fault::SkipsOfFew(skip) => skip,
            _ => &[],
        };
        let hash = self.peer.secrets.hash();
        let sha256_only =
            self.fault(Fault::KnowsSha256Only) || self.fault(Fault::SpeaksTls12OfSha256);
        let mut proof = check(&self.peer.secrets, Side::Client, Some(&request), payload, skip);
        if let Fault::Overlooks(wrong) = self.shared.fault
            && proof.is_err()
            && overlooks(
                wrong,
                &self.peer.secrets,
                &request,
                self.outstanding.front().map(|(next, _)| next),
                payload,
            )
        {
            proof = Ok(Proof::Proven { chain: Vec::new(), scheme: 0, context: Vec::new() });
        }
        let status = match proof {
            Err(_) => return self.error(MALFORMED),
            Ok(_) if sha256_only && hash != Hash::Sha256 => {
                return self.error(MALFORMED);
            }
            Ok(Proof::Declined) if self.fault(Fault::EndsOnDecline) => {
                return self.error(MALFORMED);
            }
            Ok(Proof::Declined) => {
                self.declined += 1;
                403
            }
            Ok(Proof::Proven { chain, scheme, .. }) => self.judge(kind, &chain, scheme)?,
        };
        if status == 200 && self.fault(Fault::TakesItselfBack) {
            let points = self.shared.points;
            let settings =
                [(points.client_cert_auth.into(), 0), (points.server_cert_auth.into(), 0)];
            let payload = settings_payload(self.peer.version, &settings);
            self.peer.control(kind::SETTINGS, &payload).await;
        }
        if status == 200 {
            self.identities.insert(kind);
            self.shared.proven.lock().unwrap().insert(kind);
        }
        self.answer_waiting(kind, status).await;
        self.ask().await;
        Ok(())
    }

    fn judge(&self, kind: Kind, chain: &[Vec<u8>], scheme: u16) -> Result<u16, u64> {
        let refused = self.fault(Fault::RefusesEverybody)
            || self.fault(Fault::KeepsReadyInVain)
            || self.fault(Fault::SpeaksTls12InVain)
            || self.fault(Fault::RefusesTheResumed) && self.peer.resumed == Some(true)
            || self.fault(Fault::RefusesScheme(scheme))
            || self.fault(Fault::RefusesLongChains) && chain.len() > 2;
        if refused {
            return Ok(403);
        }
        match self.shared.trust.accepts(kind, chain) {
            true => Ok(200),
            false if self.fault(Fault::EndsOnStranger) => Err(MALFORMED.of(self.peer.version)),
            false => Ok(403),
        }
    }
}
