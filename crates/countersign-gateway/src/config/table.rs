//! Typed reading of TOML tables that knows where everything stands and notes every mistake.

use std::cell::Cell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Source, suggestion};
use super::keys::{self, Keys, Kind};

/// A value with its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it stands.
    pub(crate) span: Range<usize>,
}

/// A table whose keys are known.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    source: &'a Source<'a>,
    /// As it is called in messages: `[listen]`.
    name: &'a str,
    entries: &'a DeTable<'a>,
    keys: Keys,
    /// Where a missing key is reported.
    span_start: usize,
    span_end: usize,
}

type Entry<'a> = (&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

impl<'a> Table<'a> {
    /// Reads `entries`, in which no other keys than `keys` may be.
    pub(crate) fn new(
        source: &'a Source<'a>,
        name: &'a str,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        keys: Keys,
    ) -> Self {
        let table = Self { keys, ..Self::open(source, name, entries, span) };
        for (key, _) in entries.iter() {
            match keys::find(keys, key.get_ref()).map(|known| &known.kind) {
                None => {
                    let known = keys.iter().filter(|key| !matches!(key.kind, Kind::Reserved(_)));
                    source.mistake(
                        key.span(),
                        format!("unknown key `{}` in {name}", key.get_ref()),
                        suggestion(key.get_ref(), known.map(|key| key.name), "known keys"),
                    );
                }
                Some(Kind::Reserved(instead)) => source.mistake(
                    key.span(),
                    format!("`{}` is not available in this version", key.get_ref()),
                    (*instead).to_owned(),
                ),
                Some(_) => {}
            }
        }
        table
    }

    /// Reads `entries`, whose keys are names that the operator chose.
    pub(crate) fn open(
        source: &'a Source<'a>,
        name: &'a str,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
    ) -> Self {
        Self { source, name, entries, keys: &[], span_start: span.start, span_end: span.end }
    }

    /// Where mistakes are noted.
    pub(crate) fn source(&self) -> &'a Source<'a> {
        self.source
    }

    /// Where the table itself stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span_start..self.span_end
    }

    /// All entries, in the order of the file.
    pub(crate) fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// Notes that `key` is missing.
    pub(crate) fn missing(&self, key: &str, example: &str) {
        self.source.mistake(
            self.span(),
            format!("{} lacks the key `{key}`", self.name),
            format!("for example: {example}"),
        );
    }

    /// What `key` was declared to be set to.
    pub(super) fn kind(&self, key: &str) -> Option<&'static Kind> {
        keys::find(self.keys, key).map(|key| &key.kind)
    }

    /// A key's value as it stands.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.kind(key).is_some(), "`{key}` of {} is not declared", self.name);
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Where the key itself stands.
    pub(crate) fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(name, _)| name.span())
    }

    /// A string.
    pub(crate) fn string(&self, key: &str) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        let text = self.typed(key, value, "a string", value.get_ref().as_str())?;
        Some(At { value: text, span: value.span() })
    }

    /// A string that must be there.
    pub(crate) fn needed(&self, key: &str, example: &str) -> Option<At<&'a str>> {
        if self.get(key).is_none() {
            self.missing(key, example);
        }
        self.string(key)
    }

    /// A boolean.
    pub(crate) fn boolean(&self, key: &str) -> Option<At<bool>> {
        let value = self.get(key)?;
        let boolean = self.typed(key, value, "true or false", value.get_ref().as_bool())?;
        Some(At { value: boolean, span: value.span() })
    }

    /// An integer from the range that was declared.
    pub(crate) fn integer(&self, key: &str) -> Option<At<u32>> {
        let range = if let Some(Kind::Integer(least, most)) = self.kind(key) {
            *least..=*most
        } else {
            0..=u32::MAX
        };
        let value = self.get(key)?;
        let integer = self.typed(key, value, "an integer", value.get_ref().as_integer())?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(At { value: number, span: value.span() }),
            None => {
                self.source.mistake(
                    value.span(),
                    format!("`{key}` is out of range"),
                    format!("it goes from {} to {}", range.start(), range.end()),
                );
                None
            }
        }
    }

    /// A list of strings.
    pub(crate) fn strings(&self, key: &str) -> Option<Vec<At<&'a str>>> {
        let value = self.get(key)?;
        let list = self.typed(key, value, "a list of strings", value.get_ref().as_array())?;
        let mut strings = Vec::with_capacity(list.len());
        let sound = Cell::new(true);
        for item in list.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push(At { value: text, span: item.span() }),
                None => {
                    sound.set(false);
                    self.mismatch(key, item, "a list of strings");
                }
            }
        }
        sound.get().then_some(strings)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        debug_assert!(
            matches!(self.kind(key), Some(Kind::Word(declared))
                if declared.iter().eq(words.iter().map(|(word, _)| word))),
            "the words of `{key}` are others than declared"
        );
        let text = self.string(key)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            self.source.mistake(
                text.span,
                format!("`{}` is no value of `{key}`", text.value),
                suggestion(text.value, words.iter().map(|(word, _)| *word), "known values"),
            );
        }
        found
    }

    /// A table.
    pub(crate) fn table(&self, key: &str) -> Option<At<&'a DeTable<'a>>> {
        let value = self.get(key)?;
        let table = self.typed(key, value, "a table", value.get_ref().as_table())?;
        Some(At { value: table, span: value.span() })
    }

    /// A list of tables, as `[[key]]` or as `key = [{ … }]`.
    pub(crate) fn tables(&self, key: &str) -> Option<Vec<At<&'a DeTable<'a>>>> {
        let value = self.get(key)?;
        let list = self.typed(key, value, "a list of tables", value.get_ref().as_array())?;
        let mut tables = Vec::with_capacity(list.len());
        for item in list.iter() {
            match item.get_ref().as_table() {
                Some(table) => tables.push(At { value: table, span: item.span() }),
                None => self.mismatch(key, item, "a list of tables"),
            }
        }
        Some(tables)
    }

    fn typed<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        found: Option<T>,
    ) -> Option<T> {
        if found.is_none() {
            self.mismatch(key, value, expected);
        }
        found
    }

    fn mismatch(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        self.source.mistake(
            value.span(),
            format!("`{key}` in {} must be {expected}", self.name),
            format!("found: {}", value.get_ref().type_str()),
        );
    }
}
