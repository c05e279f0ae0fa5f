//! What is printed: a line for each field, with its place, further in where it is part of another.

use std::fmt::Display;

/// Bytes that are shown of a longer value.
const SHOWN: usize = 16;

/// The lines so far.
#[derive(Debug)]
pub(crate) struct Tree {
    text: String,
    depth: usize,
    full: bool,
}

impl Tree {
    /// With `full`, values are shown whole.
    pub(crate) fn new(full: bool) -> Self {
        Self { text: String::new(), depth: 0, full }
    }

    pub(crate) fn text(self) -> String {
        self.text
    }

    /// A line for what follows it, without a place. Names are a peer's words: what they say stays in this one line, and
    /// does nothing to a terminal.
    pub(crate) fn heading(&mut self, text: impl Display) {
        let fit = |one: char| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one };
        self.text.extend(text.to_string().chars().map(fit));
        self.text.push('\n');
    }

    pub(crate) fn line(&mut self, at: usize, text: impl Display) {
        let indent = 2 * self.depth;
        self.heading(format_args!("{at:06x}  {:indent$}{text}", ""));
    }

    /// A remark about a rule that is broken, though it can be read.
    pub(crate) fn remark(&mut self, at: usize, text: impl Display) {
        self.line(at, format_args!("! {text}"));
    }

    /// What `write` writes is part of the line before.
    pub(crate) fn within<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        self.depth += 1;
        let outcome = write(self);
        self.depth -= 1;
        outcome
    }

    /// Bytes in hexadecimal.
    pub(crate) fn hex(&self, bytes: &[u8]) -> String {
        match bytes.get(..SHOWN) {
            _ if bytes.is_empty() => "empty".to_owned(),
            Some(shown) if !self.full && bytes.len() > SHOWN => {
                format!("{} bytes: {}…", bytes.len(), hex::encode(shown))
            }
            _ => format!("{} bytes: {}", bytes.len(), hex::encode(bytes)),
        }
    }
}
