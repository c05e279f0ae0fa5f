//! Secondary certificates on their way to the client.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use exported_authenticator::{AuthenticateError, Credential, ExporterValues, Offered, stateless};

/// The number of an offer on its connection, from 0 upwards in the order of beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferId(pub u64);

/// What it takes to make the authenticator of an offer, away from the machine.
pub struct Offer {
    id: OfferId,
    context: Vec<u8>,
    values: Arc<ExporterValues>,
}

impl Offer {
    /// What to hand the authenticator to [`ServerMachine::offer`](super::ServerMachine::offer) with.
    pub fn id(&self) -> OfferId {
        self.id
    }

    /// The context to authenticate with: new on the connection, and unpredictable.
    pub fn context(&self) -> &[u8] {
        &self.context
    }

    /// Proves possession of `credential`, with a key at hand. `offered` is what the ClientHello offered.
    pub fn authenticate(
        &self,
        offered: &Offered,
        credential: &Credential,
    ) -> Result<Vec<u8>, AuthenticateError> {
        //= specs/server-certs.md#section-3.2
        //# A server's certificate MUST be sent as the spontaneous authenticator of RFC 9261,
        //# section 3, which no request precedes.
        stateless::authenticate_spontaneously(&self.values, &self.context, offered, credential)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct Offers {
    next: u64,
    ready: VecDeque<(OfferId, Bytes)>,
}

impl Offers {
    pub(super) fn begin(&mut self, context: Vec<u8>, values: Arc<ExporterValues>) -> Offer {
        let id = OfferId(self.next);
        self.next += 1;
        Offer { id, context, values }
    }

    pub(super) fn complete(&mut self, id: OfferId, authenticator: Bytes) {
        self.ready.push_back((id, authenticator));
    }

    pub(super) fn next(&mut self) -> Option<(OfferId, Bytes)> {
        self.ready.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }
}
