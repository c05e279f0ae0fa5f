//! The limits that a client has announced. HTTP/2 lets it change them, and the server goes by the old
//! one until it has seen the new one.

use std::collections::VecDeque;

use crate::Misuse;

/// How many changes of the limit may wait for their acknowledgement.
const MAX_UNACKED: usize = 16;

#[derive(Debug)]
pub(super) struct Limits {
    /// The last acknowledged limit (until then the first), and those sent since. Never empty.
    announced: VecDeque<u32>,
    /// Whether the first SETTINGS went out; before that, nothing is announced at all.
    started: bool,
    /// Whether the first limit was acknowledged, or was not part of SETTINGS at all.
    first_acked: bool,
    /// What to announce next.
    unsent: Option<u32>,
}

impl Limits {
    pub(super) fn new(first: u32) -> Self {
        Self {
            announced: VecDeque::from([first]),
            started: false,
            first_acked: first == 0,
            unsent: None,
        }
    }

    /// The limit of the first SETTINGS. It stays what it is until they have been sent: the transport
    /// may have written it already.
    pub(super) fn first(&self) -> u32 {
        self.announced.front().copied().unwrap_or(0)
    }

    pub(super) fn start(&mut self) {
        self.started = true;
    }

    /// The most that the server may go by: it has seen one of the limits since the last acknowledged
    /// one, but which of them is not known.
    //= specs/client-certs.md#decisions-limits
    //# (ours) A changed limit MUST hold for what is asked from then on, while requests already
    //# outstanding stay valid.
    pub(super) fn in_force(&self) -> u32 {
        if !self.started {
            return 0;
        }
        self.announced.iter().copied().max().unwrap_or(0)
    }

    /// Whether support is announced, or will be with the next SETTINGS.
    pub(super) fn announces_support(&self) -> bool {
        self.announced.iter().chain(&self.unsent).any(|limit| *limit > 0)
    }

    /// Sets what to announce next.
    pub(super) fn change(&mut self, limit: u32) -> Result<(), Misuse> {
        let last = self.announced.back().copied().unwrap_or(0);
        if limit == last {
            self.unsent = None;
            return Ok(());
        }
        if limit == 0 {
            //= specs/client-certs.md#section-3.1
            //# An endpoint MUST NOT set SETTINGS_HTTP_CLIENT_CERT_AUTH to zero once it has set it
            //# to more than zero.
            return Err(Misuse::LimitTakenBack);
        }
        if self.announced.len() > MAX_UNACKED {
            return Err(Misuse::QueueFull);
        }
        self.unsent = Some(limit);
        Ok(())
    }

    /// Takes the limit that is to be sent now, which counts as announced from here on.
    pub(super) fn send(&mut self) -> Option<u32> {
        if !self.started {
            return None;
        }
        let limit = self.unsent.take()?;
        self.announced.push_back(limit);
        Some(limit)
    }

    /// The peer acknowledged the oldest of the SETTINGS with a limit in it.
    pub(super) fn acked(&mut self) {
        if !self.started {
            return;
        }
        if !self.first_acked {
            self.first_acked = true;
        } else if self.announced.len() > 1 {
            self.announced.pop_front();
        }
    }
}
