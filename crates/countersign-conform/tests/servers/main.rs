//! Cases against servers: this project's gateway, and servers that are broken on purpose.

#![cfg(test)]

mod gateway;
mod identifiers;
