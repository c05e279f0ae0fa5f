//! `countersign conform vectors`: this implementation against known cases.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use exported_authenticator::stateless::{self, Offered, Validated};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, Connection, Credential, ExporterValues,
    ExtensionType, Role, TLS13_SCHEMES,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::{PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The vectors, in the JSON format that vectors/README.md describes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Run only the case of this name; repeatable
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Only print the names of the cases
    #[arg(long)]
    list: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct VectorFile {
    vectors: Vec<Vector>,
}

/// A case, with the fields that its operation needs.
#[derive(Debug, Deserialize)]
struct Vector {
    name: String,
    op: String,
    expect: String,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    handshake_context: Hex,
    #[serde(default)]
    finished_key: Hex,
    #[serde(default)]
    request: Hex,
    #[serde(default)]
    authenticator: Hex,
    #[serde(default)]
    roots: Vec<Hex>,
    #[serde(default)]
    used_contexts: Vec<Hex>,
    #[serde(default)]
    deterministic: Option<bool>,
    #[serde(default)]
    key_pkcs8: Option<Hex>,
    #[serde(default)]
    chain: Vec<Hex>,
}

/// Bytes that are written in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Empty,
    Refused(String),
}

/// A case's outcome as `--json` prints it.
#[derive(Serialize)]
struct Outcome<'a> {
    case: &'a str,
    passed: bool,
    detail: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let unusable =
        |reason: String| Failure::new(Exit::Failed, format!("{}: {reason}", args.file.display()));
    let text = fs::read_to_string(&args.file).map_err(|error| unusable(error.to_string()))?;
    let file: VectorFile = serde_json::from_str(&text)
        .map_err(|error| unusable(format!("these are no test vectors: {error}")))?;
    if let Some(unknown) =
        args.only.iter().find(|name| !file.vectors.iter().any(|vector| vector.name == **name))
    {
        return Err(unusable(format!("no case is named {unknown:?}; --list prints all names")));
    }
    let cases: Vec<_> = file
        .vectors
        .iter()
        .filter(|vector| args.only.is_empty() || args.only.contains(&vector.name))
        .collect();
    if args.list {
        for vector in cases {
            println!("{}", vector.name);
        }
        return Ok(());
    }
    if cases.is_empty() {
        return Err(unusable("there is no case in it".to_owned()));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut failed = 0;
    for vector in &cases {
        let (passed, detail) = match vector.check(&provider) {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        failed += usize::from(!passed);
        report(args.json, &Outcome { case: &vector.name, passed, detail });
    }
    let passed = cases.len() - failed;
    if args.json {
        println!("{}", serde_json::json!({ "passed": passed, "failed": failed }));
    } else {
        println!("{passed} passed, {failed} failed");
    }
    if failed > 0 {
        return Err(unusable(format!("{failed} of {} cases failed", cases.len())));
    }
    Ok(())
}

fn report(json: bool, outcome: &Outcome<'_>) {
    if json {
        println!("{}", serde_json::json!(outcome));
    } else {
        let word = if outcome.passed { "ok" } else { "FAILED" };
        println!("{word:6} {}: {}", outcome.case, outcome.detail);
    }
}

impl Vector {
    /// What happened; the error says what should have happened instead.
    fn check(&self, provider: &Arc<CryptoProvider>) -> Result<String, String> {
        let verdict = match self.op.as_str() {
            "parse_request" => match AuthenticatorRequest::parse(&self.request.0) {
                Ok(_) => Verdict::Accepted,
                Err(error) => Verdict::Refused(error.to_string()),
            },
            "validate" => self.validate(provider)?,
            other => return Err(format!("the operation {other:?} is not known")),
        };
        match (self.expect.as_str(), &verdict) {
            ("ok", Verdict::Accepted) => {}
            ("empty", Verdict::Empty) => {}
            ("ok" | "empty", other) => {
                return Err(format!("expected {}, but it was {}", self.expect, other.text()));
            }
            (_, Verdict::Refused(_)) => {}
            (reason, other) => {
                let other = other.text();
                return Err(format!("expected a refusal ({reason}), but it was {other}"));
            }
        }
        if self.deterministic == Some(true) && matches!(self.expect.as_str(), "ok" | "empty") {
            self.reproduce(provider)?;
            return Ok(format!("{}, and made again byte for byte", verdict.text()));
        }
        Ok(verdict.text())
    }

    fn validate(&self, provider: &Arc<CryptoProvider>) -> Result<Verdict, String> {
        let sender = self.sender()?;
        let values = Arc::new(self.values(sender, provider)?);
        let algorithms = provider.signature_verification_algorithms;
        let mut connection = Connection::new(values, sender.peer(), algorithms);
        for context in &self.used_contexts {
            connection.contexts().spontaneous(&context.0).map_err(|error| error.to_string())?;
        }
        let validated = if self.request.0.is_empty() {
            connection
                .validate_spontaneous(&self.authenticator.0, &client_hello())
                .map(Validated::Proven)
                .map_err(|error| error.to_string())
        } else {
            self.answer(&mut connection)
        };
        Ok(match validated {
            Err(reason) => Verdict::Refused(reason),
            Ok(Validated::Empty) => Verdict::Empty,
            Ok(Validated::Proven(proven)) => {
                let now = UnixTime::since_unix_epoch(NOW);
                let roots = Arc::new(self.roots()?);
                let provider = Arc::clone(provider);
                // The leaves are all for clients, also in what servers send.
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| error.to_string())?;
                match proven.verify_client(&*verifier, now) {
                    Ok(_) => Verdict::Accepted,
                    Err(rejected) => Verdict::Refused(rejected.to_string()),
                }
            }
        })
    }

    /// Validates as the side that sent the request.
    fn answer(&self, connection: &mut Connection) -> Result<Validated, String> {
        let request =
            AuthenticatorRequest::parse(&self.request.0).map_err(|error| error.to_string())?;
        let used = self.used_contexts.iter().any(|used| used.0 == request.context());
        if !used {
            connection.contexts().request(request.context()).map_err(|error| error.to_string())?;
        }
        connection.validate(&request, &self.authenticator.0).map_err(|error| error.to_string())
    }

    /// Makes the authenticator anew and compares.
    fn reproduce(&self, provider: &CryptoProvider) -> Result<(), String> {
        let sender = self.sender()?;
        let values = self.values(sender, provider)?;
        let request =
            AuthenticatorRequest::parse(&self.request.0).map_err(|error| error.to_string())?;
        let made = match &self.key_pkcs8 {
            None => stateless::decline(&values, sender, &request),
            Some(_) if self.expect == "empty" => stateless::decline(&values, sender, &request),
            Some(key) => {
                let key = PrivateKeyDer::Pkcs8(key.0.clone().into());
                let key = provider
                    .key_provider
                    .load_private_key(key)
                    .map_err(|error| error.to_string())?;
                let chain = self.chain.iter().map(|one| one.0.clone().into()).collect();
                let chain = Chain::new(chain).map_err(|error| error.to_string())?;
                let credential = Credential::new(chain, key).map_err(|error| error.to_string())?;
                stateless::authenticate(&values, sender, &request, &credential)
            }
        };
        let made = made.map_err(|error| error.to_string())?;
        if made == self.authenticator.0 {
            Ok(())
        } else {
            Err(format!("made anew it is {}", hex::encode(made)))
        }
    }

    fn sender(&self) -> Result<Role, String> {
        match self.role.as_str() {
            "client" => Ok(Role::Client),
            "server" => Ok(Role::Server),
            other => Err(format!("the role {other:?} is not known")),
        }
    }

    /// The sender's exporter values from the file; those of the other side are not needed.
    fn values(&self, sender: Role, provider: &CryptoProvider) -> Result<ExporterValues, String> {
        let algorithm = match self.hash.as_str() {
            "sha256" => HashAlgorithm::SHA256,
            "sha384" => HashAlgorithm::SHA384,
            other => return Err(format!("the hash {other:?} is not known")),
        };
        let hash = AuthenticatorHash::of_algorithm(algorithm, provider)
            .map_err(|error| error.to_string())?;
        let prefix: &[u8] = match sender {
            Role::Client => b"EXPORTER-client",
            Role::Server => b"EXPORTER-server",
        };
        ExporterValues::from_exporter(hash, |output, label, _context| {
            if !label.starts_with(prefix) {
                output.fill(0);
                return Ok(());
            }
            let value = if label.ends_with(b"handshake context") {
                &self.handshake_context
            } else {
                &self.finished_key
            };
            if output.len() != value.0.len() {
                return Err(());
            }
            output.copy_from_slice(&value.0);
            Ok(())
        })
        .map_err(|_| "the exporter values are not as long as the hash".to_owned())
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.0.clone().into()).map_err(|error| error.to_string())?;
        }
        Ok(roots)
    }
}

/// 1 January 2030, within the validity of the vectors' certificates whenever they are run.
const NOW: std::time::Duration = std::time::Duration::from_secs(1_893_456_000);

/// What a client's handshake offers, for what servers send unasked.
fn client_hello() -> Offered {
    Offered {
        signature_algorithms: TLS13_SCHEMES.to_vec(),
        extensions: vec![ExtensionType::SIGNATURE_ALGORITHMS, ExtensionType::STATUS_REQUEST],
    }
}

impl Verdict {
    fn text(&self) -> String {
        match self {
            Self::Accepted => "accepted".to_owned(),
            Self::Empty => "a valid refusal".to_owned(),
            Self::Refused(reason) => format!("refused: {reason}"),
        }
    }
}
