//! Whose SETTINGS an acknowledgement belongs to.
//!
//! Acknowledgements come in the order of the SETTINGS frames (RFC 9113, section 6.5.3) and name none
//! of them. The stack above expects only those of its own frames, so the order is kept here.

use std::collections::VecDeque;

/// Who sent a SETTINGS frame that is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The stack, untouched.
    Stack,
    /// The stack, with the extension's entries added.
    Extended,
    /// The extension alone; the stack does not know of it.
    Extension,
}

impl Sender {
    /// The frame carried entries of the extension.
    pub(crate) fn carried_ours(self) -> bool {
        match self {
            Self::Stack => false,
            Self::Extended | Self::Extension => true,
        }
    }

    /// The stack expects the acknowledgement.
    pub(crate) fn known_to_stack(self) -> bool {
        match self {
            Self::Stack | Self::Extended => true,
            Self::Extension => false,
        }
    }
}

/// SETTINGS frames that were sent and are not acknowledged yet, in their order.
#[derive(Debug, Default)]
pub(crate) struct Acks(VecDeque<Sender>);

impl Acks {
    pub(crate) fn sent(&mut self, by: Sender) {
        self.0.push_back(by);
    }

    /// An acknowledgement has arrived. One for nothing is left to the stack, which refuses it.
    pub(crate) fn acknowledged(&mut self) -> Sender {
        self.0.pop_front().unwrap_or(Sender::Stack)
    }
}
