//! Hostile clients.

mod authenticators;
mod bindings;
mod certificates;
mod floods;
mod frames;
mod pace;
mod quic;
mod server_certificates;
mod settings;
