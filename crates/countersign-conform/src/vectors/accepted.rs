//! Authenticators that have to be accepted.

use countersign_pki::KeyKind;
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};

use super::Vector;
use super::kit::{ALL_SCHEMES, Kit, Recipe, context, plain_request};
use super::pki::{Authority, Leaf, Made};
use crate::authenticator::{Hash, Request, Side, extension, message, scheme_name};
use crate::bytes::vector;

/// An extension that nobody knows, below an arc for examples.
pub(super) const UNKNOWN_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 99_999, 1];
const HASHES: [Hash; 2] = [Hash::Sha256, Hash::Sha384];
const SIDES: [Side; 2] = [Side::Client, Side::Server];

pub(super) fn vectors(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = schemes(kit)?;
    vectors.extend(occasions(kit)?);
    vectors.extend(requests(kit)?);
    vectors.extend(chains(kit)?);
    vectors.extend(bases(kit)?);
    Ok(vectors)
}

/// Every scheme with every kind of key that has it, on connections with both hashes where that is cheap.
fn schemes(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    let kinds = [
        (KeyKind::Ed25519, true),
        (KeyKind::P256, true),
        (KeyKind::P384, true),
        (KeyKind::P521, true),
        (KeyKind::Rsa2048, true),
        (KeyKind::Rsa3072, false),
        (KeyKind::Rsa4096, false),
        (KeyKind::MlDsa44, false),
        (KeyKind::MlDsa65, false),
        (KeyKind::MlDsa87, false),
    ];
    for (kind, everywhere) in kinds {
        let made = kit.root.issue(&Leaf::of(kind))?;
        for scheme in made.identity.key.schemes() {
            for hash in HASHES {
                for side in SIDES {
                    if !everywhere && (hash, side) != (Hash::Sha256, Side::Client) {
                        continue;
                    }
                    let name = format!(
                        "scheme-{}-{kind:?}-{hash:?}-{side:?}",
                        scheme_name(*scheme).replace('_', "-"),
                    );
                    let recipe = Recipe::new(&name.to_lowercase(), side, hash, &made);
                    let request = plain_request(
                        message::CLIENT_CERTIFICATE_REQUEST,
                        &recipe.context,
                        // The scheme of the certificate's own signature has to be among them.
                        &[*scheme, 0x0807],
                    );
                    vectors.push(recipe.with_request(request).with_scheme(*scheme).accepted()?);
                }
            }
        }
    }
    Ok(vectors)
}

/// Who speaks, asked with which message or not at all.
fn occasions(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for hash in HASHES {
        for side in SIDES {
            for typ in [message::CERTIFICATE_REQUEST, message::CLIENT_CERTIFICATE_REQUEST] {
                let name = format!("type-{typ}-{hash:?}-{side:?}").to_lowercase();
                let recipe = Recipe::new(&name, side, hash, &kit.ed25519);
                let request = plain_request(typ, &recipe.context, &ALL_SCHEMES);
                let recipe = recipe.with_request(request);
                vectors.push(recipe.accepted()?);
                let empty = Recipe { name: format!("empty-{name}"), ..recipe };
                vectors.push(empty.empty());
            }
        }
        for (kind, made) in [("ed25519", &kit.ed25519), ("p256", &kit.p256), ("rsa", &kit.rsa)] {
            let name = format!("spontaneous-{kind}-{hash:?}").to_lowercase();
            vectors.push(Recipe::spontaneous(&name, hash, made).accepted()?);
        }
    }
    for length in [0, 1, 255] {
        let name = format!("spontaneous-context-{length}");
        let mut recipe = Recipe::spontaneous(&name, Hash::Sha256, &kit.ed25519);
        recipe.context = context(&name).into_iter().cycle().take(length).collect();
        vectors.push(recipe.accepted()?);
    }
    let mut recipe = Recipe::spontaneous("spontaneous-ocsp", Hash::Sha256, &kit.ed25519)
        .note("an extension that the ClientHello has");
    if let Some((_, extensions)) = recipe.chain.first_mut() {
        extensions.push((extension::STATUS_REQUEST, ocsp()));
    }
    vectors.push(recipe.accepted()?);
    Ok(vectors)
}

