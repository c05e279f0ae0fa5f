//! Configurations, good and bad. What a mistake is answered with is written out in full: it is what
//! people read.

use std::path::Path;

use countersign_proto::CodePoints;
use countersign_testkit::pki::{Authority, KeyKind, Leaf, crls_pem};
use countersign_testkit::tls::test_pki;
use exported_authenticator::MessageType;

use super::*;

const TLS: &str = "[[tls]]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n";
const USER: &str = "[credentials.user]\ntrust = \"user-ca.pem\"\n";
const DEVICE: &str = "[credentials.device]\ntrust = \"device-ca.pem\"\n";
const ROUTE: &str = "[[routes]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9000\"\n";
const LISTEN: &str = "[listen]\naddress = \"127.0.0.1:0\"\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in test_pki().files() {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn parse_in(folder: &Path, text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, &folder.join("gateway.toml"))
}

/// What is said about `text`, with the folder's name taken out.
fn said(text: &str) -> String {
    let folder = folder();
    let error = parse_in(folder.path(), text).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

/// The parts of a sound configuration, with one replaced.
fn with(replaced: &str, by: &str) -> String {
    [LISTEN, TLS, USER, DEVICE, ROUTE].map(|part| if part == replaced { by } else { part }).concat()
}

fn route(lines: &str) -> String {
    with(ROUTE, &format!("{ROUTE}{lines}\n"))
}

#[track_caller]
fn says(text: &str, expected: &str) {
    let said = said(text);
    assert!(said == expected.trim_matches('\n'), "it says:\n{said}");
}

#[test]
fn the_configuration_of_the_test_pki_is_sound() {
    let folder = folder();
    let config = Config::load(folder.path().join("gateway.toml")).unwrap();
    assert_eq!(config.address(), "127.0.0.1:8443".parse().unwrap());
    let user = config.credentials.iter().find(|one| &*one.name == "user").unwrap();
    assert!(user.accept_handshake && !user.ask_on_connect);
    let device = config.credentials.iter().find(|one| &*one.name == "device").unwrap();
    assert!(!device.accept_handshake && device.ask_on_connect);
    assert_eq!(config.pool, Pool::default());
    let admin = config.routes.iter().find(|route| route.path == "/admin/").unwrap();
    assert_eq!(admin.require, ["device".into(), "user".into()]);
    assert_eq!(admin.forward.client_cert.as_deref(), Some("user"));
    assert_eq!(admin.forward.xfcc.as_deref(), Some("user"));
    assert!(admin.forward.identities);
}

#[test]
fn what_is_left_out_has_a_default() {
    let folder = folder();
    let config = parse_in(folder.path(), &with("", "")).unwrap();
    assert_eq!(config.protocol.code_points, CodePoints::default());
    assert_eq!(config.protocol.message_type, MessageType::ClientCertificateRequest);
    let text = with("", "")
        + "[protocol]\nframe_certificate = 0xf7\nmessage_type = 13\n[pool]\ngeneric_challenges = 2\nanswer_timeout = \"500ms\"\n";
    let config = parse_in(folder.path(), &text).unwrap();
    assert_eq!(config.protocol.code_points.frame_certificate, 0xf7);
    assert_eq!(config.protocol.message_type, MessageType::CertificateRequest);
    let pool = Pool { generic_challenges: 2, answer_timeout: Duration::from_millis(500) };
    assert_eq!(config.pool, pool);
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    says(
        &route("requires = [\"user\"]"),
        r#"
gateway.toml:13:1: unknown key `requires` in [[routes]]
 13 | requires = ["user"]
    | ^^^^^^^^
   = did you mean `require`? known keys: `path`, `require`, `allow`, `without_extension`, `upstream`, `forward`
"#,
    );
    says(
        &with(USER, "[credential.user]\ntrust = \"user-ca.pem\"\n"),
        r#"
gateway.toml:6:2: unknown key `credential` in the configuration
 6 | [credential.user]
   |  ^^^^^^^^^^
   = did you mean `credentials`? known keys: `listen`, `limits`, `audit`, `tls`, `credentials`, `pool`, `upstreams`, `routes`, `protocol`
"#,
    );
    says(
        &with(LISTEN, "[listen]\naddress = \"127.0.0.1:0\"\nwhatever = 1\n"),
        r#"
gateway.toml:3:1: unknown key `whatever` in [listen]
 3 | whatever = 1
   | ^^^^^^^^
   = known keys: `address`, `http3`, `admin`
"#,
    );
}

#[test]
fn every_mistake_is_told_in_the_order_of_the_file() {
    says(
        &[
            "[listen]\naddress = 8443\n",
            TLS,
            "[credentials.user]\ntrust = \"nobody.pem\"\nask = \"always\"\n",
            "[[routes]]\npath = \"admin\"\nrequire = [\"usr\"]\n",
        ]
        .concat(),
        r#"
gateway.toml:2:11: `address` in [listen] must be a string
 2 | address = 8443
   |           ^^^^
   = found: integer

gateway.toml:7:9: the trust store `nobody.pem` cannot be read: No such file or directory (os error 2)
 7 | trust = "nobody.pem"
   |         ^^^^^^^^^^^^
   = paths are relative to the folder of the configuration

gateway.toml:8:7: `always` is no value of `ask`
 8 | ask = "always"
   |       ^^^^^^^^
   = known values: `on-connect`, `on-demand`

gateway.toml:9:1: [[routes]] lacks the key `upstream`
 9 | [[routes]]
   | ^^^^^^^^^^
   = for example: upstream = "http://127.0.0.1:9000"

gateway.toml:10:8: `admin` is no path for a route: the path does not begin with `/`
 10 | path = "admin"
    |        ^^^^^^^
   = an absolute path such as `/admin/`, without dot segments, `//`, `;`, `?`, `#` and needless percent-encoding

gateway.toml:11:12: there is no credential `usr`
 11 | require = ["usr"]
    |            ^^^^^
   = did you mean `user`? known credentials: `user`
"#,
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    says(
        "[listen]\naddress = \n",
        r#"
gateway.toml:2:11: string values must be quoted, expected literal string
 2 | address = 
   |           ^
"#,
    );
}

#[test]
fn what_stands_there_twice_is_told() {
    says(
        &with(LISTEN, &format!("{LISTEN}address = \"127.0.0.1:1\"\n")),
        r#"
gateway.toml:3:1: duplicate key
 3 | address = "127.0.0.1:1"
   | ^^^^^^^
   = a key stands once in its table, and a table once
"#,
    );
    says(
        &with(USER, &format!("{USER}{USER}")),
        r#"
gateway.toml:8:14: duplicate key
 8 | [credentials.user]
   |              ^^^^
   = a key stands once in its table, and a table once

gateway.toml:9:1: duplicate key
 9 | trust = "user-ca.pem"
   | ^^^^^
   = a key stands once in its table, and a table once
"#,
    );
    says(
        &route("require = [\"user\", \"user\"]"),
        r#"
gateway.toml:13:20: `user` is required twice
 13 | require = ["user", "user"]
    |                    ^^^^^^
   = once is enough
"#,
    );
}

#[test]
fn a_word_that_is_nearly_right_is_told_the_right_one() {
    says(
        &with(USER, &format!("{USER}ask = \"on_demand\"\nhandshake = \"Accept\"\n")),
        r#"
gateway.toml:8:7: `on_demand` is no value of `ask`
 8 | ask = "on_demand"
   |       ^^^^^^^^^^^
   = did you mean `on-demand`? known values: `on-connect`, `on-demand`

gateway.toml:9:13: `Accept` is no value of `handshake`
 9 | handshake = "Accept"
   |             ^^^^^^^^
   = did you mean `accept`? known values: `accept`, `ignore`
"#,
    );
}

#[test]
fn what_to_listen_on_is_read_or_told() {
    says(
        &with(LISTEN, "[listen]\naddress = \"127.0.0.1:0\"\nhttp3 = 1\nadmin = \"9090\"\n"),
        r#"
gateway.toml:3:9: `http3` in [listen] must be true or false
 3 | http3 = 1
   |         ^
   = found: integer

gateway.toml:4:9: `9090` is no address to listen on
 4 | admin = "9090"
   |         ^^^^^^
   = an IP address and a port: `127.0.0.1:8443`, `0.0.0.0:443`, `[::]:443`
"#,
    );
    let folder = folder();
    for (line, http3) in [("", false), ("http3 = false\n", false), ("http3 = true\n", true)] {
        let config = parse_in(folder.path(), &with(LISTEN, &format!("{LISTEN}{line}"))).unwrap();
        assert_eq!(config.http3, http3);
    }
    says(
        &with(USER, &format!("{USER}spiffe_trust_domains = [\"x\"]\n")),
        r#"
gateway.toml:8:1: `spiffe_trust_domains` is not available in this version
 8 | spiffe_trust_domains = ["x"]
   | ^^^^^^^^^^^^^^^^^^^^
   = leave it out; `subject_alt_names = ["spiffe://example.test/…"]` matches URIs
"#,
    );
    says(
        &with(
            TLS,
            "[[tls]]\ncertificate = \"server.pem\"\nkey = \"pkcs11:token=x?pin-value=1234&a=b\"\n",
        ),
        r#"
gateway.toml:5:7: the key `pkcs11:token=x` cannot be used: this program does not open tokens
 5 | key = "pkcs11:token=x?pin-value=****&a=b"
   |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = a `pkcs11:` URI of the certificate's key, in a token that is there; or the path of a PEM file
"#,
    );
}

#[test]
fn files_that_hold_something_else_are_told() {
    says(
        &with(TLS, "[[tls]]\ncertificate = \"server.key\"\nkey = \"server.pem\"\n"),
        r#"
gateway.toml:4:15: the certificate `server.key` holds no certificate
 4 | certificate = "server.key"
   |               ^^^^^^^^^^^^
   = a PEM file with one or more blocks `-----BEGIN CERTIFICATE-----`

gateway.toml:5:7: the file `server.pem` holds no private key
 5 | key = "server.pem"
   |       ^^^^^^^^^^^^
   = a PEM file with a block `-----BEGIN PRIVATE KEY-----`, not encrypted
"#,
    );
    says(
        &with(TLS, "[[tls]]\ncertificate = \"server.pem\"\nkey = \"alice.key\"\n"),
        r#"
gateway.toml:5:7: the key `alice.key` is not that of the certificate `server.pem`
 5 | key = "alice.key"
   |       ^^^^^^^^^^^
   = the key that the first certificate in the file was issued for
"#,
    );
    says(
        &with(USER, &format!("{USER}crl = [\"alice.pem\"]\n")),
        r#"
gateway.toml:8:8: the revocation list `alice.pem` holds no list
 8 | crl = ["alice.pem"]
   |        ^^^^^^^^^^^
   = a PEM file with one or more blocks `-----BEGIN X509 CRL-----`, their issuers' certificates beside them if you like, or one list in DER
"#,
    );
    let folder = folder();
    std::fs::write(folder.path().join("broken.pem"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let text = with(USER, "[credentials.user]\ntrust = \"broken.pem\"\n");
    let said = parse_in(folder.path(), &text).unwrap_err().to_string();
    assert!(said.contains("gateway.toml:7:9: the trust store `"), "{said}");
    assert!(said.contains("broken.pem` is not PEM: "), "{said}");
}

#[test]
fn a_list_must_be_of_the_issuer_whose_certificate_stands_beside_it() {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let [users, impostor] =
        ["Users"; 2].map(|name| root.intermediate(name, KeyKind::P256).unwrap());
    let certificate = users.issue(&Leaf::client("alice")).unwrap().pem();
    let folder = folder();
    let with_list_of = |authority: &Authority| {
        let list = crls_pem(&[authority.crl(&[]).unwrap()]);
        std::fs::write(folder.path().join("a.crl"), list + &certificate).unwrap();
        parse_in(folder.path(), &with(USER, &format!("{USER}crl = [\"a.crl\"]\n")))
    };
    with_list_of(&users).unwrap();
    let said = with_list_of(&impostor).unwrap_err().to_string();
    assert!(said.contains("gateway.toml:8:8: the revocation list `"), "{said}");
    assert!(said.contains("was not signed by the issuer that it names"), "{said}");
}

#[test]
fn clients_without_the_extension_are_refused_or_sent_elsewhere() {
    let folder = folder();
    for (value, expected) in [
        ("refuse", None),
        ("redirect:https://help.example.test/a?b", Some("https://help.example.test/a?b")),
        ("redirect:http://[::1]:8080/", Some("http://[::1]:8080/")),
    ] {
        let text = route(&format!("without_extension = \"{value}\""));
        let config = parse_in(folder.path(), &text).unwrap();
        let read = config.routes.iter().next().unwrap().without_extension.clone();
        assert_eq!(read.as_ref().map(|url| url.to_str().unwrap()), expected);
    }
    says(
        &route("without_extension = \"redirect:/help\""),
        r#"
gateway.toml:13:21: `redirect:/help` is no value of `without_extension`
 13 | without_extension = "redirect:/help"
    |                     ^^^^^^^^^^^^^^^^
   = `refuse`, or `redirect:` and a URL such as `redirect:https://example.test/help`
"#,
    );
    for value in ["", "redirect:", "redirect:ftp://a/", "redirect:https://u@a/", "Refuse"] {
        let text = route(&format!("without_extension = \"{value}\""));
        assert!(parse_in(folder.path(), &text).is_err(), "{value}");
    }
}

#[test]
fn routes_that_cannot_mean_what_they_say_are_told() {
    says(
        &route(
            "require = [\"user\"]\nallow = [{ credential = \"device\", subject_alt_names = [\"*.test\"] }]",
        ),
        r#"
gateway.toml:14:25: `device` is looked at by `allow` but not required by the route
 14 | allow = [{ credential = "device", subject_alt_names = ["*.test"] }]
    |                         ^^^^^^^^
   = add it: require = ["user", "device"]
"#,
    );
    says(
        &route("require = [\"user\"]\nallow = []"),
        r#"
gateway.toml:14:9: `allow` is an empty list: nobody could pass
 14 | allow = []
    |         ^^
   = leave it out to let everybody pass who holds what the route requires
"#,
    );
    says(
        &route(
            "require = [\"user\"]\nallow = [{ credential = \"user\", subject_alt_names = [\"a..b\"] }]",
        ),
        r#"
gateway.toml:14:54: `a..b` is no pattern for names: the host in a name pattern is labels of letters, digits, `-`, `_` and `*` with dots between
 14 | allow = [{ credential = "user", subject_alt_names = ["a..b"] }]
    |                                                      ^^^^^^
   = for example: `*@example.test`, `device-1.example.test`, `spiffe://example.test/*`
"#,
    );
    says(
        &route("require = [\"user\", \"device\"]\nforward = { xfcc = true }"),
        r#"
gateway.toml:14:20: `xfcc` tells of one credential, and it is not clear of which
 14 | forward = { xfcc = true }
    |                    ^^^^
   = name it with `client_cert`, or require exactly one
"#,
    );
    says(
        &with(ROUTE, "[[routes]]\npath = \"/\"\nupstream = \"127.0.0.1:9000\"\n"),
        r#"
gateway.toml:12:12: `127.0.0.1:9000` is no upstream: an upstream is a URL such as `http://127.0.0.1:9000` or `h2c://127.0.0.1:9000`
 12 | upstream = "127.0.0.1:9000"
    |            ^^^^^^^^^^^^^^^^
   = for example: `http://127.0.0.1:9000`, or `h2c://127.0.0.1:9000` for HTTP/2
"#,
    );
    let twice =
        format!("{ROUTE}{}", ROUTE.replace("\"/\"", "\"/a/\"")) + &ROUTE.replace("\"/\"", "\"/A\"");
    says(
        &with(ROUTE, &twice),
        r#"
gateway.toml:17:8: two routes for one path; the first is on line 14
 17 | path = "/A"
    |        ^^^^
   = paths that differ only in case or in a `/` at their end count as the same
"#,
    );
}

#[test]
fn values_out_of_range_are_told() {
    says(
        &(with("", "") + "[pool]\ngeneric_challenges = 1000\nanswer_timeout = \"soon\"\n"),
        r#"
gateway.toml:14:22: `generic_challenges` is out of range
 14 | generic_challenges = 1000
    |                      ^^^^
   = it goes from 0 to 64

gateway.toml:15:18: `soon` is no value of `answer_timeout`
 15 | answer_timeout = "soon"
    |                  ^^^^^^
   = a number and `ms`, `s` or `m`, from `1ms` to `10m`
"#,
    );
    says(
        &(with("", "") + "[protocol]\nframe_certificate = 0x04\n"),
        r#"
gateway.toml:13:1: these code points cannot be used: frame_certificate 0x4 is a value that HTTP itself uses; choose one above 0x10
 13 | [protocol]
    | ^^^^^^^^^^
"#,
    );
    says(
        &(with("", "") + "[protocol]\nmessage_type = 14\nframe_certificate = 256\n"),
        r#"
gateway.toml:14:16: `14` is no value of `message_type`
 14 | message_type = 14
    |                ^^
   = 17 (ClientCertificateRequest, as the draft says) or 13 (CertificateRequest)

gateway.toml:15:21: `frame_certificate` is out of range
 15 | frame_certificate = 256
    |                     ^^^
   = it goes from 1 to 255
"#,
    );
    says(
        &with(
            USER,
            &format!("{USER}extended_key_usages = [\"clientauth\"]\nsubject_alt_names = []\n"),
        ),
        r#"
gateway.toml:8:24: `clientauth` is no extended key usage
 8 | extended_key_usages = ["clientauth"]
   |                        ^^^^^^^^^^^^
   = did you mean `clientAuth`? an object identifier such as `1.3.6.1.5.5.7.3.2`, or one of: `serverAuth`, `clientAuth`, `codeSigning`, `emailProtection`, `timeStamping`, `OCSPSigning`, `smartcardLogon`, `anyExtendedKeyUsage`

gateway.toml:9:21: `subject_alt_names` is an empty list
 9 | subject_alt_names = []
   |                     ^^
   = leave it out to accept any name
"#,
    );
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    says(
        "",
        r#"
gateway.toml:1:1: the configuration lacks the key `listen`
 1 | 
   | ^
   = for example: [listen] with `address = "127.0.0.1:8443"`

gateway.toml:1:1: the configuration lacks the key `tls`
 1 | 
   | ^
   = for example: [[tls]] with `certificate = "server.pem"` and `key = "server.key"`

gateway.toml:1:1: there is no [[routes]]: every request would get 404
 1 | 
   | ^
   = for example: [[routes]] with `path = "/"` and `upstream = "http://127.0.0.1:9000"`
"#,
    );
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = Config::load("/nowhere/gateway.toml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/gateway.toml: the configuration cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(error.diagnostics()[0].line(), None);
}

#[test]
fn wrong_types_everywhere_are_mistakes_and_no_panics() {
    let folder = folder();
    let keys = [
        "listen",
        "tls",
        "credentials",
        "pool",
        "routes",
        "protocol",
        "listen.address",
        "listen.http3",
        "credentials.user",
        "credentials.user.trust",
        "credentials.user.crl",
        "credentials.user.ask",
        "pool.answer_timeout",
        "protocol.message_type",
    ];
    for key in keys {
        for value in [
            "1",
            "-1",
            "1.5",
            "true",
            "\"x\"",
            "[]",
            "[1]",
            "{}",
            "[{}]",
            "1979-05-27",
            "99999999999999999999",
        ] {
            let text = format!("{key} = {value}\n");
            assert!(parse_in(folder.path(), &text).is_err(), "{text}");
        }
    }
    for key in ["path", "require", "allow", "upstream", "forward"] {
        for value in ["1", "true", "[1]", "[{}]", "{ x = 1 }", "[{ credential = 1 }]"] {
            let text = with(ROUTE, &format!("[[routes]]\n{key} = {value}\n"));
            assert!(parse_in(folder.path(), &text).is_err(), "{text}");
        }
    }
}

/// Writes a certificate for `names` and its key, and names them in a `[[tls]]`.
fn tls_for(folder: &Path, file: &str, names: &[&str]) -> String {
    let root = Authority::root("Servers", KeyKind::P256).unwrap();
    let leaf = names.iter().fold(Leaf::server(file), |leaf, name| leaf.dns(*name));
    let issued = root.issue(&leaf).unwrap();
    std::fs::write(folder.join(format!("{file}.pem")), issued.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), issued.key_pem()).unwrap();
    format!("[[tls]]\ncertificate = \"{file}.pem\"\nkey = \"{file}.key\"\n")
}

#[test]
fn several_certificates_are_read_in_their_order() {
    let folder = folder();
    let more = tls_for(folder.path(), "b", &["B.test", "*.b.test", "b.test"])
        + &tls_for(folder.path(), "c", &["www.b.test"]);
    let config = parse_in(folder.path(), &with(TLS, &format!("{TLS}{more}"))).unwrap();
    let names: Vec<_> = config.certificates.iter().map(|one| one.names.join(" ")).collect();
    assert_eq!(names, ["localhost 127.0.0.1 ::1", "b.test *.b.test b.test", "www.b.test"]);
}

#[test]
fn what_is_wrong_with_each_certificate_is_told() {
    let folder = folder();
    let mut text = with(TLS, TLS);
    text += &tls_for(folder.path(), "b", &["b.test", "*.c.test"]);
    text += &tls_for(folder.path(), "c", &["c.test", "*.C.test", "b.test", "x.c.test"]);
    text += &tls_for(folder.path(), "nameless", &[]);
    text += "[[tls]]\ncertificate = \"server.pem\"\nkey = \"c.key\"\n";
    text += TLS;
    let error = parse_in(folder.path(), &text).unwrap_err().to_string();
    let said = error.replace(&format!("{}/", folder.path().display()), "");
    let expected = r#"
gateway.toml:17:15: the certificate `c.pem` is for names that the [[tls]] in line 13 is for: `*.c.test`, `b.test`
 17 | certificate = "c.pem"
    |               ^^^^^^^
   = one certificate for each name; a wildcard and a name that it covers may be in two

gateway.toml:20:15: the certificate `nameless.pem` is for no host
 20 | certificate = "nameless.pem"
    |               ^^^^^^^^^^^^^^
   = a certificate with a dNSName or an iPAddress in its subjectAltName

gateway.toml:24:7: the key `c.key` is not that of the certificate `server.pem`
 24 | key = "c.key"
    |       ^^^^^^^
   = the key that the first certificate in the file was issued for

gateway.toml:26:15: the certificate `server.pem` is for names that the [[tls]] in line 3 is for: `localhost`, `127.0.0.1`, `::1`
 26 | certificate = "server.pem"
    |               ^^^^^^^^^^^^
   = one certificate for each name; a wildcard and a name that it covers may be in two
"#;
    assert!(said == expected.trim_matches('\n'), "it says:\n{said}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered(text in "(\\[|\\]|=|\"|\n|[a-z. 0-9äé]){0,60}") {
        let _ = Config::parse(&text, Path::new("/nowhere/gateway.toml"));
    }
}
