//! A reverse proxy that asks clients for certificates on live connections, per route.
//!
//! [`Config`] reads and checks a configuration, [`Gateway`] serves it: HTTP/3, HTTP/2 and HTTP/1.1
//! over TLS in front, HTTP/1.1 and HTTP/2 without TLS to the backends. Every request gets one decision, in
//! one place and alike for every HTTP version: its path is normalised, a route found, the
//! credentials that the route requires are asked for over the live connection, the route's `allow`
//! is applied; then it is forwarded with what the backend may know about the caller, or refused
//! with a problem document.
//!
//! The protocol is `countersign`'s; this crate does not know its frames.

mod activity;
mod admin;
mod audit;
mod body;
mod bounds;
mod caller;
mod certificates;
mod config;
mod connection;
mod credential;
mod dn;
mod expect;
mod explain;
mod forward;
mod handshake;
mod headers;
mod held;
mod interim;
mod limits;
mod live;
mod metrics;
mod names;
mod observation;
mod path;
mod places;
mod policy;
mod problem;
mod quic;
mod refusals;
mod reload;
mod route;
mod server;
mod session;
mod span;
mod token;
mod trace;
mod tunnel;
mod upstream;
mod witness;

pub use config::{Config, ConfigError, Diagnostic, schema};
pub use explain::{Explanation, Question, Told, explain};
pub use reload::{ReloadError, ReloadStatus, Reloader};
pub use server::{Gateway, GatewayError};
#[cfg(feature = "otlp")]
pub use span::trace_with;
pub use token::KeyOpener;
