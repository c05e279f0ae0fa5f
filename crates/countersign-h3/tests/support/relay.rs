//! A UDP relay between two endpoints that does to datagrams what it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Drop,
    Twice,
    /// It goes out after the next one of its way.
    Late,
}

/// Stops when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Relays one client's datagrams to `server` and back.
    pub(crate) async fn new(
        server: SocketAddr,
        mut fate: impl FnMut(Way) -> Fate + Send + 'static,
    ) -> Self {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        back.connect(server).await.unwrap();
        let address = front.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut client = None;
            let mut late: [Vec<Vec<u8>>; 2] = Default::default();
            let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
            loop {
                let (way, datagram) = tokio::select! {
                    Ok((len, from)) = front.recv_from(&mut up) => {
                        client = Some(from);
                        (Way::ToServer, up[..len].to_vec())
                    }
                    Ok(len) = back.recv(&mut down) => (Way::ToClient, down[..len].to_vec()),
                    // The server's port may be closed for a while at the end of a test.
                    else => return,
                };
                let late = &mut late[way as usize];
                let mut out = match fate(way) {
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
}
