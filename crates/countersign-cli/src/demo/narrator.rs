//! How the demo speaks: numbered steps, who sends what to whom, and whether it was as expected.

use std::io::IsTerminal;

use crate::client::Facts;

/// Prints the story and counts what did not come true.
#[derive(Debug)]
pub(super) struct Narrator {
    colour: bool,
    step: u32,
    checks: u32,
    failed: u32,
}

/// Who sends a message to whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    ClientToGateway,
    GatewayToClient,
    GatewayToBackend,
}

impl Narrator {
    /// With colour on a terminal, unless `NO_COLOR` is set.
    pub(super) fn on_stdout() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !plain && std::io::stdout().is_terminal();
        Self { colour, step: 0, checks: 0, failed: 0 }
    }

    /// A paragraph.
    pub(super) fn say(&self, text: &str) {
        println!("{text}");
    }

    /// A headline; steps are counted from 1 again.
    pub(super) fn chapter(&mut self, headline: &str) {
        self.step = 0;
        println!();
        println!("{}", self.paint("1;4", &format!("=== {headline} ===")));
    }

    /// The next step's heading.
    pub(super) fn step(&mut self, heading: &str) {
        self.step += 1;
        println!();
        println!("{}", self.paint("1", &format!("{}. {heading}", self.step)));
    }

    /// One message on its way.
    pub(super) fn message(&self, way: Way, text: &str) {
        let way = match way {
            Way::ClientToGateway => "client  -> gateway",
            Way::GatewayToClient => "client  <- gateway",
            Way::GatewayToBackend => "gateway -> backend",
        };
        println!("   {}  {text}", self.paint("36", way));
    }

    /// A new connection.
    pub(super) fn connected(&self, facts: &Facts) {
        let Facts { protocol, tls_version, cipher_suite, .. } = facts;
        let (over, alpn) = (protocol.transport(), protocol.alpn());
        let text = match cipher_suite {
            Some(suite) => format!("{over}, then {tls_version} ({suite}, {alpn})"),
            None => format!("{over}, with {tls_version} ({alpn})"),
        };
        let text = format!("{text} as every client does it");
        self.message(Way::ClientToGateway, &text);
    }

    /// Something worth knowing about the step.
    pub(super) fn remark(&self, text: &str) {
        println!("   {}", self.paint("2", text));
    }

    /// What the step was to show, and whether it did.
    pub(super) fn check(&mut self, came_true: bool, expectation: &str) {
        self.checks += 1;
        if came_true {
            println!("   {} {expectation}", self.paint("32", "[ok]"));
        } else {
            self.failed += 1;
            println!("   {} {expectation}", self.paint("31", "[NOT SO]"));
        }
    }

    /// The last line; the error is how many expectations did not come true.
    pub(super) fn verdict(&self) -> Result<(), u32> {
        println!();
        if self.failed > 0 {
            return Err(self.failed);
        }
        println!("All {} expectations came true.", self.checks);
        Ok(())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
