//! Loads one proxy and prints one line: operations, failures, seconds.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;
use tokio::io::AsyncReadExt;
use tokio::task::LocalSet;

use crate::client::{Connection, Connector, Proof, get};

/// Connections that are opened at a time where connections are what is measured.
const OPENING: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    kind: Kind,
    address: SocketAddr,
    proof: Proof,
    files: PathBuf,
    /// Requests, or connections
    total: usize,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    streams: usize,
    #[arg(long, default_value = "/1k")]
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Requests on connections that hold their identity already
    Requests,
    /// A connection, its identity and one request each
    Connections,
    /// Connections that are held until standard input ends
    Idle,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let connector = Connector::new(args.address, args.proof, &args.files)?;
    match args.kind {
        Kind::Requests => requests(args, &connector).await,
        Kind::Connections => {
            let connect = async move || connector.connect().await.map(drop);
            repeat(args.total, OPENING, connect).await;
            Ok(())
        }
        Kind::Idle => idle(args.total, &connector).await,
    }
}

async fn requests(args: &Args, connector: &Connector) -> anyhow::Result<()> {
    let mut connections = Vec::with_capacity(args.connections);
    for _ in 0..args.connections {
        connections.push(connector.connect().await?);
    }
    // Told apart from the requests, whoever measures notes the CPU's time in between.
    println!("READY");
    wait_for_input().await?;
    let connections = Rc::new(connections);
    let (next, path) = (Rc::new(Cell::new(0)), Rc::new(args.path.clone()));
    let request = async move || {
        let index = next.replace(next.get() + 1);
        let connection: Option<&Connection> = connections.get(index % connections.len());
        match connection {
            Some(connection) => get(&connection.send, &path).await,
            None => anyhow::bail!("there is no connection"),
        }
    };
    repeat(args.total, args.connections * args.streams, request).await;
    Ok(())
}

async fn idle(total: usize, connector: &Connector) -> anyhow::Result<()> {
    let mut connections = Vec::with_capacity(total);
    for _ in 0..total {
        connections.push(connector.connect().await?);
    }
    println!("READY");
    wait_for_input().await?;
    let open = connections.iter().filter(|connection| connection.is_open()).count();
    ensure!(open == total, "only {open} of {total} connections are left");
    Ok(())
}

/// A byte, or the end.
async fn wait_for_input() -> std::io::Result<()> {
    tokio::io::stdin().read(&mut [0]).await.map(drop)
}

/// Does `operation` `total` times, `at_once` of them at a time, and prints how that went.
async fn repeat<F>(total: usize, at_once: usize, operation: F)
where
    F: AsyncFn() -> anyhow::Result<()> + 'static,
{
    let operation = Rc::new(operation);
    let (begun, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let began = Instant::now();
    let tasks = LocalSet::new();
    for _ in 0..at_once {
        let (operation, begun, failed) =
            (Rc::clone(&operation), Rc::clone(&begun), Rc::clone(&failed));
        tasks.spawn_local(async move {
            while begun.replace(begun.get() + 1) < total {
                if let Err(error) = operation().await {
                    if failed.replace(failed.get() + 1) == 0 {
                        eprintln!("the first failure: {error:#}");
                    }
                }
            }
        });
    }
    tasks.await;
    println!("{total} {} {:.4}", failed.get(), began.elapsed().as_secs_f64());
}
