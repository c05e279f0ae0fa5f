//! From when until when certificates and lists hold.
//!
//! Everything is relative to the authority's "now", so that a test with a clock of its own stays
//! consistent.

use time::{Duration, OffsetDateTime};

/// A period, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: OffsetDateTime,
    /// The last second.
    pub not_after: OffsetDateTime,
}

/// How a leaf's validity lies around the authority's "now".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Since an hour ago, for 365 days.
    #[default]
    Current,
    /// From 30 days ago until yesterday.
    Expired,
    /// From tomorrow, for 30 days.
    NotYetValid,
    /// As given.
    Exactly(Validity),
}

/// Clocks of peers differ; what is made now should hold for one that is an hour late.
const SKEW: Duration = Duration::hours(1);

impl Validity {
    /// From an hour before `now`, for `days` days.
    pub fn days(now: OffsetDateTime, days: i64) -> Self {
        let not_before = now.saturating_sub(SKEW);
        Self { not_before, not_after: not_before.saturating_add(Duration::days(days)) }
    }
}

impl Lifetime {
    /// The period around `now`.
    pub fn at(self, now: OffsetDateTime) -> Validity {
        let day = |days| now.saturating_add(Duration::days(days));
        match self {
            Self::Current => Validity::days(now, 365),
            Self::Expired => Validity { not_before: day(-30), not_after: day(-1) },
            Self::NotYetValid => Validity { not_before: day(1), not_after: day(31) },
            Self::Exactly(validity) => validity,
        }
    }
}
