//! What the tests of the binary share: a folder, a PKI, a backend, a gateway, and ways to run commands.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use countersign_testkit::within;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The binary under test, with nothing of the caller's environment that changes what it does.
pub(crate) fn countersign(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).env_remove("SSLKEYLOGFILE").env_remove("RUST_LOG");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The version of HTTP that a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    Two,
    Three,
}

impl Http {
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Two => "--http2",
            Self::Three => "--http3",
        }
    }

    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Self::Two => "h2",
            Self::Three => "h3",
        }
    }

    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Two => "2",
            Self::Three => "3",
        }
    }

    /// The code that a connection ends with when all is well.
    pub(crate) fn no_error(self) -> &'static str {
        match self {
            Self::Two => "NO_ERROR",
            Self::Three => "H3_NO_ERROR",
        }
    }
}

/// Two tests from one function that takes an [`Http`].
macro_rules! over_both {
    ($name:ident) => {
        mod $name {
            use crate::support::Http;

            #[tokio::test]
            async fn http2() {
                super::$name(Http::Two).await;
            }

            #[tokio::test]
            async fn http3() {
                super::$name(Http::Three).await;
            }
        }
    };
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Standard output, one JSON value per line.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events of this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == name).collect()
    }

    /// The statuses of all responses.
    pub(crate) fn statuses(&self) -> Vec<u64> {
        self.named("response").iter().map(|event| event["status"].as_u64().unwrap()).collect()
    }
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Done {
    let output = within(command.output()).await.unwrap();
    Done {
        exit: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of its own for a test, removed with it.
#[derive(Debug)]
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("countersign-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An HTTP/1.1 server that answers every request with the request, as JSON.
pub(crate) async fn start_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)),
            );
        }
    });
    address
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let headers: serde_json::Map<_, _> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let seen = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    Ok(Response::new(Full::new(seen.to_string().into())))
}

/// A folder made by `pki init`, a backend, and a gateway between it and the world.
#[derive(Debug)]
pub(crate) struct Setting {
    /// What [`Setting::fetch`] speaks, unless told otherwise.
    pub(crate) http: Http,
    pub(crate) pki: Folder,
    pub(crate) port: u16,
    pub(crate) gateway: Child,
}

impl Setting {
    /// With the gateway.toml of `pki init`, on other ports.
    pub(crate) async fn new(http: Http) -> Self {
        Self::with(http, |text| text).await
    }

    /// The same with something changed in gateway.toml.
    pub(crate) async fn with(http: Http, change: impl FnOnce(String) -> String) -> Self {
        let pki = Folder::new();
        let done = run(countersign(&["pki", "init", &pki.path("")])).await;
        assert_eq!(done.exit, 0, "{}", done.err);
        let backend = start_backend().await;
        let text = pki
            .read("gateway.toml")
            .replace("127.0.0.1:8443", "127.0.0.1:0")
            .replace("127.0.0.1:9000", &backend.to_string());
        let config = pki.write("test.toml", &change(text));
        let (gateway, port) = start_gateway(&config).await;
        Self { http, pki, port, gateway }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// `CERT,KEY` of somebody in the PKI.
    pub(crate) fn identity(&self, name: &str) -> String {
        format!(
            "{},{}",
            self.pki.path(&format!("{name}.pem")),
            self.pki.path(&format!("{name}.key"))
        )
    }

    /// `countersign fetch` with these identities and options, then the URLs of these paths.
    pub(crate) async fn fetch(
        &self,
        identities: &[&str],
        options: &[&str],
        paths: &[&str],
    ) -> Done {
        run(self.fetch_command(identities, options, paths)).await
    }

    pub(crate) fn fetch_command(
        &self,
        identities: &[&str],
        options: &[&str],
        paths: &[&str],
    ) -> Command {
        let mut command = countersign(&["fetch", "--cacert", &self.pki.path("server-ca.pem")]);
        for name in identities {
            command.args(["--identity", &self.identity(name)]);
        }
        if !options.contains(&"--http1.1") {
            command.arg(self.http.flag());
        }
        command.args(options).args(paths.iter().map(|path| self.url(path)));
        command
    }
}

/// Starts a gateway and waits until it says that it listens.
pub(crate) async fn start_gateway(config: &str) -> (Child, u16) {
    start_gateway_by(countersign(&["gateway", "--config", config])).await
}

/// The same by a command that was changed.
pub(crate) async fn start_gateway_by(mut command: Command) -> (Child, u16) {
    let mut gateway = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let line = within(lines.next_line()).await.unwrap().expect("the gateway ended at once");
    let addresses = line.strip_prefix("listening tcp=127.0.0.1:").unwrap();
    let (tcp, udp) = addresses.split_once(" udp=127.0.0.1:").unwrap();
    assert_eq!(tcp, udp, "HTTP/3 is to be found at the port of TCP");
    (gateway, tcp.parse().unwrap())
}

/// The repository's test vectors.
pub(crate) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/exported-authenticator.json")
}
