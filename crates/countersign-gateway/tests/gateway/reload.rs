//! Another configuration while the gateway runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::client;
use countersign_gateway::{ReloadError, Reloader};
use countersign_testkit::pki::{Authority, KeyKind, Leaf, Serial, Validity, crls_pem};
use countersign_testkit::tls::{TlsOptions, test_pki};
use countersign_testkit::within;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::{
    Answer, Backend, Client, HEAD, Running, Version, for_both_versions, origin, tls,
};

for_both_versions! {
    live_connections_get_new_routes_with_their_next_request,
    what_is_wrong_changes_nothing,
    what_new_trust_does_not_grant_is_gone,
    revocation_lists_only_go_forward,
    a_new_certificate_is_for_new_connections,
}

fn open(backend: &Backend) -> String {
    format!("{HEAD}[[routes]]\npath = \"/\"\nupstream = \"http://{}\"\n", backend.address)
}

async fn client(version: Version, gateway: &Running) -> Client {
    let pki = test_pki();
    Client::showing(version, gateway, &[&pki.device, &pki.alice]).await
}

async fn live_connections_get_new_routes_with_their_next_request(version: Version) {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let gateway = Running::start(&open(&old)).await;
    let client = client(version, &gateway).await;
    assert_eq!(client.get("/one").await.status, 200);
    gateway.write("gateway.toml", open(&new).replace("path = \"/\"", "path = \"/two\""));
    gateway.reload().await.unwrap();
    assert_eq!(client.get("/two").await.status, 200);
    assert_eq!(client.get("/one").await.status, 404);
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
    assert_eq!(gateway.reloader.status().generation, 2);
}

async fn what_is_wrong_changes_nothing(version: Version) {
    let backend = Backend::start().await;
    let good = open(&backend);
    let gateway = Running::start(&good).await;
    let live = client(version, &gateway).await;
    let restart = good.replace("127.0.0.1:0", "127.0.0.1:1");
    let bad = [
        ("gateway.toml", "nonsense".to_owned(), "gateway.toml:1"),
        ("gateway.toml", good.replace("path", "pth"), "pth"),
        ("gateway.toml", good.replace("server.key", "gone.key"), "gone.key"),
        ("gateway.toml", restart, "listen.address"),
        (
            "gateway.toml",
            good.replace("[[tls]]", "admin = \"127.0.0.1:0\"\n[[tls]]"),
            "listen.admin",
        ),
        ("gateway.toml", good.replace("http3 = true", "http3 = false"), "listen.http3"),
        ("server.key", test_pki().device.key_pem(), "server.key"),
        ("user.crl", "-----BEGIN X509 CRL-----\nAAAA".to_owned(), "user.crl"),
        ("user-ca.pem", String::new(), "user-ca.pem"),
    ];
    for (file, content, told) in bad {
        let before = std::fs::read(gateway.path(file)).unwrap();
        gateway.write(file, content);
        let error = gateway.reload().await.unwrap_err().to_string();
        assert!(error.contains(told), "{file}: {error}");
        let status = gateway.reloader.status();
        assert_eq!(status.failure.map(|(_, reason)| reason), Some(error));
        assert_eq!(status.generation, 1);
        gateway.write(file, before);
        assert_eq!(live.get("/").await.status, 200);
        assert_eq!(client(version, &gateway).await.get("/").await.status, 200);
    }
    gateway.reload().await.unwrap();
    assert!(gateway.reloader.status().failure.is_none());
}

async fn what_new_trust_does_not_grant_is_gone(version: Version) {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    let client = client(version, &gateway).await;
    assert_eq!(client.get("/admin/").await.status, 200);
    // The same name of the same authority, but another key.
    let other = Authority::root("Other users", KeyKind::P256).unwrap();
    gateway.write("user-ca.pem", other.root_pem());
    gateway.reload().await.unwrap();
    let answer = client.get("/admin/").await;
    assert_eq!((answer.status.as_u16(), answer.problem().1), (403, vec!["user".to_owned()]));
    assert_eq!(client.get("/public/").await.status, 200);
    // The device is known all the time.
    gateway.write(
        "user-ca.pem",
        test_pki().files().iter().find(|file| file.0 == "user-ca.pem").unwrap().1.clone(),
    );
    gateway.reload().await.unwrap();
    assert_eq!(client.get("/admin/").await.status, 200);
}

async fn revocation_lists_only_go_forward(version: Version) {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let alice = users.issue(&Leaf::client("alice").email("alice@example.test")).unwrap();
    let now = time::OffsetDateTime::now_utc();
    let publish = |hours, revoked: &[Serial]| {
        let not_before = now - time::Duration::hours(hours);
        let validity = Validity { not_before, not_after: now + time::Duration::hours(1) };
        gateway.write("user.crl", crls_pem(&[users.crl_with(revoked, validity).unwrap()]));
    };
    gateway.write("user-ca.pem", users.root_pem());
    publish(2, &[]);
    gateway.reload().await.unwrap();
    let client = Client::showing(version, &gateway, &[&test_pki().device, &alice]).await;
    assert_eq!(client.get("/admin/").await.status, 200);

    publish(3, &[]);
    let error = gateway.reload().await.unwrap_err().to_string();
    assert!(error.contains("`user.crl` is older than the one in force"), "{error}");
    gateway.write("user.crl", "-----BEGIN X509 CRL-----\nMIIB");
    gateway.reload().await.unwrap_err();
    assert_eq!(gateway.reloader.status().generation, 2);
    assert_eq!(client.get("/admin/").await.status, 200);

    publish(1, std::slice::from_ref(&alice.serial));
    gateway.reload().await.unwrap();
    let revoked = |answer: Answer| (answer.status.as_u16(), answer.problem().0);
    assert_eq!(
        revoked(client.get("/admin/").await),
        (403, "urn:countersign:credential-revoked".to_owned())
    );
    // What was revoked stays so, also where an earlier list would be put back.
    publish(2, &[]);
    gateway.reload().await.unwrap_err();
    assert_eq!(client.get("/admin/").await.status, 403);
}

