//! What a server that overlooks exactly one wrong takes for valid. All else about an answer has to be right, so a case whose answer
//! is wrong in another way than it says is refused here, and found out.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use countersign_conform::authenticator::{Request, Secrets, Side, decline, extension, message};
use countersign_conform::bytes::Reader;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The one wrong that is overlooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    // Of the MAC.
    MacBit,
    MacOfServer,
    MacOfElsewhere,
    /// Finished has this many bytes.
    MacOfLength(usize),
    // Of the signature.
    SignatureBit,
    SignatureOfServer,
    SignatureOfElsewhere,
    SignatureOfTls,
    SignatureOfSecond,
    SignatureNamed(u16),
    /// One that a P-521 key makes with SHA-384.
    SignatureOfAnotherCurve,
    // Of both.
    ValuesOfElsewhere,
    WithoutRequest,
    WithRequestOfOtherType,
    // Of Certificate.
    ContextBit,
    NoContext,
    ForeignExtension,
    ExtensionTwice,
    NotX509,
    NoEntries,
    // Of the messages.
    NoFinished,
    NoVerify,
    Swapped,
    Trailing,
    Cut,
    Nothing,
    TwoInOne,
    // Of empty authenticators.
    EmptyMacBit,
    EmptyTwice,
    EmptyOfLength(usize),
}

const STRING: &[u8] = b"Exported Authenticator";
const STRING_OF_TLS: &[u8] = b"TLS 1.3, client CertificateVerify";

/// What an answer is held against.
#[derive(Clone)]
struct View {
    request: Vec<u8>,
    context: Vec<u8>,
    signer: Side,
    finisher: Side,
    string: &'static [u8],
    /// The certificate whose key signs.
    signs: usize,
    scheme: u16,
    algorithm: &'static dyn VerificationAlgorithm,
    extensions: Vec<u16>,
}

/// An answer in its parts.
struct Parts<'a> {
    certificate: &'a [u8],
    verify: &'a [u8],
    finished: &'a [u8],
    context: &'a [u8],
    chain: Vec<&'a [u8]>,
    extensions: Vec<u16>,
    scheme: u16,
    signature: &'a [u8],
}

