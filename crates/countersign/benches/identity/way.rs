//! What is compared.

/// How a request comes to its identity, or to its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On a live connection, without any, for comparison.
    Get,
    /// On a live connection: the server asks when the request has come.
    OnDemand,
    /// On a live connection: the client answers a challenge that it has kept, then sends the request.
    Ahead,
    /// On a second connection, with the identity in its handshake.
    Second,
    /// On a live connection: the server shows a further certificate, the client sends a request for its
    /// name.
    Offered,
    /// On a new connection to the further name.
    New,
}

impl Way {
    /// The ways to an identity, and what they are compared with.
    pub(crate) const IDENTITY: [Self; 4] = [Self::Get, Self::OnDemand, Self::Ahead, Self::Second];
    /// The ways to an origin, and what they are compared with.
    pub(crate) const ORIGIN: [Self; 3] = [Self::Get, Self::Offered, Self::New];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET alone",
            Self::OnDemand => "identity, asked for by the request",
            Self::Ahead => "identity, proven ahead of the request",
            Self::Second => "second connection with mutual TLS",
            Self::Offered => "one more origin",
            Self::New => "new connection to it",
        }
    }

    /// Whether it takes a connection of its own.
    pub(crate) fn connects(self) -> bool {
        match self {
            Self::Second | Self::New => true,
            Self::Get | Self::OnDemand | Self::Ahead | Self::Offered => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    H2,
    H3,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::H2, Self::H3];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H2 => "HTTP/2",
            Self::H3 => "HTTP/3",
        }
    }

    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }
}
