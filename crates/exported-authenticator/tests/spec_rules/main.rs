//! The rules of `specs/exported-authenticators.md`, one by one, against an independent calculation of
//! transcripts and MACs. What a rule says stands above the assertion that proves it.

#![cfg(test)]

mod authenticators;
mod connections;
mod empty;
mod requests;
mod support;
