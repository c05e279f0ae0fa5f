//! Tower services: one that puts the handle into requests, one that requires a credential.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use tower_layer::Layer;
use tower_service::Service;

use super::{AuthHandle, Denied};
use crate::BoxFuture;

/// Puts an [`AuthHandle`] into the extensions of every request of its connection.
#[derive(Clone, Debug)]
pub struct WithAuthHandle<S> {
    inner: S,
    handle: AuthHandle,
}

impl<S> WithAuthHandle<S> {
    /// Wraps the service of one connection.
    pub fn new(inner: S, handle: AuthHandle) -> Self {
        Self { inner, handle }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithAuthHandle<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.handle.clone());
        self.inner.call(request)
    }
}

/// Makes services that require a credential; see [`RequireCredential`].
#[derive(Clone, Debug)]
pub struct RequireCredentialLayer {
    credential: Arc<str>,
}

impl RequireCredentialLayer {
    /// Requires `credential`, by its name in the server's [`super::AuthConfig`].
    pub fn new(credential: impl Into<Arc<str>>) -> Self {
        Self { credential: credential.into() }
    }
}

impl<S> Layer<S> for RequireCredentialLayer {
    type Service = RequireCredential<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireCredential { inner, credential: Arc::clone(&self.credential) }
    }
}

/// Holds a request until its connection has an identity for a credential, asking the client if need
/// be; then passes it on, or refuses it with 403 and a problem document (RFC 9457).
///
/// The request's body is not read while it is held.
#[derive(Clone, Debug)]
pub struct RequireCredential<S> {
    inner: S,
    credential: Arc<str>,
}

impl<S, B, R> Service<Request<B>> for RequireCredential<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    //= specs/client-certs.md#decisions-identities
    //= type=implication
    //# (ours) The body of a held request MUST NOT be read beyond the window of flow control.
    B: Send + 'static,
    R: From<Bytes> + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready goes with the request; its clone waits for the next.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        let credential = Arc::clone(&self.credential);
        Box::pin(async move {
            //= specs/client-certs.md#decisions-identities
            //# (ours) A request whose credential is being asked for MUST be held until the answer
            //# or the deadline.
            let verdict = match request.extensions().get::<AuthHandle>().cloned() {
                Some(handle) => handle.require(&credential).await.map(drop),
                None => Err(Denied::Missing),
            };
            match verdict {
                //= specs/client-certs.md#section-4.2.1
                //# A server MAY let an accepted certificate decide about access of later requests.
                //= specs/client-certs.md#section-4.2.1
                //# An application MAY determine whether an operation needs authentication, can use
                //# it or is content with it.
                //= specs/client-certs.md#section-5.1
                //# An authorisation decision MUST NOT take the mere presence of a certificate for a
                //# permission.
                Ok(()) => ready.call(request).await,
                //= specs/client-certs.md#decisions-bad
                //# (ours) A request that needs a credential which was not obtained MUST be refused
                //# with status 403.
                //= specs/client-certs.md#section-1.2
                //# An application MAY choose for itself what success and failure mean for access to
                //# its resources.
                //= specs/client-certs.md#section-4.2.1
                //# A server MAY restrict the access of a client whose certificate is invalid,
                //# untrusted or out of place.
                //= specs/client-certs.md#section-4.2.1
                //# A server MAY refuse single requests of a client whose certificate is invalid,
                //# untrusted or out of place.
                Err(denied) => Ok(refusal(&credential, denied)),
            }
        })
    }
}

/// A 403 that says which credential is at fault and why.
fn refusal<R: From<Bytes>>(credential: &str, denied: Denied) -> Response<R> {
    let document = serde_json::json!({
        "type": denied.problem_type(),
        "title": "Forbidden",
        "status": 403,
        "detail": denied.to_string(),
        "credentials": [credential],
    });
    let document = document.to_string();
    let mut response = Response::new(R::from(Bytes::from(document)));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
