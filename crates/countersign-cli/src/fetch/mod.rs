//! `countersign fetch`: requests over one connection, in order, with the certificates that are asked for.

mod args;
mod output;
mod report;
mod request;
mod resolver;
mod write_out;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::client::{
    AuthConfig, AuthorityRules, ClientCredential, ClientHandle, NotAuthoritative, Origin,
};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use rustls::sign::CertifiedKey;

pub(crate) use self::args::Args;
use self::output::Destination;
use self::report::{Reporter, head_lines};
use self::request::{Plan, Target};
use self::resolver::Identities;
use self::write_out::Stats;
use crate::client::{
    Connection, Dialer, NotSent, Overrides, Protocol, ResponseBody, Tls, TransferError, Trust,
};
use crate::complain;
use crate::failure::{Exit, Failure};
use crate::identity::{IdentityArg, read_roots};

/// How long a server that has announced further certificates gets to show one, before another
/// connection is opened.
const SHOW_PATIENCE: Duration = Duration::from_millis(250);
/// How long `--present` waits for the server to leave a challenge.
const POOL_PATIENCE: Duration = Duration::from_secs(10);

/// Fetches all URLs. The exit code is that of the first failure; all failures have been told.
pub(crate) async fn run(args: Args) -> u8 {
    let quiet = args.silent && !args.show_error;
    let tell = |failure: &Failure| {
        if !quiet {
            complain(failure);
        }
    };
    let mut session = match Session::new(args) {
        Ok(session) => session,
        Err(failure) => {
            tell(&failure);
            return failure.exit as u8;
        }
    };
    let mut exit = 0;
    for (index, url) in session.args.urls.clone().iter().enumerate() {
        if let Err(failure) = session.fetch(index, url).await {
            tell(&failure);
            session.reporter.failed(url, &failure);
            if exit == 0 {
                exit = failure.exit as u8;
            }
        }
    }
    session.close().await;
    exit
}

/// One command: what it was told, and the connections it has open.
struct Session {
    args: Args,
    plan: Plan,
    reporter: Reporter,
    identities: Arc<Identities>,
    present: Vec<Arc<ClientCredential>>,
    dialer: Dialer,
    /// By the origin that each was opened for.
    open: HashMap<Origin, Connection>,
    /// Which origin's connection another one uses.
    shared: HashMap<Origin, Origin>,
}

impl Session {
    fn new(args: Args) -> Result<Self, Failure> {
        let reporter = Reporter { json: args.json, verbose: args.verbose };
        let plan = Plan::new(&args)?;
        let points = args.code_points.code_points()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let passphrase = args.pass.as_deref().unwrap_or_default();
        let load = |args: &[IdentityArg]| {
            args.iter().map(|arg| arg.load(passphrase, &provider)).collect::<Result<Vec<_>, _>>()
        };
        let (credentials, certified_keys): (Vec<_>, Vec<_>) = load(&args.identity)?
            .into_iter()
            .map(|identity| (Arc::new(identity.credential), identity.certified_key))
            .unzip();
        let present: Vec<_> =
            load(&args.present)?.into_iter().map(|one| Arc::new(one.credential)).collect();

        let trust = match &args.cacert {
            _ if args.insecure => Trust::Anybody,
            Some(path) => Trust::Roots(read_roots(path)?),
            None => Trust::System,
        };
        let verifier = trust.verifier(&provider)?;
        let tls = Tls {
            provider: Arc::clone(&provider),
            verifier: Arc::clone(&verifier),
            protocols: if args.http3 {
                vec![Protocol::Http3]
            } else if args.http1_1 {
                vec![Protocol::Http1]
            } else {
                vec![Protocol::Http2, Protocol::Http1]
            },
            // Over a later HTTP the server asks when it needs to know, so the handshake shows nothing.
            in_handshake: if args.http1_1 { handshake_keys(certified_keys)? } else { Vec::new() },
        };

        let limit = match args.limit {
            _ if args.no_auth => 0,
            Some(limit) => limit,
            None => u32::try_from(credentials.len()).unwrap_or(u32::MAX).max(1),
        };
        let origins = args.urls.iter().filter_map(|url| Target::parse(url).ok());
        let origins = origins.map(|target| target.origin).collect();
        // What is presented unasked may as well be asked for.
        let shown = credentials.iter().chain(&present).map(Arc::clone).collect();
        let identities = Arc::new(Identities::new(origins, shown, !present.is_empty()));
        let overrides =
            Overrides { resolve: args.resolve.clone(), connect_to: args.connect_to.clone() };
        let mut auth = AuthConfig::builder(provider)
            .resolver(Arc::<Identities>::clone(&identities))
            .observer(Arc::new(reporter))
            .limit(limit)
            .code_points(points);
        if let Some(dns) = args.coalesce.dns_rule() {
            let rules =
                AuthorityRules::new(verifier).dns(dns).resolver(Arc::new(overrides.clone()));
            auth = auth.authority(rules);
        }
        let auth = auth.build().map_err(|error| Failure::new(Exit::Usage, error))?;
        let dialer = Dialer::new(tls, auth, overrides, points)?;
        let (open, shared) = (HashMap::new(), HashMap::new());
        Ok(Self { args, plan, reporter, identities, present, dialer, open, shared })
    }