/// What a request may contain.
fn requests(kit: &Kit) -> Result<Vec<Vector>, String> {
    let base = |name: &str| Recipe::new(name, Side::Client, Hash::Sha256, &kit.ed25519);
    let with = |name: &str, extensions: &[(u16, Vec<u8>)]| {
        let list = [&[Request::algorithms(&ALL_SCHEMES)], extensions].concat();
        base(name).with_request(Request::new(17, &context(name), &list))
    };
    let mut vectors = Vec::new();
    for length in [0, 1, 255] {
        let name = format!("context-{length}");
        let bytes: Vec<u8> = context(&name).into_iter().cycle().take(length).collect();
        let recipe = base(&name).with_request(plain_request(17, &bytes, &ALL_SCHEMES));
        vectors.push(recipe.accepted()?);
        vectors.push(Recipe { name: format!("empty-{name}"), ..recipe }.empty());
    }
    let many: Vec<u16> = (0xfe00..=0xfeff).chain([0x0807]).collect();
    let recipe = base("many-unknown-schemes").note("the scheme in use is the last of 257");
    let request = plain_request(17, &recipe.context, &many);
    vectors.push(recipe.with_request(request).accepted()?);
    let unknown = [(0x0a0a, Vec::new()), (0xfafa, b"whatever".to_vec()), (0xff00, vec![0x55; 300])];
    let recipe = with("unknown-extensions", &unknown).note("what is not known is ignored");
    vectors.push(recipe.accepted()?);
    let name = context_dn(kit);
    let authorities = (extension::CERTIFICATE_AUTHORITIES, vector(2, &vector(2, &name)));
    vectors.push(with("certificate-authorities", &[authorities]).accepted()?);
    let schemes = (extension::SIGNATURE_ALGORITHMS_CERT, vector(2, &[8, 7, 4, 3, 4, 1]));
    vectors.push(with("signature-algorithms-cert", &[schemes]).accepted()?);
    // id-ce-extKeyUsage: SEQUENCE { id-kp-clientAuth }
    let filter = [
        vector(1, &[0x06, 3, 0x55, 0x1d, 0x25]),
        vector(2, &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]),
    ]
    .concat();
    vectors.push(with("oid-filters", &[(extension::OID_FILTERS, vector(2, &filter))]).accepted()?);
    vectors
        .push(with("oid-filters-empty", &[(extension::OID_FILTERS, vector(2, &[]))]).accepted()?);
    let host = [&[0][..], &vector(2, super::pki::SERVER_NAME.as_bytes())].concat();
    let host = (extension::SERVER_NAME, vector(2, &host));
    let list = [Request::algorithms(&ALL_SCHEMES), host];
    let recipe = Recipe::new("server-name", Side::Server, Hash::Sha256, &kit.ed25519)
        .with_request(Request::new(17, &context("server-name"), &list))
        .note("a client asks for the certificate of a name");
    vectors.push(recipe.accepted()?);
    let offered = [
        (extension::STATUS_REQUEST, vec![1, 0, 0, 0, 0]),
        (extension::SIGNED_CERTIFICATE_TIMESTAMP, Vec::new()),
        (0xfafa, Vec::new()),
    ];
    let mut recipe = with("requested-extensions", &offered).note("all of them come back");
    if let Some((_, extensions)) = recipe.chain.first_mut() {
        extensions.push((extension::STATUS_REQUEST, ocsp()));
        extensions.push((extension::SIGNED_CERTIFICATE_TIMESTAMP, vector(2, &vector(2, &[7; 9]))));
        extensions.push((0xfafa, b"answer".to_vec()));
    }
    vectors.push(recipe.accepted()?);
    vectors.push(with("requested-extensions-left-out", &offered).accepted()?);
    Ok(vectors)
}

/// CertificateStatus with something that looks like a response.
pub(super) fn ocsp() -> Vec<u8> {
    [&[1][..], &vector(3, &[0x30, 3, 0x0a, 1, 6])].concat()
}

/// The root's name in DER.
fn context_dn(kit: &Kit) -> Vec<u8> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let parsed = X509Certificate::from_der(&kit.root.root);
    parsed.map(|(_, root)| root.subject().as_raw().to_vec()).unwrap_or_default()
}

