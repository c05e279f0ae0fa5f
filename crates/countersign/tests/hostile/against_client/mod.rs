//! Hostile servers.

mod floods;
mod frames;
mod requests;
mod settings;
