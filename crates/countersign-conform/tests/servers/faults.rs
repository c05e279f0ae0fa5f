//! What can be wrong with the little server.

use countersign_conform::authenticator::Check;

use crate::lenient::Wrong;

/// What can be wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// None; it announces no certificates of its own and has none.
    AnnouncesNoOffers,
    /// None; it speaks TLS 1.2 too.
    SpeaksTls12,
    // Settings.
    AnnouncesTwo,
    AnnouncesServerTwo,
    AsksAnybody,
    OffersToAnybody,
    OffersUnannounced,
    OffersWithAnyScheme,
    TakesItselfBack,
    LetsTakeBack,
    LetsServerSettingBeAnything,
    TakesLimitAsSigned,
    HeedsFirstSettingsOnly,
    FearsTheUnknown,
    FearsManySettings,
    FearsUnknownSettings,
    TakesSecondSettings,
    NeedsNoSettings,
    // Requests.
    AsksEmpty,
    AsksOnAStream,
    AsksBeforeSettings,
    AsksAtTheEnd,
    KeepsReady,
    KeepsReadyInVain,
    KeepsReadyOnce,
    GivesUp,
    NeverGivesUp,
    AsksWithOddExtension,
    AsksWithServerName,
    AsksWithoutSchemes,
    OffersPkcs1,
    LacksEd25519,
    CountsContexts,
    RepeatsContexts,
    IgnoresTheLimit,
    /// Asks one more than a limit above 1.
    LimitsToOneMore,
    AsksOnce,
    AsksForThePublic,
    // Answers.
    Overlooks(Wrong),
    Skips(&'static [Check]),
    /// The same for a server that does not offer Ed25519.
    SkipsOfFew(&'static [Check]),
    RefusesEverybody,
    RefusesTheResumed,
    RefusesScheme(u16),
    RefusesLongChains,
    RefusesLongFrames,
    KnowsSha256Only,
    /// TLS 1.2 too, and proofs on it in vain.
    SpeaksTls12InVain,
    /// TLS 1.2, and proofs on it with SHA-256 alone.
    SpeaksTls12OfSha256,
    MindsFlags,
    MindsTheReservedBit,
    NeedsWholeFrames,
    NeedsShortIntegers,
    ForgetsWhoCancels,
    ExpectsTheLastFirst,
    TakesAnyOrder,
    TakesReplays,
    EndsOnDecline,
    EndsOnStranger,
    TrustsAnybody,
    LivesInThePast,
    LivesInTheFuture,
    IgnoresKeyUsage,
    TakesLeavesForAuthorities,
    KnowsAuthoritiesByName,
    ForgetsIdentities,
    RemembersForAll,
    RemembersByTicket,
    // Frames.
    IgnoresRequests,
    IgnoresStrays,
    IgnoresUnsolicited,
    IgnoresOpenBlocks,
    AwaitsAnyLength,
    EndsWithoutAWord,
    EndsWithAnotherCode,
    NeedsNoControlStream,
    TakesAnyStream,
    EndsOnGoodbye,
    WaitsWithoutEnd,
    DiesOfAbsence,
    DiesOfResets,
    // Offers.
    OffersForged,
    OffersUnderOneContext,
}