async fn a_new_certificate_is_for_new_connections(version: Version) {
    let backend = Backend::start().await;
    let gateway = Running::start(&open(&backend)).await;
    let live = client(version, &gateway).await;
    assert_eq!(live.get("/").await.status, 200);
    let unknown = Authority::root("Unknown", KeyKind::P256).unwrap();
    let renewed = unknown.issue(&Leaf::server("localhost").dns("localhost")).unwrap();
    gateway.write("server.pem", renewed.pem());
    gateway.write("server.key", renewed.key_pem());
    gateway.reload().await.unwrap();
    assert_eq!(live.get("/").await.status, 200);
    let auth = client::AuthConfig::builder(TlsOptions::default().provider()).build().unwrap();
    let tls = tls(version.alpn(), None);
    let refused = Client::to(version, &gateway, origin(&gateway), tls, auth).await;
    assert!(refused.is_err(), "its authority is none that the client knows");
}

/// Waits for what happens in the background.
async fn until(condition: impl Fn() -> bool) {
    within(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !condition() {
            ticks.tick().await;
        }
    })
    .await;
}

fn follow(reloader: &Reloader, file: &Path) -> mpsc::Sender<()> {
    let (ask, asked) = mpsc::channel(1);
    tokio::spawn(reloader.clone().follow(file.to_owned(), asked));
    ask
}

#[tokio::test]
async fn changed_files_are_noticed() {
    let backend = Backend::start().await;
    let gateway = Running::start(&open(&backend)).await;
    let ask = follow(&gateway.reloader, &gateway.path("gateway.toml"));
    // The first request is answered once the folders are watched.
    ask.send(()).await.unwrap();
    until(|| gateway.reloader.status().generation == 2).await;

    // A file that the configuration names, put in place of the old one as editors do it.
    let unknown = Authority::root("Unknown", KeyKind::P256).unwrap();
    gateway.write("new", unknown.root_pem());
    std::fs::rename(gateway.path("new"), gateway.path("device-ca.pem")).unwrap();
    until(|| gateway.reloader.status().generation == 3).await;

    gateway.write("gateway.toml", "nonsense");
    until(|| gateway.reloader.status().failure.is_some()).await;
    // What made it fail is watched as well, though it is in force nowhere.
    let text = open(&backend).replace("user.crl", "elsewhere/other.crl");
    gateway.write("gateway.toml", text);
    let missing = |(_, reason): (_, String)| reason.contains("other.crl");
    until(|| gateway.reloader.status().failure.is_some_and(missing)).await;
    std::fs::create_dir(gateway.path("elsewhere")).unwrap();
    std::fs::copy(gateway.path("user.crl"), gateway.path("elsewhere/other.crl")).unwrap();
    ask.send(()).await.unwrap();
    until(|| gateway.reloader.status().generation == 4).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_swapped_link_is_noticed_as_kubernetes_does_it() {
    use std::os::unix::fs::symlink;

    let backend = Backend::start().await;
    let gateway = Running::start(&open(&backend)).await;
    let mount = tempfile::tempdir().unwrap();
    let version = |name: &str, route: &str| {
        let folder = mount.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for (name, content) in test_pki().files() {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let text = open(&backend).replace("path = \"/\"", &format!("path = \"{route}\""));
        std::fs::write(folder.join("gateway.toml"), text).unwrap();
    };
    version("..1", "/one");
    symlink("..1", mount.path().join("..data")).unwrap();
    for (name, _) in test_pki().files() {
        symlink(Path::new("..data").join(&name), mount.path().join(&name)).unwrap();
    }
    let file = mount.path().join("gateway.toml");
    let ask = follow(&gateway.reloader, &file);
    ask.send(()).await.unwrap();
    until(|| gateway.reloader.status().generation == 2).await;

    version("..2", "/two");
    symlink("..2", mount.path().join("..new")).unwrap();
    std::fs::rename(mount.path().join("..new"), mount.path().join("..data")).unwrap();
    until(|| gateway.reloader.status().generation == 3).await;
    let client = client(Version::Http2, &gateway).await;
    assert_eq!(client.get("/two").await.status, 200);
    assert_eq!(client.get("/one").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_in_a_hundred_reloads() {
    let backend = Backend::start().await;
    let gateway = Arc::new(Running::standard(&format!("http://{}", backend.address)).await);
    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..50 {
        let version = if number % 2 == 0 { Version::Http2 } else { Version::Http3 };
        let (gateway, done, served) =
            (Arc::clone(&gateway), Arc::clone(&done), Arc::clone(&served));
        clients.spawn(async move {
            let client = client(version, &gateway).await;
            while !done.load(Ordering::SeqCst) {
                for path in ["/public/", "/admin/"] {
                    let answer = client.get(path).await;
                    assert_eq!(answer.status, 200, "{version:?} {path}");
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    until(|| served.load(Ordering::SeqCst) >= 100).await;
    for round in 0..100 {
        // Once in a while something that must not be taken.
        if round % 10 == 0 {
            let text = std::fs::read_to_string(gateway.path("gateway.toml")).unwrap();
            gateway.write("gateway.toml", "nonsense");
            assert!(matches!(gateway.reload().await, Err(ReloadError::Config(_))));
            gateway.write("gateway.toml", text);
        }
        gateway.reload().await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    while let Some(ended) = within(clients.join_next()).await {
        ended.unwrap();
    }
    assert_eq!(gateway.reloader.status().generation, 101);
}
