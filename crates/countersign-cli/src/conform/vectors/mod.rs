//! `countersign conform vectors`: this implementation against known cases, and a new set of them.

mod frames;
mod validate;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_conform::vectors::{self, File, Vector};
use exported_authenticator::AuthenticatorRequest;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use serde::Serialize;

use self::frames::Frames;
use crate::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The vectors, in the JSON format that vectors/README.md describes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write a new set to FILE instead; refuses to overwrite
    #[arg(long, conflicts_with_all = ["only", "list", "json", "reasons"])]
    generate: bool,
    /// Run only the case of this name; repeatable
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Only print the names of the cases
    #[arg(long)]
    list: bool,
    /// Refused for another reason than the file's is a failure, too
    #[arg(long)]
    reasons: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Empty,
    /// The reason in a word, as vectors have it, and in a sentence.
    Refused(String, String),
}

/// A case's outcome as `--json` prints it.
#[derive(Serialize)]
struct Outcome<'a> {
    case: &'a str,
    passed: bool,
    detail: String,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    if args.generate {
        return generate(&args.file);
    }
    let unusable =
        |reason: String| Failure::new(Exit::Failed, format!("{}: {reason}", args.file.display()));
    let text = fs::read_to_string(&args.file).map_err(|error| unusable(error.to_string()))?;
    let file: File = serde_json::from_str(&text)
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
    let mut runner = Runner::new(args.reasons);
    let mut failed = 0;
    for vector in &cases {
        let (passed, detail) = match runner.check(vector).await {
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

fn generate(path: &Path) -> Result<(), Failure> {
    let said = |error: String| Failure::new(Exit::Write, format!("{}: {error}", path.display()));
    if path.exists() {
        return Err(said("it is there already; nothing was written".to_owned()));
    }
    let set = vectors::generate().map_err(said)?;
    super::write(path, &set.to_json().map_err(|error| said(error.to_string()))?)?;
    println!("{} vectors in {}", set.vectors.len(), path.display());
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

/// Runs cases, one after the other.
struct Runner {
    provider: Arc<CryptoProvider>,
    frames: Frames,
    reasons: bool,
}

impl Runner {
    fn new(reasons: bool) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { frames: Frames::new(Arc::clone(&provider)), provider, reasons }
    }

    /// What happened; the error says what should have happened instead.
    async fn check(&mut self, vector: &Vector) -> Result<String, String> {
        let verdict = match vector.op.as_str() {
            "parse_request" => match AuthenticatorRequest::parse(&vector.request.0) {
                Ok(_) => Verdict::Accepted,
                Err(error) => {
                    Verdict::Refused(validate::malformed(error).to_owned(), error.to_string())
                }
            },
            "validate" => validate::validate(vector, &self.provider)?,
            "h2_frame" => Box::pin(self.frames.h2(vector)).await?,
            "h3_frame" => Box::pin(self.frames.h3(vector)).await?,
            other => return Err(format!("the operation {other:?} is not known")),
        };
        match (vector.expect.as_str(), &verdict) {
            ("ok", Verdict::Accepted) => {}
            ("empty", Verdict::Empty) => {}
            ("ok" | "empty", other) => {
                return Err(format!("expected {}, but it was {}", vector.expect, other.text()));
            }
            (_, Verdict::Refused(reason, _)) if self.reasons && !vector.expects(reason) => {
                let text = verdict.text();
                return Err(format!("expected {}, but it was {reason}: {text}", vector.expect));
            }
            (_, Verdict::Refused(..)) => {}
            (reason, other) => {
                let other = other.text();
                return Err(format!("expected a refusal ({reason}), but it was {other}"));
            }
        }
        if vector.deterministic && vector.is_accepted() {
            validate::reproduce(vector, &self.provider)?;
            return Ok(format!("{}, and made again byte for byte", verdict.text()));
        }
        Ok(verdict.text())
    }
}

impl Verdict {
    fn text(&self) -> String {
        match self {
            Self::Accepted => "accepted".to_owned(),
            Self::Empty => "a valid refusal".to_owned(),
            Self::Refused(_, text) => format!("refused: {text}"),
        }
    }
}
