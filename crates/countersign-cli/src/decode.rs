//! `countersign decode`: frames, authenticator requests and authenticators, field by field, also those in a capture.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use countersign_decode::capture::{Capture, KeyLog, Trouble, is_capture};
use countersign_decode::{Explainer, Form};

use crate::code_points::CodePointArgs;
use crate::failure::{Exit, Failure};

/// The longest input, in bytes.
const MAX_INPUT: u64 = 256 << 20;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// A file with hexadecimal digits or binary, a pcap or pcapng file, or `-` for standard input
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
    /// The key log of a capture's connections [default: the file that SSLKEYLOGFILE names]
    #[arg(long, value_name = "FILE")]
    key_log: Option<PathBuf>,
    /// Of a capture, show only the extension's frames, SETTINGS, and how connections end
    #[arg(long)]
    extension: bool,
    #[command(flatten)]
    points: CodePointArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let explainer = Explainer {
        points: args.points.code_points()?,
        full: args.full,
        extension_only: args.extension,
    };
    let content = read(&args.file)?;
    if is_capture(&content) && !args.http2 && !args.http3 {
        return capture(args, &explainer, &content);
    }
    let input = octets(content)?;
    let form = match (args.http2, args.http3) {
        (true, _) => Form::Http2,
        (_, true) => Form::Http3,
        (false, false) => Form::guess(&input).ok_or_else(|| {
            let said = "this is neither an authenticator, nor a request for one, nor frames that end where the input does; \
                        say --http2 or --http3 to see how far it goes";
            Failure::new(Exit::Failed, said)
        })?,
    };
    let (text, broken) = explainer.explain(form, &input);
    print!("{text}");
    broken.map_or(Ok(()), |broken| Err(Failure::new(Exit::Failed, broken)))
}

fn capture(args: &Args, explainer: &Explainer, file: &[u8]) -> Result<(), Failure> {
    let named = args.key_log.clone();
    let named = named.or_else(|| std::env::var_os("SSLKEYLOGFILE").map(PathBuf::from));
    let keys = match &named {
        Some(file) => KeyLog::parse(&read(file)?),
        None => KeyLog::default(),
    };
    let capture = Capture::read(file, &keys).map_err(|error| {
        Failure::new(Exit::Failed, format!("`{}` cannot be read: {error}", args.file.display()))
    })?;
    print!("{}", explainer.explain_capture(&capture));
    if let Some(cut) = capture.cut {
        return Err(Failure::new(Exit::Failed, format!("`{}`: {cut}", args.file.display())));
    }
    let packets = capture.packets;
    if capture.connections.is_empty() {
        let said = format!(
            "in {packets} packets no connection over TLS or QUIC begins; the capture has to begin before the connection"
        );
        return Err(Failure::new(Exit::Failed, said));
    }
    let without_keys = |trouble: &Trouble| matches!(trouble, Trouble::NoSecret { .. });
    if capture.connections.iter().all(|one| one.trouble.iter().any(without_keys)) {
        let said = match named {
            Some(file) => format!("`{}` has the secrets of no connection in the capture", file.display()),
            None => "without a key log nothing can be decrypted: name the file that the client or server wrote with \
                     --key-log or SSLKEYLOGFILE"
                .to_owned(),
        };
        return Err(Failure::new(Exit::Failed, said));
    }
    Ok(())
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_may_be_written_in_many_ways() {
        for text in
            ["0d0001ff", "0D 00 01 FF\n", "0x0d, 0x00, 0x01, 0xff", "0d:00:01 # a request\nff"]
        {
            assert_eq!(octets(text.into()).unwrap(), [0x0d, 0, 1, 0xff], "{text}");
        }
        assert!(octets("0d0".into()).is_err());
        assert_eq!(octets(vec![0, 1, 0xff]).unwrap(), [0, 1, 0xff]);
        assert_eq!(octets(b"PRI".to_vec()).unwrap(), b"PRI");
    }

    proptest! {
        #[test]
        fn anything_may_be_digits(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = octets(input);
        }
    }
}
