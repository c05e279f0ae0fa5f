//! Connections that were opened for HTTP/2 and speak HTTP/1.1, on their way to hyper-util's client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use http::Uri;
use tower_service::Service;

use super::{BoxError, Transport};
use crate::BoxFuture;
use crate::client::{Connector, ConnectorStream, Origin};

/// An open stream that waits to be taken; dropped with the requests that it was opened for.
pub(super) struct Slot<S>(Mutex<Option<S>>);

type Slots<S> = Arc<Mutex<HashMap<Origin, Weak<Slot<S>>>>>;

/// A connector that uses handed over streams first.
pub(super) struct Handover<C: Service<Uri>> {
    connector: Connector<C>,
    slots: Slots<ConnectorStream<C::Response>>,
}

impl<C: Transport> Handover<C> {
    pub(super) fn new(connector: Connector<C>) -> Self {
        Self { connector, slots: Arc::default() }
    }

    /// Gives `stream` to the next connection to `origin`, as long as the slot is held.
    pub(super) fn put(
        &self,
        origin: Origin,
        stream: ConnectorStream<C::Response>,
    ) -> Arc<Slot<ConnectorStream<C::Response>>> {
        let slot = Arc::new(Slot(Mutex::new(Some(stream))));
        let mut slots = lock(&self.slots);
        slots.retain(|_, slot| slot.strong_count() > 0);
        slots.insert(origin, Arc::downgrade(&slot));
        slot
    }

    /// A new connection, none that was handed over.
    pub(super) async fn connect(&self, uri: Uri) -> Result<ConnectorStream<C::Response>, BoxError> {
        let mut connector = self.connector.clone();
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await?;
        connector.call(uri).await
    }

    fn take(&self, uri: &Uri) -> Option<ConnectorStream<C::Response>> {
        let slot = lock(&self.slots).remove(&Origin::of(uri).ok()?)?.upgrade()?;
        lock(&slot.0).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Transport> Clone for Handover<C> {
    fn clone(&self) -> Self {
        Self { connector: self.connector.clone(), slots: Arc::clone(&self.slots) }
    }
}

impl<C: Transport> Service<Uri> for Handover<C> {
    type Response = ConnectorStream<C::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self.take(&uri) {
            Some(stream) => Box::pin(std::future::ready(Ok(stream))),
            None => self.connector.call(uri),
        }
    }
}
