//! The gateway's configuration: a TOML file, checked as a whole before anything of it is used.
//!
//! Every mistake is reported with its file, line and column and with what would be right. Unknown
//! keys are mistakes: a misspelt `require` must not leave a door open.

mod audit;
mod credentials;
mod diagnostic;
mod files;
mod input;
mod keys;
mod limits;
mod protocol;
mod routes;
mod schema;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod upstreams;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::VerifiedChains;
use rustls::crypto::CryptoProvider;
use toml::de::DeTable;

use self::diagnostic::Source;
pub use self::diagnostic::{ConfigError, Diagnostic};
pub(crate) use self::input::Input;
use self::keys::{Key, Keys, Kind};
pub(crate) use self::protocol::Protocol;
pub use self::schema::schema;
use self::table::{At, Table};
use crate::audit::Destination;
use crate::certificates::Certificate;
use crate::credential::Credential;
use crate::limits::Limits;
use crate::route::RouteTable;
use crate::token::KeyOpener;

const TABLES: Keys = &[
    Key::needed("listen", Kind::Table(LISTEN_KEYS), "What to listen on."),
    Key::new("limits", Kind::Table(limits::KEYS), "How much the gateway takes."),
    Key::new("audit", Kind::Table(audit::KEYS), "The audit log; without it there is none."),
    Key::needed(
        "tls",
        Kind::NonEmpty(&Kind::Table(tls::KEYS)),
        "The server's certificates; the first is the default.",
    ),
    Key::new(
        "credentials",
        Kind::Named(credentials::KEYS),
        "What clients can prove, each by the name that routes use.",
    ),
    Key::new("pool", Kind::Table(POOL_KEYS), "How clients are asked for credentials."),
    Key::new(
        "upstreams",
        Kind::Named(upstreams::KEYS),
        "Servers and how they are spoken to, each by the name that routes use.",
    ),
    Key::needed(
        "routes",
        Kind::NonEmpty(&Kind::Table(routes::KEYS)),
        "What requests need and where they go.",
    ),
    Key::new(
        "protocol",
        Kind::Table(protocol::KEYS),
        "The numbers that the drafts leave open; both sides must use the same.",
    ),
];

const LISTEN_KEYS: Keys = &[
    Key::needed(
        "address",
        Kind::Address,
        "IP address and port for HTTP/2 and HTTP/1.1 over TLS; port 0 is any free one.",
    ),
    Key::default("http3", Kind::Flag, "false", "Whether HTTP/3 is served on the same UDP port."),
    Key::new(
        "admin",
        Kind::Address,
        "IP address and port for /healthz, /readyz and /metrics over HTTP without TLS.",
    ),
];

const POOL_KEYS: Keys = &[
    Key::default(
        "generic_challenges",
        Kind::Integer(0, 64),
        "0",
        "Untargeted challenges that are kept outstanding.",
    ),
    Key::default(
        "answer_timeout",
        Kind::Duration,
        "\"10s\"",
        "How long a request waits for an answer.",
    ),
];

/// A checked configuration: every file that it names was read and fits.
///
#[doc = include_str!("../../configuration.md")]
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) address: SocketAddr,
    /// Where the gateway tells how it is, if anywhere.
    pub(crate) admin: Option<SocketAddr>,
    /// Whether HTTP/3 is served on the same port.
    pub(crate) http3: bool,
    /// The first is the default. Never empty.
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) credentials: Vec<Credential>,
    /// What `credentials` have verified.
    pub(crate) chains: Arc<VerifiedChains>,
    pub(crate) pool: Pool,
    pub(crate) limits: Limits,
    /// Where the audit log goes, if there is one.
    pub(crate) audit: Option<Destination>,
    pub(crate) routes: RouteTable,
    pub(crate) protocol: Protocol,
    pub(crate) provider: Arc<CryptoProvider>,
    /// The configuration's own file and all that it names.
    pub(crate) inputs: Vec<Input>,
    /// What opened keys that are not in files; it does so at every reload.
    pub(crate) opener: Option<KeyOpener>,
}

/// `[pool]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Challenges for any credential that are kept outstanding.
    pub(crate) generic_challenges: u32,
    /// How long a request waits for an answer.
    pub(crate) answer_timeout: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self { generic_challenges: 0, answer_timeout: Duration::from_secs(10) }
    }
}

