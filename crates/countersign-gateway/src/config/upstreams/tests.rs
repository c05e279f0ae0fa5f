use std::path::Path;
use std::time::Duration;

use countersign_testkit::tls::test_pki;

use super::super::Config;

/// What a configuration with these upstreams and one route to `upstream` comes to: how the route's upstream is
/// shown with all its settings, or what is said.
fn parse(upstream: &str, tables: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in test_pki().files() {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[[tls]]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\
         [[routes]]\npath = \"/\"\nupstream = {upstream}\n{tables}"
    );
    let config = Config::parse(&text, Path::new(&folder.path().join("gateway.toml")));
    match config {
        Ok(config) => {
            assert!(config.inputs.len() >= 3);
            Ok(config.routes.iter().map(|route| format!("{:?}", route.upstream)).collect())
        }
        Err(error) => Err(error.to_string().replace(&format!("{}/", folder.path().display()), "")),
    }
}

fn backend(lines: &str) -> Result<String, String> {
    parse("\"backend\"", &format!("[upstreams.backend]\n{lines}\n"))
}

#[test]
fn every_value_gets_where_it_belongs() {
    let read = backend(
        "servers = [\"https://localhost:9443\"]\nconnect_timeout = \"1s\"\nfirst_byte_timeout = \"2s\"\n\
         idle_timeout = \"3s\"\nretries = 3\nmax_idle_connections = 9\nhttp = \"2\"\n\
         tls = { trust = \"server-ca.pem\", server_name = \"a.test\", certificate = \"device.pem\", key = \"device.key\" }\n\
         health = { path = \"/h?x\", interval = \"4s\", timeout = \"5s\", healthy = 6, unhealthy = 7, status = 204 }",
    )
    .unwrap();
    let time = |seconds| format!("{:?}", Duration::from_secs(seconds));
    for told in [
        format!("connect_timeout: {}", time(1)),
        format!("first_byte_timeout: {}", time(2)),
        format!("idle_timeout: {}", time(3)),
        "retries: 3, max_idle_connections: 9".into(),
        "versions: Http2, server_name: Some(DnsName(\"a.test\"))".into(),
        "path: /h?x".into(),
        format!("interval: {}, timeout: {}, healthy: 6, unhealthy: 7", time(4), time(5)),
        "status: Some(204)".into(),
    ] {
        assert!(read.contains(&told), "{told}: {read}");
    }
    for file in ["server-ca.pem", "device.pem", "device.key"] {
        assert!(read.contains(file), "{file}: {read}");
    }
}

#[test]
fn a_name_that_is_none_is_told_with_the_nearest() {
    let table = "[upstreams.orders]\nservers = [\"http://127.0.0.1:9000\"]\n";
    assert_eq!(
        parse("\"order\"", table).unwrap_err(),
        "\
gateway.toml:8:12: there is no upstream `order`
 8 | upstream = \"order\"
   |            ^^^^^^^
   = did you mean `orders`? known upstreams: `orders`"
    );
    parse("\"orders\"", table).unwrap();
}

#[test]
fn https_needs_a_table_that_says_whom_to_trust() {
    for upstream in ["\"https://localhost\"", "[\"https://localhost\"]"] {
        let said = parse(upstream, "").unwrap_err();
        assert!(
            said.starts_with("gateway.toml:8:12: an upstream with `https` needs a table"),
            "{said}"
        );
    }
    let said = backend("servers = [\"https://localhost\"]").unwrap_err();
    assert!(said.contains("lacks the key `tls`"), "{said}");
}

#[test]
fn what_does_not_fit_together_is_told() {
    for (lines, told) in [
        ("", "[upstreams.backend] lacks the key `servers`"),
        ("servers = []", "`servers` needs at least one server"),
        ("servers = [\"http://a\", \"h2c://a\"]", "all of them must have the same scheme"),
        ("servers = [\"ftp://a\"]", "`ftp://a` is no upstream"),
        ("servers = [\"http://a\"]\nhttp = \"2\"", "`http` is for servers with `https`"),
        (
            "servers = [\"http://a\"]\ntls = { trust = \"server-ca.pem\" }",
            "`tls` is for servers with `https`",
        ),
        (
            "servers = [\"https://a\"]\nhttp = \"3\"\ntls = { trust = \"server-ca.pem\" }",
            "`3` is no value of `http`",
        ),
        ("servers = [\"https://a\"]\ntls = {}", "tls lacks the key `trust`"),
        ("servers = [\"https://a\"]\ntls = { trust = \"none.pem\" }", "`none.pem` cannot be read"),
        (
            "servers = [\"https://a\"]\ntls = { trust = \"server-ca.pem\", key = \"device.key\" }",
            "tls lacks the key `certificate`",
        ),
        (
            "servers = [\"https://a\"]\ntls = { trust = \"server-ca.pem\", certificate = \"device.pem\", key = \"alice.key\" }",
            "the key `alice.key` is not that of the certificate `device.pem`",
        ),
        (
            "servers = [\"https://a\"]\ntls = { trust = \"server-ca.pem\", server_name = \"a b\" }",
            "`a b` is no name that a certificate could be for",
        ),
        ("servers = [\"http://a\"]\nretries = 4", "`retries` is out of range"),
        ("servers = [\"http://a\"]\nidle_timeout = \"1h\"", "`1h` is no value of `idle_timeout`"),
        ("servers = [\"http://a\"]\nhealth = {}", "health lacks the key `path`"),
        ("servers = [\"http://a\"]\nhealth = { path = \"h\" }", "`h` is no path"),
        (
            "servers = [\"http://a\"]\nhealth = { path = \"/\", status = 100 }",
            "`status` is out of range",
        ),
        ("servers = [\"http://a\"]\nserver = 1", "did you mean `servers`?"),
    ] {
        let said = backend(lines).unwrap_err();
        assert!(said.contains(told), "{lines}\n{said}");
        assert!(said.starts_with("gateway.toml:"), "{said}");
    }
    let said =
        parse("\"http://a\"", "[upstreams.\"a.b\"]\nservers = [\"http://a\"]\n").unwrap_err();
    assert!(said.contains("`a.b` is no name for an upstream"), "{said}");
}