/// Whether `payload` is valid for `request` but for this one wrong; `next` is the request after it.
pub(crate) fn overlooks(
    wrong: Wrong,
    secrets: &Secrets,
    request: &Request,
    next: Option<&Request>,
    payload: &[u8],
) -> bool {
    let view = View::of(request);
    let parts = split(payload);
    let whole = |view: &View, flips: (bool, bool)| {
        parts.as_ref().is_some_and(|parts| {
            view.contents(parts)
                && view.signed(secrets, parts, flips.0)
                && view.closed(secrets, parts, flips.1)
        })
    };
    let as_is = |change: &dyn Fn(&mut View)| {
        let mut view = view.clone();
        change(&mut view);
        whole(&view, (false, false))
    };
    let empty = decline(secrets, Side::Client, &request.bytes, &request.context);
    match wrong {
        Wrong::MacBit => whole(&view, (false, true)),
        Wrong::MacOfServer => as_is(&|view| view.finisher = Side::Server),
        Wrong::MacOfElsewhere => parts.is_some_and(|parts| {
            view.contents(&parts) && view.signed(secrets, &parts, false) && {
                let other = View { finisher: Side::Server, ..view.clone() };
                !view.closed(secrets, &parts, true) && !other.closed(secrets, &parts, false)
            }
        }),
        Wrong::MacOfLength(length) => parts.is_some_and(|parts| {
            let right =
                secrets.finished(Side::Client, &[&view.request, parts.certificate, parts.verify]);
            view.contents(&parts)
                && view.signed(secrets, &parts, false)
                && of_length(parts.finished, &right, length)
        }),
        Wrong::SignatureBit => whole(&view, (true, false)),
        Wrong::SignatureOfServer => as_is(&|view| view.signer = Side::Server),
        Wrong::SignatureOfTls => as_is(&|view| view.string = STRING_OF_TLS),
        Wrong::SignatureOfSecond => as_is(&|view| view.signs = 1),
        Wrong::SignatureNamed(scheme) => as_is(&|view| {
            view.scheme = scheme;
            view.algorithm = match scheme {
                0x0809 => &signature::RSA_PSS_2048_8192_SHA256,
                0x0401 => &signature::RSA_PKCS1_2048_8192_SHA256,
                _ => &signature::ECDSA_P256_SHA256_ASN1,
            };
        }),
        Wrong::SignatureOfAnotherCurve => as_is(&|view| {
            view.scheme = 0x0503;
            view.algorithm = &signature::ECDSA_P521_SHA384_ASN1;
        }),
        Wrong::SignatureOfElsewhere => parts.is_some_and(|parts| {
            view.contents(&parts)
                && view.closed(secrets, &parts, false)
                && view.signed_nowhere(secrets, &parts)
        }),
        Wrong::ValuesOfElsewhere => parts.is_some_and(|parts| {
            view.contents(&parts)
                && view.signed_nowhere(secrets, &parts)
                && !view.closed(secrets, &parts, false)
                && !view.closed(secrets, &parts, true)
        }),
        Wrong::WithoutRequest => as_is(&|view| view.request.clear()),
        Wrong::WithRequestOfOtherType => as_is(&|view| view.request[0] ^= 13 ^ 17),
        Wrong::ContextBit => as_is(&|view| *view.context.last_mut().unwrap() ^= 1),
        Wrong::NoContext => as_is(&|view| view.context.clear()),
        Wrong::ForeignExtension => as_is(&|view| view.extensions = vec![0xfefe]),
        Wrong::ExtensionTwice => as_is(&|view| {
            view.extensions = vec![extension::STATUS_REQUEST; 2];
        }),
        Wrong::NotX509 => parts.is_some_and(|parts| {
            let leaf = parts.chain.first().copied().unwrap_or_default();
            X509Certificate::from_der(leaf).is_err()
                && !leaf.is_empty()
                && view.contents(&parts)
                && view.closed(secrets, &parts, false)
        }),
        Wrong::NoEntries => parts.is_some_and(|parts| {
            parts.chain.is_empty() && view.contents(&parts) && view.closed(secrets, &parts, false)
        }),
        Wrong::NoFinished => {
            let all = messages(payload);
            let [certificate, verify] = all[..] else { return false };
            let side = Side::Client;
            let finished = secrets.finished(side, &[&view.request, certificate, verify]);
            let whole = [payload, &finished].concat();
            split(&whole)
                .is_some_and(|parts| view.contents(&parts) && view.signed(secrets, &parts, false))
        }
        Wrong::NoVerify => {
            let all = messages(payload);
            let [certificate, finished] = all[..] else { return false };
            secrets.finished(Side::Client, &[&view.request, certificate]) == finished
        }
        Wrong::Swapped => {
            let all = messages(payload);
            let [verify, certificate, finished] = all[..] else { return false };
            is_whole(&view, secrets, &[certificate, verify, finished].concat())
        }
        Wrong::Trailing => {
            payload.last() == Some(&0) && is_whole(&view, secrets, &payload[..payload.len() - 1])
        }
        Wrong::Cut => {
            let begun = [&[context_length(&view)][..], &view.context].concat();
            payload.len() == 100
                && payload[0] == message::CERTIFICATE
                && Reader(&payload[1..]).number(3).is_some_and(|length| length > 96)
                && payload[4..].starts_with(&begun)
        }
        Wrong::Nothing => payload.is_empty(),
        Wrong::TwoInOne => {
            let all = messages(payload);
            let Some((first, second)) = all.split_at_checked(3) else { return false };
            let second_view = next.map(View::of);
            is_whole(&view, secrets, &first.concat())
                && second_view.is_some_and(|next| is_whole(&next, secrets, &second.concat()))
        }
        Wrong::EmptyMacBit => flipped(&empty) == payload,
        Wrong::EmptyTwice => empty.repeat(2) == payload,
        Wrong::EmptyOfLength(length) => of_length(payload, &empty, length),
    }
}

