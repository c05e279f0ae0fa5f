//! Relays between two endpoints: of UDP, which does to datagrams what it is told to, and of TCP, which tells what passes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use crate::SeededRandom;

/// The largest datagram there is, in bytes.
const MAX_DATAGRAM: usize = 65_536;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Pass,
    /// It is lost.
    Drop,
    /// It goes on, and once more.
    Twice,
    /// It goes on after the next one of its way that passes.
    Late,
}

/// Loses 5 % of the datagrams, repeats 3 % and delays 7 %; `seed` decides which.
pub fn lossy(seed: u64) -> impl FnMut(Way, &Bytes) -> Fate + Send + 'static {
    let random = SeededRandom::new(seed);
    move |_, _| match random.next_u64() % 100 {
        0..5 => Fate::Drop,
        5..8 => Fate::Twice,
        8..15 => Fate::Late,
        _ => Fate::Pass,
    }
}

/// Relays one connection of TCP to `server`, and tells each piece that passes before it goes on. What the client
/// connects to instead of the server.
pub async fn tcp(
    server: SocketAddr,
    tell: impl Fn(Way, &[u8]) + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pass(from_client, to_server, Way::ToServer, tell.clone()));
        tokio::spawn(pass(from_server, to_client, Way::ToClient, tell));
    });
    address
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    tell: impl Fn(Way, &[u8]) + Send,
) {
    let mut bytes = BytesMut::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        tell(way, &bytes);
        if to.write_all_buf(&mut bytes).await.is_err() {
            return;
        }
    }
}

/// Stops when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Relays one client's datagrams to `server` and back; `fate` decides about each.
    pub async fn new(
        server: SocketAddr,
        mut fate: impl FnMut(Way, &Bytes) -> Fate + Send + 'static,
    ) -> Self {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        back.connect(server).await.unwrap();
        let address = front.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut client = None;
            let (mut late_up, mut late_down) = (Vec::new(), Vec::new());
            let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
            loop {
                up.reserve(MAX_DATAGRAM);
                down.reserve(MAX_DATAGRAM);
                let (way, datagram) = tokio::select! {
                    Ok((_, from)) = front.recv_buf_from(&mut up) => {
                        client = Some(from);
                        (Way::ToServer, up.split().freeze())
                    }
                    Ok(_) = back.recv_buf(&mut down) => (Way::ToClient, down.split().freeze()),
                    // The server's port may be closed for a while at the end of a test.
                    else => return,
                };
                let late = match way {
                    Way::ToServer => &mut late_up,
                    Way::ToClient => &mut late_down,
                };
                let mut out = match fate(way, &datagram) {
                    Fate::Pass => vec![datagram],
                    Fate::Drop => vec![],
                    Fate::Twice => vec![datagram.clone(), datagram],
                    Fate::Late => {
                        late.push(datagram);
                        continue;
                    }
                };
                out.append(late);
                for datagram in out {
                    // What the system does not send is lost too.
                    let _ = match (way, client) {
                        (Way::ToServer, _) => back.send(&datagram).await,
                        (Way::ToClient, Some(client)) => front.send_to(&datagram, client).await,
                        (Way::ToClient, None) => continue,
                    };
                }
            }
        });
        Self { address, task }
    }

    /// What the client connects to instead of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
