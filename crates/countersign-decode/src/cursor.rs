//! Where in the input one is.

/// Where it cannot go on, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at:#x}: {why}")]
pub struct Broken {
    /// The place in the input.
    pub at: usize,
    /// What is wrong there.
    pub why: String,
}

/// What is left of the input, or of a part of it.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self::behind(0, input)
    }

    /// Of something larger, behind its first `at` bytes.
    pub(crate) fn behind(at: usize, input: &'a [u8]) -> Self {
        Self { rest: input, at }
    }

    /// The place of the next byte in the whole input.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn broken(&self, why: impl Into<String>) -> Broken {
        Broken { at: self.at, why: why.into() }
    }

    /// The next bytes, as a part of its own.
    pub(crate) fn take(&mut self, number: usize, what: &str) -> Result<Self, Broken> {
        let Some((taken, rest)) = self.rest.split_at_checked(number) else {
            let left = self.rest.len();
            return Err(self.broken(format!("{what} has {number} bytes, but {left} are left")));
        };
        let part = Self { rest: taken, at: self.at };
        self.rest = rest;
        self.at += number;
        Ok(part)
    }

    /// All that is left.
    pub(crate) fn take_rest(&mut self) -> Self {
        let part = self.clone();
        self.at += self.rest.len();
        self.rest = &[];
        part
    }

    /// A number of so many bytes, at most eight.
    pub(crate) fn number(&mut self, bytes: usize, what: &str) -> Result<u64, Broken> {
        let taken = self.take(bytes, what)?;
        Ok(taken.rest.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// What stands behind its length, which has so many bytes.
    pub(crate) fn vector(&mut self, bytes: usize, what: &str) -> Result<Self, Broken> {
        let length = self.number(bytes, &format!("the length of {what}"))?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX), what)
    }

    /// A variable-length integer (RFC 9000, section 16).
    pub(crate) fn varint(&mut self, what: &str) -> Result<u64, Broken> {
        let first = self.rest.first().map_or(0, |first| first >> 6);
        let bytes = 1 << first;
        let number = self.number(bytes, what)?;
        Ok(number & (u64::MAX >> (64 - 8 * bytes + 2)))
    }

    /// Says so if something is left.
    pub(crate) fn end(&self, of: &str) -> Result<(), Broken> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.broken(format!("{left} bytes are left behind the end of {of}"))),
        }
    }
}
