//! `countersign fetch` and `countersign gateway` with keys in PKCS#11 tokens; those that need one use SoftHSM where it is installed.

use std::path::Path;
use std::process::Stdio;

use countersign_testkit::within;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, CertificateType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::life::signal;
use crate::support::{Done, Http, Setting, countersign, run, start_gateway_by};

const PIN: &str = "746291";
const CHAIN: &str = "COUNTERSIGN_TEST_CHAIN";
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

fn module() -> Option<&'static str> {
    MODULES.into_iter().find(|path| Path::new(path).exists())
}

/// Makes a token with the keys of alice and the server; false if there is no SoftHSM.
async fn token(setting: &Setting) -> bool {
    if module().is_none() {
        println!("skipped: no SoftHSM module at {}", MODULES.join(", "));
        return false;
    }
    let tokens = setting.pki.path("tokens");
    std::fs::create_dir(&tokens).unwrap();
    setting.pki.write("softhsm2.conf", &format!("directories.tokendir = {tokens}\n"));
    let keys = ["alice", "server"].map(|name| setting.pki.path(&format!("{name}.key")));
    let [alice, server] = &keys;
    let init: &[&str] = &["--init-token", "--free", "--label", "test", "--so-pin", PIN];
    let alice = ["--import", alice, "--token", "test", "--label", "alice", "--id", "a1"];
    let server = ["--import", server, "--token", "test", "--label", "server", "--id", "b2"];
    for arguments in [init, &alice[..], &server] {
        let mut command = Command::new("softhsm2-util");
        command.args(arguments).args(["--pin", PIN]);
        let done = within_softhsm(setting, command).await;
        assert_eq!(done.exit, 0, "{}{}", done.out, done.err);
    }
    true
}

async fn within_softhsm(setting: &Setting, mut command: Command) -> Done {
    command.env("SOFTHSM2_CONF", setting.pki.path("softhsm2.conf")).env_remove("PKCS11_MODULE");
    run(command).await
}

/// The part of a test that needs SoftHSM's settings in its own environment.
#[test]
#[ignore = "run by the tests, in a process of its own"]
fn write_chain() {
    let pkcs11 = Pkcs11::new(module().unwrap()).unwrap();
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = pkcs11.get_slots_with_initialized_token().unwrap().remove(0);
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    let path = std::env::var(CHAIN).unwrap();
    for (index, certificate) in CertificateDer::pem_file_iter(path).unwrap().enumerate() {
        let certificate = certificate.unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let mut object = vec![
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Subject(parsed.subject().as_raw().to_vec()),
            Attribute::Value(certificate.to_vec()),
        ];
        object.extend((index == 0).then_some(Attribute::Id(vec![0xa1])));
        session.create_object(&object).unwrap();
    }
}

async fn fetch(setting: &Setting, identity: &str, options: &[&str]) -> Done {
    let options = [&["--json", "--identity", identity], options].concat();
    let command = setting.fetch_command(&["device"], &options, &["/admin/"]);
    within_softhsm(setting, command).await
}

over_both!(a_token_answers_for_its_holder);
async fn a_token_answers_for_its_holder(http: Http) {
    let setting = Setting::new(http).await;
    if !token(&setting).await {
        return;
    }
    let module = module().unwrap();
    let query = format!("module-path={module}&pin-value={PIN}");
    let uri = format!("pkcs11:token=test;object=alice?{query}");

    // The certificate is in a file at first.
    let with_file = format!("{},{uri}", setting.pki.path("alice.pem"));
    let done = fetch(&setting, &with_file, &[]).await;
    assert_eq!((done.exit, done.statuses()), (0, vec![200]), "{}{}", done.out, done.err);
    let done = fetch(&setting, &uri, &[]).await;
    assert_eq!(done.exit, 58, "{}", done.err);
    assert!(done.err.contains("put its PEM file before"), "{}", done.err);

    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "pkcs11::write_chain", "--ignored"]);
    command.env(CHAIN, setting.pki.path("alice.pem"));
    let done = within_softhsm(&setting, command).await;
    assert_eq!(done.exit, 0, "{}{}", done.out, done.err);

    let pin = setting.pki.write("pin", &format!("{PIN}\n"));
    let by_id = format!("pkcs11:id=%a1?module-path={module}&pin-source=file:{pin}");
    for identity in [&uri, &by_id] {
        let done = fetch(&setting, identity, &[]).await;
        assert_eq!((done.exit, done.statuses()), (0, vec![200]), "{}{}", done.out, done.err);
        assert!(!(done.out + &done.err).contains(PIN));
    }
    for (identity, part) in [
        (format!("pkcs11:token=other?{query}"), "no token is there"),
        (format!("pkcs11:token=test;object=bob?{query}"), "no such private key"),
        (format!("pkcs11:token=test?{query}"), "2 private keys"),
        (format!("pkcs11:token=test?module-path={module}"), "without a PIN"),
        (format!("pkcs11:token=test?module-path={module}&pin-value=9{PIN}"), "accept the PIN"),
    ] {
        let done = fetch(&setting, &identity, &[]).await;
        assert_eq!(done.exit, 58, "{}", done.err);
        assert!(done.err.contains(part) && !done.err.contains(PIN), "{}", done.err);
    }
    let done = fetch(&setting, &uri, &["--http1.1"]).await;
    assert_eq!(done.exit, 58, "{}", done.err);
    assert!(done.err.contains("leave out --http1.1"), "{}", done.err);
}

