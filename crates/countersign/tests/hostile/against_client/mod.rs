//! Hostile servers.

mod floods;
mod frames;
mod quic;
mod requests;
mod settings;
