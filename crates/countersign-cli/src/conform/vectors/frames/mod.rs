//! Frames of vectors: given to the tap of HTTP/2 and to the backend of HTTP/3, with the state machines of
//! [`countersign_proto`] above them.

mod h2;
mod h3;
mod link;

use std::sync::Arc;
use std::time::Duration;

use countersign_conform::vectors::Vector;
use countersign_proto::CodePoints;
use rustls::crypto::CryptoProvider;

use self::h3::Quic;
use self::link::Witness;
use super::Verdict;

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs cases of frames.
pub(super) struct Frames {
    provider: Arc<CryptoProvider>,
    /// Made for the first case that needs it.
    quic: Option<Quic>,
}

impl Frames {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, quic: None }
    }

    /// Over HTTP/2, in memory.
    pub(super) async fn h2(&mut self, vector: &Vector) -> Result<Verdict, String> {
        let witness = Arc::new(Witness::new(vector, &self.provider)?);
        let running = h2::run(vector, &witness);
        let code = tokio::time::timeout(PATIENCE, running).await.map_err(|_| slow())??;
        verdict(vector, &witness, code.map(u64::from), |points, violation| {
            violation.h2_code(points).0
        })
    }

    /// Over HTTP/3, on loopback.
    pub(super) async fn h3(&mut self, vector: &Vector) -> Result<Verdict, String> {
        let witness = Arc::new(Witness::new(vector, &self.provider)?);
        let quic = match self.quic.take() {
            Some(quic) => quic,
            None => Quic::new(&self.provider)?,
        };
        let running = h3::run(vector, &witness, self.quic.insert(quic));
        let code =
            tokio::time::timeout(PATIENCE, Box::pin(running)).await.map_err(|_| slow())??;
        verdict(vector, &witness, code, |points, violation| violation.h3_code(points).0)
    }
}

fn slow() -> String {
    format!("nothing came of it within {} seconds", PATIENCE.as_secs())
}

/// What came of a case: the events and the code have to be the vector's.
fn verdict(
    vector: &Vector,
    witness: &Witness,
    code: Option<u64>,
    code_of: impl Fn(&CodePoints, countersign_proto::Violation) -> u64,
) -> Result<Verdict, String> {
    let events = witness.events();
    if events != vector.events {
        return Err(format!("expected {:?}, but it was {events:?}", vector.events));
    }
    if code != vector.error {
        return Err(format!("expected the code {:x?}, but it was {code:x?}", vector.error));
    }
    let Some(code) = code else { return Ok(Verdict::Accepted) };
    let violation = witness.violation();
    if let Some(violation) = violation
        && code_of(&CodePoints::default(), violation) != code
    {
        return Err(format!("the code {code:#x} is not that of {violation:?}"));
    }
    let (reason, text) = match violation {
        Some(violation) => (snake_case(&format!("{violation:?}")), violation.to_string()),
        // The transport's own rules: the code says which.
        None => (vector.expect.clone(), "a rule of HTTP itself".to_owned()),
    };
    Ok(Verdict::Refused(reason, format!("{text} ({code:#x})")))
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