over_both!(a_gateways_key_stays_in_its_token);
async fn a_gateways_key_stays_in_its_token(http: Http) {
    let mut setting = Setting::new(http).await;
    if !token(&setting).await {
        return;
    }
    let with_key = |uri: &str| {
        let text = setting.pki.read("test.toml");
        assert!(text.contains("\"server.key\""));
        setting.pki.write("token.toml", &text.replace("\"server.key\"", &format!("\"{uri}\"")))
    };
    let query = format!("module-path={}&pin-value={PIN}", module().unwrap());
    let uri = format!("pkcs11:token=test;object=server?{query}");
    let config = with_key(&uri);
    let softhsm = setting.pki.path("softhsm2.conf");
    let mut command = countersign(&["gateway", "--config", &config]);
    command.env("RUST_LOG", "countersign_gateway::reload=info");
    command.env("SOFTHSM2_CONF", &softhsm).stderr(Stdio::piped());
    let (mut gateway, port) = start_gateway_by(command).await;
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    setting.port = port;
    let served = async || {
        let done = setting.fetch(&["device", "alice"], &[], &["/public/", "/admin/"]).await;
        assert_eq!(done.exit, 0, "{}{}", done.out, done.err);
    };
    served().await;
    // Twice, so that what the first opened is let go of while the second signs.
    for _ in 0..2 {
        signal(&gateway, "-HUP").await;
        let line = within(log.next_line()).await.unwrap().unwrap();
        assert!(line.contains("the configuration was reloaded"), "{line}");
        served().await;
    }

    for (uri, part) in [
        (format!("pkcs11:token=other;object=server?{query}"), "no token is there"),
        (format!("pkcs11:token=test;object=nobody?{query}"), "no such private key"),
        (format!("pkcs11:token=test;object=alice?{query}"), "not the key of the certificate"),
        (format!("pkcs11:token=test;object=server?{query}1"), "accept the PIN"),
    ] {
        let config = with_key(&uri);
        // A token that is open already does not look at the PIN.
        if part != "accept the PIN" {
            let line = within(log.next_line()).await.unwrap().unwrap();
            assert!(line.contains("not reloaded") && line.contains(part), "{line}");
            // The lines that show the place.
            for _ in 0..3 {
                let line = within(log.next_line()).await.unwrap().unwrap();
                assert!(!line.contains(PIN), "{line}");
            }
        }
        served().await;
        let mut command = countersign(&["gateway", "--check", "--config", &config]);
        command.env("SOFTHSM2_CONF", &softhsm);
        let done = run(command).await;
        assert_eq!(done.exit, 1);
        assert!(done.err.contains(part) && !done.err.contains(PIN), "{}", done.err);
        assert!(done.err.contains("token.toml:"), "{}", done.err);
    }
    gateway.kill().await.unwrap();
}

#[tokio::test]
async fn bad_uris_are_explained_without_the_pin() {
    let setting = Setting::new(Http::Two).await;
    for (identity, part) in [
        ("pkcs11:token=x?pin-value=746291", "PKCS11_MODULE"),
        ("pkcs11:token=x?module-path=/no/such.so&pin-value=746291", "/no/such.so"),
        ("pkcs11:token=x;pin-value=746291", "after a \"?\""),
        ("pkcs11:token=x?746291=1", "not supported"),
    ] {
        let done = fetch(&setting, identity, &[]).await;
        assert_eq!(done.exit, 58, "{}", done.err);
        assert!(done.err.contains(part) && !done.err.contains(PIN), "{}", done.err);
    }
}
