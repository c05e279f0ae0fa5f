//! Where a response's body goes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Args;
use super::request::Target;
use crate::failure::{Exit, Failure};

/// The destination of one URL's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Standard output.
    Standard,
    /// A file, made when the response is there.
    File(PathBuf),
    /// Nowhere: it is part of the JSON.
    Nowhere,
}

impl Destination {
    /// For the URL with this index.
    pub(super) fn of(args: &Args, index: usize, target: &Target) -> Result<Self, Failure> {
        match args.output.get(index) {
            Some(path) if path == Path::new("-") => Ok(Self::Standard),
            Some(path) => Ok(Self::File(path.clone())),
            None if args.remote_name => match target.file_name() {
                Some(name) => Ok(Self::File(name.into())),
                None => Err(Failure::new(
                    Exit::Write,
                    format!("{}: there is no file name at its end for --remote-name", target.url),
                )),
            },
            None if args.json => Ok(Self::Nowhere),
            None => Ok(Self::Standard),
        }
    }

    pub(super) fn open(&self) -> Result<Sink, Failure> {
        match self {
            Self::Standard => Ok(Sink { writer: Box::new(io::stdout()), name: None }),
            Self::Nowhere => Ok(Sink { writer: Box::new(io::sink()), name: None }),
            Self::File(path) => match File::create(path) {
                Ok(file) => Ok(Sink { writer: Box::new(file), name: Some(path.clone()) }),
                Err(error) => Err(unwritable(Some(path), &error)),
            },
        }
    }
}

/// An open destination.
pub(super) struct Sink {
    writer: Box<dyn Write + Send>,
    name: Option<PathBuf>,
}

impl Sink {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer
            .write_all(bytes)
            .and_then(|()| self.writer.flush())
            .map_err(|error| unwritable(self.name.as_deref(), &error))
    }
}

fn unwritable(path: Option<&Path>, error: &io::Error) -> Failure {
    match path {
        Some(path) => Failure::new(Exit::Write, format!("{}: {error}", path.display())),
        None => Failure::new(Exit::Write, format!("standard output: {error}")),
    }
}