    /// Fetches one URL, with `--max-time` and `--write-out` around it.
    async fn fetch(&mut self, index: usize, url: &str) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut stats = Stats { url: url.to_owned(), ..Stats::default() };
        let max_time = self.args.max_time;
        let transfer = Box::pin(self.transfer(index, url, begin, &mut stats));
        let done = match max_time {
            None => transfer.await,
            Some(limit) => tokio::time::timeout(limit, transfer).await.unwrap_or_else(|_| {
                let message = format!("{url}: not done after {} seconds", limit.as_secs_f64());
                Err(Failure::new(Exit::Timeout, message))
            }),
        };
        stats.time_total = begin.elapsed();
        if let Err(failure) = &done {
            stats.exit_code = failure.exit as u8;
            stats.error = failure.to_string();
        }
        if let Some(format) = &self.args.write_out {
            let mut out = std::io::stdout().lock();
            // Whoever closed standard output does not want to know any more.
            let _ = out.write_all(stats.fill(format).as_bytes()).and_then(|()| out.flush());
        }
        done
    }

    async fn transfer(
        &mut self,
        index: usize,
        url: &str,
        begin: Instant,
        stats: &mut Stats,
    ) -> Result<(), Failure> {
        let target = Target::parse(url)?;
        let destination = Destination::of(&self.args, index, &target)?;
        let response = self.ask(&target, stats).await?;
        stats.time_starttransfer = begin.elapsed();
        let status = response.status().as_u16();
        stats.status = status;
        let line = self.line(&target.origin).clone();
        if let Some(connection) = self.open.get(&line) {
            stats.http_version = connection.facts.protocol.number();
        }
        stats.num_headers = response.headers().len();
        let content_type = response.headers().get(http::header::CONTENT_TYPE);
        stats.content_type =
            content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        self.reporter.response_head(&response);

        let failed = self.args.fail && status >= 400;
        match self.receive(&target, response, &destination, failed, stats).await {
            Ok(()) if failed => Err(Failure::new(
                Exit::HttpStatus,
                format!("{url}: the server answered with status {status}"),
            )),
            Ok(()) => Ok(()),
            Err(Cut::Failure(failure)) => Err(failure),
            Err(Cut::Connection(error)) => Err(match self.open.get_mut(&line) {
                Some(connection) => {
                    let failure = connection.explain(&error).await;
                    self.close_if_over(&line).await;
                    failure
                }
                None => {
                    Failure::new(Exit::Receive, "the connection was closed within the response")
                }
            }),
        }
    }

    /// Sends the request and waits for the head of its response.
    async fn ask(
        &mut self,
        target: &Target,
        stats: &mut Stats,
    ) -> Result<Response<ResponseBody>, Failure> {
        loop {
            let opened = self.ensure_open(&target.origin, stats).await?;
            let line = self.line(&target.origin).clone();
            let Some(connection) = self.open.get_mut(&line) else {
                return Err(Failure::new(Exit::Connect, "the connection was closed at once"));
            };
            let protocol = connection.facts.protocol;
            let request = self.plan.request(target, protocol)?;
            stats.method = request.method().to_string();
            stats.remote = Some(connection.facts.remote);
            self.reporter.request(&request, protocol);
            match connection.send(request).await {
                Ok(response)
                    //= specs/server-certs.md#decisions
                    //# (ours) A request answered with status 421 on another origin's connection MUST be
                    //# sent again on a fresh one, unless its body cannot be repeated.
                    if response.status() == StatusCode::MISDIRECTED_REQUEST
                        && line != target.origin =>
                {
                    connection.handle.misdirected(&target.origin);
                    self.reporter.misdirected(&target.origin, &line);
                    self.shared.remove(&target.origin);
                }
                Ok(response) => {
                    //= specs/server-certs.md#decisions
                    //# (ours) Status 421 MUST take the request's origin from the connection, with an
                    //# Origin Set and without.
                    if response.status() == StatusCode::MISDIRECTED_REQUEST {
                        connection.handle.misdirected(&target.origin);
                    }
                    return Ok(response);
                }
                // An old connection may have been closed while it was idle; a new one may not.
                Err(NotSent::Closed(_)) if !opened => self.close_one(&line).await,
                Err(NotSent::Closed(failure) | NotSent::Failed(failure)) => {
                    self.close_if_over(&line).await;
                    return Err(failure);
                }
            }
        }
    }

    /// The origin whose connection `origin` uses.
    //= specs/server-certs.md#origin-http2
    //# A client SHOULD send all requests for an origin in the Origin Set over the connection that
    //# is authoritative for it, unless its operation calls for a new one.
    fn line<'a>(&'a self, origin: &'a Origin) -> &'a Origin {
        self.shared.get(origin).unwrap_or(origin)
    }

    /// Sees to it that there is a connection for `origin`; whether it was opened just now.
    //= specs/server-certs.md#section-6.2
    //# A client that finds a server's certificate unacceptable SHOULD try a new connection to reach
    //# a server with authority.
    async fn ensure_open(&mut self, origin: &Origin, stats: &mut Stats) -> Result<bool, Failure> {
        self.close_if_over(&self.line(origin).clone()).await;
        self.close_if_disowned(origin).await;
        if self.open.contains_key(origin) || self.share(origin).await {
            return Ok(false);
        }
        self.identities.connection_begins(origin);
        let reporter = self.reporter;
        let connection =
            self.dialer.connect(origin, |facts| reporter.connected(origin, facts)).await?;
        stats.num_connects += 1;
        stats.time_connect = connection.facts.tcp_time;
        stats.time_appconnect = connection.facts.tls_time;
        let handle = connection.handle.clone();
        self.open.insert(origin.clone(), connection);
        if !self.present.is_empty() {
            self.present_all(origin, &handle).await.map_err(|reason| {
                Failure::new(Exit::LocalCertificate, format!("--present did not work: {reason}"))
            })?;
        }
        Ok(true)
    }

    /// Looks for an open connection whose server has shown a certificate for `origin`.
    async fn share(&mut self, origin: &Origin) -> bool {
        let before = self.shared.remove(origin);
        for (with, connection) in &self.open {
            let handle = &connection.handle;
            if tokio::time::timeout(SHOW_PATIENCE, handle.becomes_authoritative_for(origin))
                .await
                .is_ok_and(|verdict| verdict.is_ok())
            {
                let with = with.clone();
                if before.as_ref() != Some(&with) {
                    self.reporter.shared(origin, &with);
                }
                self.shared.insert(origin.clone(), with);
                return true;
            }
        }
        false
    }

    /// Presents what `--present` names, unasked; the error is the end of a sentence.
    async fn present_all(&self, origin: &Origin, handle: &ClientHandle) -> Result<(), String> {
        let supported = match handle.peer_settings().await {
            Some(settings) => settings.client_cert_auth.is_some_and(|value| value > 0),
            None => false,
        };
        if !supported {
            return Err(format!("{origin} cannot take certificates after the handshake"));
        }
        let presenting = async {
            self.identities.pool_filled().await;
            for credential in &self.present {
                let presented = handle.present(Arc::clone(credential)).await;
                presented.map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        tokio::time::timeout(POOL_PATIENCE, presenting).await.unwrap_or_else(|_| {
            let seconds = POOL_PATIENCE.as_secs();
            Err(format!(
                "within {seconds} seconds {origin} has left no challenge that it could answer"
            ))
        })
    }

    /// Takes in the body and puts everything where it belongs.
    async fn receive(
        &self,
        target: &Target,
        response: Response<ResponseBody>,
        destination: &Destination,
        failed: bool,
        stats: &mut Stats,
    ) -> Result<(), Cut> {
        let head = (self.args.include || self.args.head) && !self.args.json;
        let head = head.then(|| head_lines(&response).join("\r\n") + "\r\n\r\n");
        let (parts, mut body) = response.into_parts();
        // With --fail a page that says what went wrong is read, but shown to nobody.
        let mut sink = if failed { None } else { Some(destination.open()?) };
        if let (Some(sink), Some(head)) = (&mut sink, head) {
            sink.write(head.as_bytes())?;
        }
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(Cut::Connection)?.into_data() else {
                continue;
            };
            stats.size_download += data.len() as u64;
            if let Some(sink) = &mut sink {
                sink.write(&data)?;
            }
            if self.args.json {
                kept.extend_from_slice(&data);
            }
        }
        self.reporter.response(&target.url, stats.status, &parts.headers, kept);
        Ok(())
    }

    /// Closes the connection to `origin` if it carries no more requests.
    async fn close_if_over(&mut self, origin: &Origin) {
        if let Some(connection) = self.open.get_mut(origin)
            && !connection.is_ready().await
        {
            self.close_one(origin).await;
        }
    }

    /// The origin's own connection is none if its server has said so, by 421 or ORIGIN.
    async fn close_if_disowned(&mut self, origin: &Origin) {
        let Some(connection) = self.open.get(origin) else { return };
        let verdict = connection.handle.is_authoritative_for(origin).await;
        if let Err(NotAuthoritative::Misdirected | NotAuthoritative::NotInOriginSet) = verdict {
            self.close_one(origin).await;
        }
    }

    async fn close_one(&mut self, origin: &Origin) {
        self.shared.retain(|_, with| with != origin);
        if let Some(connection) = self.open.remove(origin) {
            // Over QUIC a response may overtake the SETTINGS, which are to be told.
            let settings = connection.handle.peer_settings();
            let _late = tokio::time::timeout(SHOW_PATIENCE, settings).await;
            let ended = connection.close().await;
            self.reporter.closed(origin, &ended);
        }
    }

    async fn close(mut self) {
        let origins: Vec<_> = self.open.keys().cloned().collect();
        for origin in origins {
            self.close_one(&origin).await;
        }
    }
}

/// All keys, if all of them can be used in the TLS handshake.
fn handshake_keys(keys: Vec<Option<Arc<CertifiedKey>>>) -> Result<Vec<Arc<CertifiedKey>>, Failure> {
    keys.into_iter().collect::<Option<_>>().ok_or_else(|| {
        Failure::new(
            Exit::LocalCertificate,
            "--identity: a key in a PKCS#11 token cannot be shown in the TLS handshake, and \
             HTTP/1.1 has no other place for it; leave out --http1.1 or name a file",
        )
    })
}

/// Why a body ended too early.
enum Cut {
    Connection(TransferError),
    Failure(Failure),
}

impl From<Failure> for Cut {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}
