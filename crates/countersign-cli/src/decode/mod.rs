//! `countersign decode`: frames, authenticator requests and authenticators, field by field.
//!
//! It reads what it is given as far as that goes, and says where and why it ends there. Nothing is verified: no
//! signature, no MAC, no chain.

mod cursor;
mod frames;
mod messages;
mod tree;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use self::cursor::{Broken, Cursor};
use self::tree::Tree;
use crate::code_points::CodePointArgs;
use crate::failure::{Exit, Failure};

/// The longest input, in bytes.
const MAX_INPUT: u64 = 16 << 20;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// A file with hexadecimal digits or binary, or `-` for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// They are frames of HTTP/2, with or without the client's preface
    #[arg(long, conflicts_with = "http3")]
    http2: bool,
    /// They are frames of HTTP/3, with or without the type of a control stream before them
    #[arg(long)]
    http3: bool,
    /// Show values whole, however long they are
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    points: CodePointArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let points = args.points.code_points()?;
    let input = octets(read(&args.file)?)?;
    let form = match (args.http2, args.http3) {
        (true, _) => Form::Http2,
        (_, true) => Form::Http3,
        (false, false) => Form::guess(&input).ok_or_else(|| {
            let said = "this is neither an authenticator, nor a request for one, nor frames that end where the input does; \
                        say --http2 or --http3 to see how far it goes";
            Failure::new(Exit::Failed, said)
        })?,
    };
    let mut tree = Tree::new(args.full);
    let mut cursor = Cursor::new(&input);
    let outcome = match form {
        Form::Messages => messages::all(&mut cursor, &mut tree),
        Form::Requests => messages::requests(&mut cursor, &mut tree),
        Form::Http2 => frames::http2(&mut cursor, &mut tree, &points),
        Form::Http3 => frames::http3(&mut cursor, &mut tree, &points),
    };
    print!("{}", tree.text());
    outcome
        .map_err(|Broken { at, why }| Failure::new(Exit::Failed, format!("at byte {at:#x}: {why}")))
}

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Handshake messages of TLS: a request, or an authenticator.
    Messages,
    /// The payload of AUTHENTICATOR_REQUESTS.
    Requests,
    Http2,
    Http3,
}

impl Form {
    /// The first one that the input fits to its last byte.
    fn guess(input: &[u8]) -> Option<Self> {
        if input.is_empty() {
            return None;
        }
        type Fit = fn(&[u8]) -> bool;
        let fits: [(Self, Fit); 4] = [
            (Self::Messages, messages::fit),
            (Self::Http2, frames::fit_http2),
            (Self::Requests, messages::requests_fit),
            (Self::Http3, frames::fit_http3),
        ];
        fits.into_iter().find(|(_, fit)| fit(input)).map(|(form, _)| form)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |error| Failure::new(Exit::Read, format!("`{}` cannot be read: {error}", file.display()));
    let mut content = Vec::new();
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    source.take(MAX_INPUT + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_INPUT {
        let said = format!("`{}` is longer than {MAX_INPUT} bytes", file.display());
        return Err(Failure::new(Exit::Read, said));
    }
    Ok(content)
}

/// Hexadecimal digits become what they stand for: white space, `:`, `,` and `0x` between them are skipped, and so is a
/// line from `#` on. Anything else is taken as it is.
fn octets(content: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let Ok(text) = std::str::from_utf8(&content) else { return Ok(content) };
    let mut digits = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().replace("0x", " ");
        digits.extend(line.chars().filter(|one| !one.is_whitespace() && !":,".contains(*one)));
    }
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(content);
    }
    hex::decode(&digits).map_err(|_| {
        let said =
            format!("there are {} hexadecimal digits: the last byte has only one", digits.len());
        Failure::new(Exit::Failed, said)
    })
}

#[cfg(test)]
mod tests;
