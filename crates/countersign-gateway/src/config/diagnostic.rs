//! What is wrong with a configuration, said so that it can be put right: file, line, column, the
//! line itself, and what would be right.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::input::Input;
use crate::token::KeyOpener;

/// Why a configuration cannot be used; lists every mistake that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    diagnostics: Vec<Diagnostic>,
    /// What it was made of, as far as that was found out.
    pub(crate) inputs: Vec<Input>,
}

impl ConfigError {
    /// The mistakes, in the order of the file.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index != 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    file: PathBuf,
    place: Option<Place>,
    message: String,
    help: Option<String>,
}

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    /// How many characters are meant, at least 1, within the line.
    width: usize,
    text: String,
    /// The byte offset, for sorting.
    offset: usize,
}

impl Diagnostic {
    /// The file that the mistake is in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, counted from 1; `None` if the file could not be read.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would be right.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(place) = &self.place {
            let number = place.line.to_string();
            let gutter = " ".repeat(number.len());
            let indent: String = place
                .text
                .chars()
                .take(place.column.saturating_sub(1))
                .map(|character| if character == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n {number} | {}", place.text)?;
            write!(f, "\n {gutter} | {indent}{}", "^".repeat(place.width))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = {help}")?;
        }
        Ok(())
    }
}

/// The text of a configuration file, and the mistakes found in it so far.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    found: RefCell<Vec<Diagnostic>>,
    /// The file itself, and those that it names, as far as they were looked for.
    inputs: RefCell<Vec<Input>>,
    /// What opens keys that are not in files.
    opener: Option<KeyOpener>,
}

impl<'a> Source<'a> {
    /// A file that was read.
    pub(crate) fn new(file: &'a Path, text: &'a str) -> Self {
        let own = Input::new(file.to_owned(), Some(text.as_bytes()));
        Self {
            file,
            text,
            found: RefCell::default(),
            inputs: RefCell::new(vec![own]),
            opener: None,
        }
    }

    /// The same with what opens keys that are not in files.
    pub(crate) fn with_opener(self, opener: Option<KeyOpener>) -> Self {
        Self { opener, ..self }
    }

    /// What opens keys that are not in files.
    pub(crate) fn opener(&self) -> Option<&KeyOpener> {
        self.opener.as_ref()
    }

    /// Remembers that the configuration is made of this file too.
    pub(crate) fn names(&self, file: Input) {
        self.inputs.borrow_mut().push(file);
    }

    /// All files that the configuration is made of.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        self.inputs.borrow().clone()
    }

    /// The folder that paths in the file are relative to.
    pub(crate) fn folder(&self) -> &'a Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Notes a mistake at `span`, which is in bytes of the text.
    pub(crate) fn mistake(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.found.borrow_mut().push(Diagnostic {
            file: self.file.to_owned(),
            place: Some(self.place(span)),
            message: message.into(),
            help: help.into(),
        });
    }

    /// The mistakes, if there are any.
    pub(crate) fn finish(&self) -> Result<(), ConfigError> {
        let mut diagnostics = self.found.take();
        if diagnostics.is_empty() {
            return Ok(());
        }
        diagnostics.sort_by_key(|one| one.place.as_ref().map(|place| place.offset));
        Err(ConfigError { diagnostics, inputs: self.inputs() })
    }

    /// What was read, unless there are mistakes. What is not there has left one behind.
    pub(crate) fn finish_with<T>(&self, read: Option<T>) -> Result<T, ConfigError> {
        self.finish()?;
        read.ok_or_else(|| {
            self.mistake(0..0, "the configuration cannot be used", None);
            ConfigError { diagnostics: self.found.take(), inputs: self.inputs() }
        })
    }

    /// The line of a byte offset, counted from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.place(offset..offset).line
    }

    fn place(&self, span: Range<usize>) -> Place {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end).max(start);
        let (before, from) = self.text.split_at_checked(start).unwrap_or((self.text, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        let rest = from.lines().next().unwrap_or_default();
        let meant = rest.get(..(end - start).min(rest.len())).unwrap_or(rest);
        Place {
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            width: meant.chars().count().max(1),
            text: without_pin(&format!("{in_line}{rest}")),
            offset: start,
        }
    }

    /// The nearest character boundary at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// A line as it may be shown: the PIN in a `pkcs11:` URI is a secret.
fn without_pin(line: &str) -> String {
    let Some((before, rest)) = line.split_once("pin-value=") else { return line.to_owned() };
    let pin = rest.split(['&', '"', '\'', ';']).next().unwrap_or_default();
    let hidden = "*".repeat(pin.chars().count());
    let after = without_pin(rest.get(pin.len()..).unwrap_or_default());
    format!("{before}pin-value={hidden}{after}")
}

/// A configuration file that cannot be read at all.
pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError {
        diagnostics: vec![Diagnostic {
            file: file.to_owned(),
            place: None,
            message: format!("the configuration cannot be read: {error}"),
            help: None,
        }],
        inputs: vec![Input::new(file.to_owned(), None)],
    }
}

/// "did you mean", if one of `known` is near to `given`, and what is known.
pub(crate) fn suggestion<'k>(
    given: &str,
    known: impl IntoIterator<Item = &'k str> + Clone,
    what: &str,
) -> String {
    let nearest = known
        .clone()
        .into_iter()
        .map(|name| {
            (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1));
    let list = known.into_iter().collect::<Vec<_>>().join("`, `");
    match (nearest, list.is_empty()) {
        (Some((_, name)), _) => format!("did you mean `{name}`? {what}: `{list}`"),
        (None, false) => format!("{what}: `{list}`"),
        (None, true) => format!("{what}: none"),
    }
}
