//! What is known about whether a certificate was revoked, and whoever knows it.

use std::fmt;

use rustls::pki_types::{CertificateDer, UnixTime};

/// Somebody who knows of revocations: a list, a responder, a feed.
pub trait Revocation: fmt::Debug + Send + Sync {
    /// What is known about `subject`, which `issuer` has issued. Called while a chain is verified, so it should be
    /// quick; whoever has to ask elsewhere answers [`Status::Unknown`] until the answer is there.
    fn status(&self, subject: &Subject<'_>, issuer: &Issuer<'_>, now: UnixTime) -> Status;

    /// Another number whenever it may answer otherwise than it did with the one before, time apart: what was
    /// verified with an earlier number is verified again.
    fn generation(&self) -> u64 {
        0
    }
}

/// A certificate about which one asks.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The contents of its serial number.
    pub serial: &'a [u8],
    /// Whether it stands above the end-entity certificate.
    pub is_authority: bool,
}

/// A certificate's issuer, on a path that was verified up to a trust anchor.
#[derive(Clone, Debug)]
pub struct Issuer<'a> {
    /// What is inside its Name.
    pub name: &'a [u8],
    /// What is inside its SubjectPublicKeyInfo.
    pub key: &'a [u8],
    /// Its certificate, unless it is the trust anchor.
    pub certificate: Option<CertificateDer<'a>>,
}

/// What is known about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not revoked, as far as is known up to this time.
    Good(UnixTime),
    /// It is revoked.
    Revoked,
    /// What was known was to be replaced at this time.
    Stale(UnixTime),
    /// There is a word of an issuer of this name, but nobody was found to have signed it.
    Unproven,
    /// There is no word of its issuer.
    Unknown,
}

impl Status {
    /// The worse of two words, if it is that it is revoked; otherwise the better.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Revoked, _) | (_, Self::Revoked) => Self::Revoked,
            (Self::Good(one), Self::Good(two)) => Self::Good(later(one, two)),
            (good @ Self::Good(_), _) | (_, good @ Self::Good(_)) => good,
            (Self::Stale(one), Self::Stale(two)) => Self::Stale(later(one, two)),
            (stale @ Self::Stale(_), _) | (_, stale @ Self::Stale(_)) => stale,
            (Self::Unproven, _) | (_, Self::Unproven) => Self::Unproven,
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}

fn later(one: UnixTime, two: UnixTime) -> UnixTime {
    if one.as_secs() < two.as_secs() { two } else { one }
}
