//! The binary `countersign`, run as people run it.

#![cfg(test)]

mod commands;
mod fetch;
mod scenario;
mod support;
