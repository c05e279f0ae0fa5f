//! How keys of the configuration are declared: once, beside what reads them, for the parser, the
//! schema and the reference.

/// The keys of a table, in the order of the reference.
pub(super) type Keys = &'static [Key];

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether the table cannot be without it.
    pub(super) needed: bool,
    /// What leaving it out means, as it could be written, in what JSON and TOML have in common.
    pub(super) default: Option<&'static str>,
    /// What it is, in a sentence.
    pub(super) about: &'static str,
}

impl Key {
    /// A key that may be left out.
    pub(super) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, needed: false, default: None, about }
    }

    /// A key that must be there.
    pub(super) const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, needed: true, default: None, about }
    }

    /// A key that may be left out, which means `default`.
    pub(super) const fn default(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        about: &'static str,
    ) -> Self {
        Self { name, kind, needed: false, default: Some(default), about }
    }
}

/// What a key may be set to.
#[derive(Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// An integer from the first to the second.
    Integer(u32, u32),
    /// One of a few integers.
    Numbers(&'static [u32]),
    /// `"500ms"`, `"10s"`, `"2m"`: from 1 ms to 10 minutes.
    Duration,
    /// `"64KiB"`: from the first number of bytes to the second.
    Size(u64, u64),
    /// An IP address with a port.
    Address,
    /// The path of a file.
    File,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A string that fits a pattern, in what regular expressions of all programs have in common.
    Text(&'static str),
    /// A list, empty or not.
    List(&'static Kind),
    /// A list of at least one.
    NonEmpty(&'static Kind),
    /// One, or a list of at least one.
    OneOrMore(&'static Kind),
    /// A table.
    Table(Keys),
    /// Tables with names that the operator chose, which fit [`NAME`].
    Named(Keys),
    /// A key that is reserved, and how to do without it.
    Reserved(&'static str),
}

/// The names that operators choose.
pub(super) const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// The key `name` of a table.
pub(super) fn find(keys: Keys, name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}