impl View {
    fn of(request: &Request) -> Self {
        Self {
            request: request.bytes.clone(),
            context: request.context.clone(),
            signer: Side::Client,
            finisher: Side::Client,
            string: STRING,
            signs: 0,
            scheme: 0x0403,
            algorithm: &signature::ECDSA_P256_SHA256_ASN1,
            extensions: Vec::new(),
        }
    }

    fn contents(&self, parts: &Parts<'_>) -> bool {
        parts.context == self.context
            && parts.scheme == self.scheme
            && parts.extensions == self.extensions
    }

    fn signed(&self, secrets: &Secrets, parts: &Parts<'_>, flip: bool) -> bool {
        let transcript = secrets.transcript(self.signer, &[&self.request, parts.certificate]);
        let content = [&[0x20; 64][..], self.string, &[0], &transcript].concat();
        let signature = if flip { flipped(parts.signature) } else { parts.signature.to_vec() };
        let Some(der) = parts.chain.get(self.signs) else { return false };
        X509Certificate::from_der(der).is_ok_and(|(_, parsed)| {
            let key = &parsed.public_key().subject_public_key.data;
            UnparsedPublicKey::new(self.algorithm, key).verify(&content, &signature).is_ok()
        })
    }

    /// Signed, but in none of the ways that have another name.
    fn signed_nowhere(&self, secrets: &Secrets, parts: &Parts<'_>) -> bool {
        let other = View { signer: Side::Server, ..self.clone() };
        let tls = View { string: STRING_OF_TLS, ..self.clone() };
        let without = View { request: Vec::new(), ..self.clone() };
        !parts.signature.is_empty()
            && !self.signed(secrets, parts, true)
            && [self, &other, &tls, &without].iter().all(|view| !view.signed(secrets, parts, false))
    }

    fn closed(&self, secrets: &Secrets, parts: &Parts<'_>, flip: bool) -> bool {
        let messages = [&self.request[..], parts.certificate, parts.verify];
        let right = secrets.finished(self.finisher, &messages);
        parts.finished == if flip { flipped(&right) } else { right }
    }
}

fn is_whole(view: &View, secrets: &Secrets, bytes: &[u8]) -> bool {
    split(bytes).is_some_and(|parts| {
        view.contents(&parts)
            && view.signed(secrets, &parts, false)
            && view.closed(secrets, &parts, false)
    })
}

/// A Finished message whose value is the beginning of the right one, or begins with it.
fn of_length(message: &[u8], right: &[u8], length: usize) -> bool {
    let value = message.get(4..).unwrap_or_default();
    let common = length.min(right.len() - 4);
    value.len() == length
        && message[..4] == message::encode(message::FINISHED, value)[..4]
        && value[..common] == right[4..4 + common]
}

fn context_length(view: &View) -> u8 {
    u8::try_from(view.context.len()).unwrap()
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes
}

fn messages(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut reader, mut all) = (Reader(bytes), Vec::new());
    loop {
        let whole = reader.0;
        let Some(body) = reader.take(1).and_then(|_| reader.vector(3)) else { return all };
        all.push(&whole[..4 + body.len()]);
    }
}

/// The three messages in their order, and nothing behind them.
fn split(bytes: &[u8]) -> Option<Parts<'_>> {
    let all = messages(bytes);
    let [certificate, verify, finished] = all[..] else { return None };
    if all.concat().len() != bytes.len() || [certificate[0], verify[0], finished[0]] != [11, 15, 20]
    {
        return None;
    }
    let mut body = Reader(&certificate[4..]);
    let context = body.vector(1)?;
    let mut list = Reader(body.vector(3)?);
    let (mut chain, mut extensions) = (Vec::new(), Vec::new());
    while !list.is_empty() {
        chain.push(list.vector(3)?);
        let mut more = Reader(list.vector(2)?);
        while !more.is_empty() {
            extensions.push(u16::try_from(more.number(2)?).ok()?);
            more.vector(2)?;
        }
    }
    let mut fields = Reader(&verify[4..]);
    let scheme = u16::try_from(fields.number(2)?).ok()?;
    let signature = fields.vector(2)?;
    Some(Parts { certificate, verify, finished, context, chain, extensions, scheme, signature })
}