/// Chains of all shapes, each under its own root.
fn chains(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    let mut push = |name: &str, note: &str, made: &Made, change: fn(&Kit, &mut Vec<Vec<u8>>)| {
        let mut recipe = Recipe::new(name, Side::Client, Hash::Sha256, made).note(note);
        let mut chain = made.identity.chain.clone();
        change(kit, &mut chain);
        recipe.chain = chain.into_iter().map(|der| (der, Vec::new())).collect();
        let schemes: Vec<u16> = ALL_SCHEMES.into_iter().chain([0x0401]).collect();
        let cert = (extension::SIGNATURE_ALGORITHMS_CERT, Request::algorithms(&schemes).1);
        let list = [Request::algorithms(&ALL_SCHEMES), cert];
        let recipe = recipe.with_request(Request::new(17, &context(name), &list));
        vectors.push(recipe.accepted()?);
        Ok::<(), String>(())
    };
    let ed25519 = Leaf::of(KeyKind::Ed25519);
    let two = kit.below.issue(&ed25519)?;
    push("chain-intermediate", "", &two, |_, _| ())?;
    push("chain-with-root", "the trust anchor is sent, too", &two, |kit, chain| {
        chain.push(kit.root.root.clone());
    })?;
    push("chain-stray-certificate", "one that has nothing to do with it", &two, |kit, chain| {
        chain.insert(1, kit.stranger.root.clone());
    })?;
    push("chain-twice", "the intermediate twice", &two, |_, chain| {
        chain.extend(chain.get(1).cloned());
    })?;
    let deep = kit.below.below(KeyKind::P256)?.below(KeyKind::Ed25519)?.below(KeyKind::P384)?;
    let deep = deep.issue(&ed25519)?;
    push("chain-deep", "four intermediates", &deep, |_, _| ())?;
    push("chain-deep-shuffled", "the intermediates in another order", &deep, |_, chain| {
        if let Some(rest) = chain.get_mut(1..) {
            rest.reverse();
        }
    })?;
    push("chain-crowded", "24 certificates that are not needed", &two, |kit, chain| {
        chain.extend(std::iter::repeat_n(kit.stranger.root.clone(), 24));
    })?;
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Rsa2048] {
        let root = Authority::root(kind)?;
        let made = root.below(kind)?.issue(&Leaf::of(kind))?;
        let name = format!("chain-all-{kind:?}").to_lowercase();
        push(&name, "leaf and authorities have one kind of key", &made, |_, _| ())?;
    }
    let quantum = Authority::root(KeyKind::Ed25519)?.below(KeyKind::MlDsa87)?;
    let quantum = quantum.issue(&Leaf::of(KeyKind::MlDsa87))?;
    push("chain-over-16-kilobytes", "ML-DSA-87 throughout", &quantum, |kit, chain| {
        // What is missing to 16 KiB is made up by certificates that are not needed.
        chain.extend(std::iter::repeat_n(kit.stranger.root.clone(), 8));
    })?;
    let unknown = CustomExtension::from_oid_content(UNKNOWN_OID, vec![4, 1, 0]);
    let odd = |change: fn(&mut Leaf)| {
        let mut leaf = Leaf::of(KeyKind::Ed25519);
        change(&mut leaf);
        leaf
    };
    let mut leaf = odd(|_| ());
    leaf.extensions = vec![unknown];
    let made = kit.root.issue(&leaf)?;
    push("leaf-unknown-extension", "not critical", &made, |_, _| ())?;
    let made = kit.root.issue(&odd(|leaf| leaf.purposes.clear()))?;
    push("leaf-no-purposes", "without extended key usage it is for everything", &made, |_, _| ())?;
    let clients = |leaf: &mut Leaf| leaf.purposes = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let made = kit.root.issue(&odd(clients))?;
    push("leaf-for-clients", "", &made, |_, _| ())?;
    Ok(vectors)
}

/// Those that the refused ones differ from.
fn bases(kit: &Kit) -> Result<Vec<Vector>, String> {
    super::refused::bases(kit)
        .iter()
        .map(|base| if base.name.contains("empty") { Ok(base.empty()) } else { base.accepted() })
        .collect()
}
