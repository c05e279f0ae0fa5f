//! How `fetch` answers: with the identities that it was given, and only to the servers of its URLs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use countersign::client::{ClientCredential, CredentialResolver, Origin, Resolution};
use countersign::{AuthenticatorRequest, BoxFuture};
use tokio::sync::watch;

/// The identities of a command line.
///
/// A challenge that says what it wants gets the first identity that suits. One that does not is either
/// left in the pool for `--present`, or gets the first suitable identity that the connection has not
/// seen that way, so that a server which asks again and again is answered only so often.
#[derive(Debug)]
pub(super) struct Identities {
    origins: HashSet<Origin>,
    credentials: Vec<Arc<ClientCredential>>,
    keep_pool: bool,
    /// How many of the identities went to challenges that said nothing, by origin.
    volunteered: Mutex<HashMap<Origin, HashSet<usize>>>,
    /// Whether the server has left a challenge in the pool of the connection that began last.
    pool_filled: watch::Sender<bool>,
}

impl Identities {
    pub(super) fn new(
        origins: HashSet<Origin>,
        credentials: Vec<Arc<ClientCredential>>,
        keep_pool: bool,
    ) -> Self {
        Self {
            origins,
            credentials,
            keep_pool,
            volunteered: Mutex::default(),
            pool_filled: watch::Sender::new(false),
        }
    }

    /// A new connection to `origin` begins, on which nothing has been shown.
    pub(super) fn connection_begins(&self, origin: &Origin) {
        self.volunteered.lock().unwrap_or_else(PoisonError::into_inner).remove(origin);
        self.pool_filled.send_replace(false);
    }

    /// Waits until the server has left a challenge in the pool.
    pub(super) async fn pool_filled(&self) {
        // The sender lives as long as self, so there is always an answer.
        let _ = self.pool_filled.subscribe().wait_for(|filled| *filled).await;
    }

    fn choose(&self, origin: &Origin, request: &AuthenticatorRequest) -> Resolution {
        if !self.origins.contains(origin) {
            return decline("this server is none of those on the command line");
        }
        if !request.is_targeted() && self.keep_pool {
            self.pool_filled.send_replace(true);
            return Resolution::Later;
        }
        if self.credentials.is_empty() {
            return decline("no --identity was given");
        }
        let mut volunteered = self.volunteered.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = volunteered.entry(origin.clone()).or_default();
        let mut reason = None;
        for (index, credential) in self.credentials.iter().enumerate() {
            match credential.suits(request) {
                Err(unsuitable) => reason = Some(unsuitable.to_string()),
                Ok(()) if request.is_targeted() || seen.insert(index) => {
                    return Resolution::Present(Arc::clone(credential));
                }
                Ok(()) => {}
            }
        }
        match reason {
            Some(reason) if request.is_targeted() => decline(reason),
            _ => decline("every identity that suits has been shown"),
        }
    }
}

fn decline(reason: impl Into<Cow<'static, str>>) -> Resolution {
    Resolution::Decline(reason.into())
}

impl CredentialResolver for Identities {
    fn resolve<'a>(
        &'a self,
        origin: &'a Origin,
        request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        Box::pin(std::future::ready(self.choose(origin, request)))
    }
}

#[cfg(test)]
mod tests {
    use exported_authenticator::{MessageType, RequestTemplate};
    use rustls::crypto::aws_lc_rs;
    use rustls::{DistinguishedName, SignatureScheme};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::identity::identity;

    fn request(authority: Option<&[u8]>) -> AuthenticatorRequest {
        let mut template = RequestTemplate::new(vec![SignatureScheme::ECDSA_NISTP256_SHA256]);
        if let Some(root) = authority {
            let (_, root) = X509Certificate::from_der(root).unwrap();
            let name = DistinguishedName::from(root.subject().as_raw().to_vec());
            template = template.certificate_authorities(vec![name]);
        }
        template.build(MessageType::ClientCertificateRequest, b"context").unwrap()
    }

    fn load(issued: &countersign_pki::Issued) -> Arc<ClientCredential> {
        let provider = aws_lc_rs::default_provider();
        let identity = identity(issued.chain.clone(), issued.key.clone_key(), &provider);
        Arc::new(identity.unwrap().credential)
    }

    fn presents(resolution: Resolution, expected: &Arc<ClientCredential>) -> bool {
        matches!(resolution, Resolution::Present(shown) if Arc::ptr_eq(&shown, expected))
    }

    #[test]
    fn identities_go_where_they_fit_and_nowhere_else() {
        let pki = countersign_pki::TestPki::generate().unwrap();
        let (device, alice) = (load(&pki.device), load(&pki.alice));
        let (here, elsewhere) = (Origin::new("a.test", 443), Origin::new("b.test", 443));
        let all = vec![Arc::clone(&device), Arc::clone(&alice)];
        let identities = Identities::new(HashSet::from([here.clone()]), all.clone(), false);
        let users = request(Some(&pki.user_ca));
        for _ in 0..2 {
            assert!(presents(identities.choose(&here, &users), &alice));
        }
        assert!(matches!(identities.choose(&elsewhere, &users), Resolution::Decline(_)));
        let servers = request(Some(&pki.server_ca));
        assert!(matches!(identities.choose(&here, &servers), Resolution::Decline(_)));

        // Who does not say what it wants sees each identity once per connection.
        let anything = request(None);
        for _ in 0..2 {
            identities.connection_begins(&here);
            assert!(presents(identities.choose(&here, &anything), &device));
            assert!(presents(identities.choose(&here, &anything), &alice));
            assert!(matches!(identities.choose(&here, &anything), Resolution::Decline(_)));
        }
        let pool = Identities::new(HashSet::from([here.clone()]), all, true);
        assert!(matches!(pool.choose(&here, &anything), Resolution::Later));
        assert!(presents(pool.choose(&here, &users), &alice));
    }
}
