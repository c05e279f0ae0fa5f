//! One SETTINGS entry, as HTTP/2 (16/32 bit) and HTTP/3 (varints) both can carry it.

/// An identifier and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The identifier.
    pub id: u64,
    /// The value.
    pub value: u64,
}