impl Config {
    /// Reads and checks a configuration file and all files that it names.
    ///
    /// # Errors
    ///
    /// Everything that was found wrong, in the order of the file.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::load_with(file, None)
    }

    /// The same, where keys may be in tokens. The gateway that is made of it opens them at each
    /// reload, too.
    ///
    /// # Errors
    ///
    /// As for [`Config::load`].
    pub fn load_with(
        file: impl AsRef<Path>,
        opener: Option<KeyOpener>,
    ) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let text =
            std::fs::read_to_string(file).map_err(|error| diagnostic::unreadable(file, &error))?;
        Self::parse_with(&text, file, opener)
    }

    /// Checks the configuration `text` as if it stood in `file`: relative paths start in its
    /// folder, and errors name it.
    ///
    /// # Errors
    ///
    /// As for [`Config::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        Self::parse_with(text, file, None)
    }

    fn parse_with(text: &str, file: &Path, opener: Option<KeyOpener>) -> Result<Self, ConfigError> {
        let source = Source::new(file, text).with_opener(opener);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let twice = error.message() == "duplicate key";
            let help = twice.then(|| "a key stands once in its table, and a table once".to_owned());
            source.mistake(error.span().unwrap_or_default(), error.message(), help);
        }
        source.finish()?;
        let config = read(&source, &document);
        source.finish_with(config)
    }

    /// The address to listen on, for TCP and for UDP if HTTP/3 is on; port 0 stands for any free one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn read(source: &Source<'_>, document: &toml::Spanned<DeTable<'_>>) -> Option<Config> {
    let root = Table::new(source, "the configuration", document.get_ref(), 0..0, TABLES);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let listen = listen(&root);
    let certificates = tls::read(&root, &provider);
    let limits = limits::read(&root);
    let capacity = limits.unwrap_or_default().verified_chains;
    let chains = Arc::new(VerifiedChains::new(capacity.into()));
    let (credentials, names) = match root.table("credentials") {
        Some(At { value, span }) => {
            let table = Table::open(source, "[credentials]", value, span);
            credentials::read(table, &provider, &chains)
        }
        None => (Vec::new(), Vec::new()),
    };
    let pool = pool(&root);
    let audit = audit::read(&root);
    let upstreams = upstreams::read(&root, &provider);
    let routes = routes::read(&root, &names, &upstreams);
    let protocol = protocol::read(&root);
    let Listen { address, http3, admin } = listen?;
    let config = Config {
        address,
        admin,
        http3,
        certificates: certificates?,
        credentials,
        chains,
        pool: pool?,
        limits: limits?,
        audit: audit?,
        routes: routes?,
        protocol: protocol?,
        provider,
        inputs: source.inputs(),
        opener: source.opener().cloned(),
    };
    // What each part allows may still not fit together.
    if let Err(error) = crate::handshake::check(&config) {
        source.mistake(root.key_span("credentials").unwrap_or_default(), error.to_string(), None);
    }
    Some(config)
}

/// `[listen]`.
struct Listen {
    address: SocketAddr,
    http3: bool,
    admin: Option<SocketAddr>,
}

fn listen(root: &Table<'_>) -> Option<Listen> {
    let source = root.source();
    let Some(At { value, span }) = root.table("listen") else {
        if root.get("listen").is_none() {
            root.missing("listen", "[listen] with `address = \"127.0.0.1:8443\"`");
        }
        return None;
    };
    let table = Table::new(source, "[listen]", value, span, LISTEN_KEYS);
    let http3 = match table.get("http3") {
        Some(_) => table.boolean("http3").map(|http3| http3.value),
        None => Some(false),
    };
    let admin = match table.get("admin") {
        Some(_) => table.string("admin").and_then(|admin| socket(source, &admin)).map(Some),
        None => Some(None),
    };
    let address = socket(source, &table.needed("address", "address = \"127.0.0.1:8443\"")?);
    Some(Listen { address: address?, http3: http3?, admin: admin? })
}

fn socket(source: &Source<'_>, At { value, span }: &At<&str>) -> Option<SocketAddr> {
    let address = value.parse().ok();
    if address.is_none() {
        source.mistake(
            span.clone(),
            format!("`{value}` is no address to listen on"),
            "an IP address and a port: `127.0.0.1:8443`, `0.0.0.0:443`, `[::]:443`".to_owned(),
        );
    }
    address
}

fn pool(root: &Table<'_>) -> Option<Pool> {
    let default = Pool::default();
    let Some(At { value, span }) = root.table("pool") else {
        return root.get("pool").is_none().then_some(default);
    };
    let source = root.source();
    let table = Table::new(source, "[pool]", value, span, POOL_KEYS);
    let generic_challenges = match table.get("generic_challenges") {
        Some(_) => table.integer("generic_challenges").map(|number| number.value),
        None => Some(default.generic_challenges),
    };
    let answer_timeout = match table.get("answer_timeout") {
        Some(_) => duration(&table, "answer_timeout"),
        None => Some(default.answer_timeout),
    };
    Some(Pool { generic_challenges: generic_challenges?, answer_timeout: answer_timeout? })
}

/// A duration such as `500ms`, `10s` or `2m`: from 1 ms to 10 minutes.
fn duration(table: &Table<'_>, key: &str) -> Option<Duration> {
    let At { value, span } = table.string(key)?;
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at_checked(digits).unwrap_or((value, ""));
    let milliseconds = number.parse::<u64>().ok().and_then(|number| match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    });
    match milliseconds.filter(|duration| (1..=600_000).contains(duration)) {
        Some(duration) => Some(Duration::from_millis(duration)),
        None => {
            table.source().mistake(
                span,
                format!("`{value}` is no value of `{key}`"),
                "a number and `ms`, `s` or `m`, from `1ms` to `10m`".to_owned(),
            );
            None
        }
    }
}
