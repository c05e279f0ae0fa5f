//! `countersign demo`
use crate::failure::Failure;
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) async fn run(_args: &Args) -> Result<(), Failure> {
    Ok(())
}
