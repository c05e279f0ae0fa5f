//! Hostile servers.

mod floods;
mod frames;
mod origins;
mod proofs;
mod quic;
mod requests;
mod server_certificates;
mod settings;
