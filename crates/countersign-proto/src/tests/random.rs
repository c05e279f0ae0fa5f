//! Random stories: polite pairs whose messages are delayed at will, changed messages, and noise.

mod changed;
mod noise;

use proptest::prelude::*;

use super::fixtures::{generic, policy, targeted};
use super::pair::{MAX_PAYLOAD, Pair};
use crate::server::ServerPolicy;
use crate::{ChallengeId, Misuse};

/// One thing that happens to a pair; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    StartClient,
    StartServer,
    ClientSends,
    ServerSends,
    ClientReceives,
    ServerReceives,
    Challenge { targeted: bool },
    Withdraw(u64),
    Present(usize),
    Decline(usize),
    Keep(usize),
    PresentKept,
    SetLimit(u32),
    ServerAccepts(usize),
    ClientAccepts(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::StartClient),
        1 => Just(Step::StartServer),
        6 => Just(Step::ClientSends),
        6 => Just(Step::ServerSends),
        8 => Just(Step::ClientReceives),
        8 => Just(Step::ServerReceives),
        5 => any::<bool>().prop_map(|targeted| Step::Challenge { targeted }),
        1 => (0..20u64).prop_map(Step::Withdraw),
        3 => (0..5usize).prop_map(Step::Present),
        3 => (0..5usize).prop_map(Step::Decline),
        3 => (0..5usize).prop_map(Step::Keep),
        2 => Just(Step::PresentKept),
        1 => (0..6u32).prop_map(Step::SetLimit),
        1 => prop::sample::select(vec![40, MAX_PAYLOAD]).prop_map(Step::ServerAccepts),
        1 => prop::sample::select(vec![40, 100, MAX_PAYLOAD]).prop_map(Step::ClientAccepts),
    ]
}

/// A pair with what the test knows about it beside.
struct Story {
    pair: Pair,
    /// Every limit that the client was ever given.
    limits: Vec<u32>,
    started: (bool, bool),
}

impl Story {
    fn new(limit: u32, policy: ServerPolicy) -> Self {
        Self { pair: Pair::new(limit, policy), limits: vec![limit], started: (false, false) }
    }

    fn take(&mut self, step: &Step) {
        let pair = &mut self.pair;
        match step {
            Step::StartClient if !self.started.0 => {
                pair.start_client();
                self.started.0 = true;
            }
            Step::StartServer if !self.started.1 => {
                pair.start_server();
                self.started.1 = true;
            }
            Step::StartClient | Step::StartServer => {}
            Step::ClientSends => {
                let owed = pair.client.outstanding();
                let sent = pair.client_sends();
                let answered = pair.client.outstanding() < owed;
                assert!(!answered || (sent && pair.client.is_negotiated()));
                assert!(!sent || self.started.0);
            }
            Step::ServerSends => {
                let limit = pair.server.peer().client_cert_auth.unwrap_or(0);
                if pair.server_sends() {
                    assert!(self.started.1 && pair.server.is_negotiated());
                    assert!(pair.server.outstanding() as u64 <= limit);
                }
            }
            // Nobody breaks a rule, however late things arrive.
            Step::ClientReceives => drop(pair.client_receives().unwrap()),
            Step::ServerReceives => drop(pair.server_receives().unwrap()),
            Step::Challenge { targeted: true } => told(pair.server.challenge(&targeted())),
            Step::Challenge { targeted: false } => told(pair.server.challenge(&generic())),
            Step::Withdraw(id) => pair.server.withdraw(ChallengeId(*id)),
            Step::Present(index) => {
                if let Some((id, _)) = pair.asked.remove(*index) {
                    pair.present(id);
                }
            }
            Step::Decline(index) => {
                if let Some((id, _)) = pair.asked.remove(*index) {
                    pair.client.decline(id).unwrap();
                }
            }
            Step::Keep(index) => {
                if let Some((id, _)) = pair.asked.remove(*index) {
                    pair.client.keep(id).unwrap();
                }
            }
            Step::PresentKept => {
                if let Ok(id) = pair.client.take_kept(|_| true) {
                    pair.present(id);
                }
            }
            Step::SetLimit(limit) => {
                if pair.client.set_limit(*limit).is_ok() {
                    self.limits.push(*limit);
                }
            }
            Step::ServerAccepts(len) => pair.server_max = *len,
            Step::ClientAccepts(len) => pair.client_max = *len,
        }
    }

    fn check(&self) {
        let pair = &self.pair;
        let most = self.limits.iter().copied().max().unwrap_or(0) as usize;
        assert!(pair.client.outstanding() <= most);
        assert!(pair.server.outstanding() <= most.min(policy().max_outstanding));
        assert!(pair.asked.len() <= pair.client.outstanding());
        // One answer per request, in order.
        assert!(pair.sent.starts_with(&pair.answered));
        assert_eq!(pair.sent.len() - pair.answered.len(), pair.server.outstanding());
    }

    /// Declines what is left until everybody has what is due to them.
    fn end(&mut self) {
        for step in [Step::StartClient, Step::StartServer] {
            self.take(&step);
        }
        self.pair.client_max = MAX_PAYLOAD;
        self.pair.server_max = MAX_PAYLOAD;
        for _ in 0..100 {
            self.pair.settle();
            self.check();
            for id in self.pair.asked() {
                self.pair.client.decline(id).unwrap();
            }
            while let Ok(id) = self.pair.client.take_kept(|_| true) {
                self.pair.client.decline(id).unwrap();
            }
        }
        assert_eq!((self.pair.client.outstanding(), self.pair.server.outstanding()), (0, 0));
        assert_eq!(self.pair.sent, self.pair.answered);
    }
}

fn told(challenge: Result<ChallengeId, Misuse>) {
    match challenge {
        Ok(_) | Err(Misuse::NotNegotiated | Misuse::QueueFull) => {}
        Err(misuse) => panic!("{misuse:?}"),
    }
}

proptest! {
    #[test]
    fn polite_peers_never_break_a_rule(
        limit in 0..6u32,
        generic_challenges in 0..4usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut story = Story::new(limit, ServerPolicy { generic_challenges, ..policy() });
        for step in &steps {
            story.take(step);
            story.check();
        }
        story.end();
    }
}
