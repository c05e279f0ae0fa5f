//! `countersign fetch` where one server shows certificates for several origins.

use std::path::Path;

use countersign_pki::{Authority, KeyKind, Leaf};
use tokio::process::Command;

use crate::support::{Done, Folder, Http, Setting, countersign, run};

/// The name that the gateway's handshake has no certificate for.
const OTHER: &str = "other.test";

/// A gateway with a second certificate, of an authority of its own.
struct TwoNames {
    setting: Setting,
    folder: Folder,
}

impl TwoNames {
    async fn new(http: Http) -> Self {
        let folder = Folder::new();
        let root = Authority::root("Other root", KeyKind::P256).unwrap();
        let other = root.issue(&Leaf::server(OTHER).dns(OTHER)).unwrap();
        let certificate = folder.write("other.pem", &other.pem());
        let key = folder.write("other.key", &other.key_pem());
        let tls = format!(
            "[[tls]]\ncertificate = {certificate:?}\nkey = {key:?}\n\n[credentials.device]"
        );
        let change = |text: String| text.replacen("[credentials.device]", &tls, 1);
        let setting = Setting::with(http, change).await;
        folder.write("roots.pem", &(setting.pki.read("server-ca.pem") + &root.root_pem()));
        Self { setting, folder }
    }

    fn url(&self) -> String {
        format!("https://{OTHER}:{}/public/", self.setting.port)
    }

    /// Fetches a page of each, with `address` as what DNS says of the second.
    async fn fetch(&self, roots: &Path, address: &str, options: &[&str]) -> Done {
        let port = self.setting.port;
        let resolve = format!("{OTHER}:{port}:{address}");
        let mut command: Command =
            countersign(&["fetch", "--resolve", &resolve, self.setting.http.flag()]);
        command.arg("--resolve").arg(format!("localhost:{port}:127.0.0.1"));
        command.arg("--cacert").arg(roots).args(options);
        command.args([self.setting.url("/public/"), self.url(), self.url()]);
        run(command).await
    }

    fn roots(&self) -> std::path::PathBuf {
        self.folder.0.join("roots.pem")
    }
}

over_both!(one_handshake_and_one_server_certificate_for_two_origins);
async fn one_handshake_and_one_server_certificate_for_two_origins(http: Http) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# A client SHOULD send all requests for an origin in the Origin Set over the connection that
    //# is authoritative for it, unless its operation calls for a new one.
    let names = TwoNames::new(http).await;
    let done = names.fetch(&names.roots(), "127.0.0.1", &["--json"]).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    assert_eq!(done.statuses(), [200, 200, 200]);
    assert_eq!(done.named("connected").len(), 1);
    assert_eq!(done.named("settings")[0]["server_cert_auth"], 1);
    let shown = done.named("server_certificate");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["names"], serde_json::json!([OTHER]));
    assert!(shown[0]["subject"].as_str().unwrap().contains(OTHER), "{}", shown[0]);
    assert!(shown[0].get("reason").is_none(), "{}", shown[0]);

    let done = names.fetch(&names.roots(), "127.0.0.1", &["-v"]).await;
    assert_eq!(done.err.matches("* Connected to ").count(), 1, "{}", done.err);
    assert!(done.err.contains("proves a certificate for other.test"), "{}", done.err);
    assert!(done.err.contains("is https://other.test:"), "{}", done.err);
}

over_both!(not_where_dns_leads_elsewhere_or_nobody_wants_it);
async fn not_where_dns_leads_elsewhere_or_nobody_wants_it(http: Http) {
    let names = TwoNames::new(http).await;
    // Nobody listens there, so a connection of its own fails.
    let done = names.fetch(&names.roots(), "127.0.0.2", &["--json"]).await;
    assert_eq!(done.exit, 7, "{}", done.err);
    assert_eq!(done.statuses(), [200]);
    let options = ["--json", "--coalesce", "certificate"];
    let done = names.fetch(&names.roots(), "127.0.0.2", &options).await;
    assert_eq!((done.exit, done.statuses()), (0, vec![200, 200, 200]), "{}", done.err);
    let options = ["--json", "--coalesce", "never"];
    let done = names.fetch(&names.roots(), "127.0.0.1", &options).await;
    assert_eq!((done.exit, done.named("connected").len()), (0, 2), "{}", done.err);
    assert!(done.named("server_certificate").is_empty());
}

over_both!(a_certificate_that_is_not_trusted_changes_nothing);
async fn a_certificate_that_is_not_trusted_changes_nothing(http: Http) {
    //= specs/server-certs.md#section-6.2
    //= type=test
    //# A client that finds a server's certificate unacceptable SHOULD try a new connection to reach
    //# a server with authority.
    let names = TwoNames::new(http).await;
    let roots = names.setting.pki.0.join("server-ca.pem");
    let done = names.fetch(&roots, "127.0.0.1", &["--json"]).await;
    // The other origin is tried on a connection of its own, where it is not trusted either.
    assert_eq!(done.exit, 60, "{}", done.err);
    assert_eq!(done.statuses(), [200]);
    let shown = done.named("server_certificate");
    assert!(shown[0]["reason"].as_str().unwrap().contains("not accepted"), "{}", shown[0]);
    assert_eq!(done.named("closed")[0]["initiator"], "client");
}
