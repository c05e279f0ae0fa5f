//! A network in memory on which everything takes half a round trip, in a runtime whose clock stands
//! still but for that: the time that passes tells the number of round trips.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

/// From one end to the other and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(200);
const ONE_WAY: Duration = Duration::from_millis(100);
/// More than any flight has, in bytes.
const PIPE: usize = 1 << 20;

/// The two ends of a TCP connection, for the client when SYN and SYN-ACK have passed.
pub(crate) async fn tcp() -> (DuplexStream, DuplexStream) {
    sleep_until(Instant::now() + ROUND_TRIP).await;
    let (client, near) = tokio::io::duplex(PIPE);
    let (far, server) = tokio::io::duplex(PIPE);
    let (from_client, to_client) = tokio::io::split(near);
    let (from_server, to_server) = tokio::io::split(far);
    tokio::spawn(carry(from_client, to_server));
    tokio::spawn(carry(from_server, to_client));
    (client, server)
}

/// What was sent, and when it arrives.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
    let (sender, mut underway) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((arrival, bytes)) = underway.recv().await {
            sleep_until(arrival).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; PIPE];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..len).unwrap_or_default().to_vec();
        if sender.send((Instant::now() + ONE_WAY, bytes)).is_err() {
            return;
        }
    }
}

/// A UDP socket with one other to talk to.
#[derive(Debug)]
pub(crate) struct Udp {
    address: SocketAddr,
    arrived: Arc<Queue>,
    /// Of the other.
    peer: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue(Mutex<(VecDeque<Vec<u8>>, Option<Waker>)>);

impl Queue {
    fn put(&self, datagram: Vec<u8>) {
        let mut queue = self.0.lock().unwrap();
        queue.0.push_back(datagram);
        if let Some(waker) = queue.1.take() {
            waker.wake();
        }
    }
}

/// Two sockets, the client's and the server's.
pub(crate) fn udp() -> (Arc<Udp>, Arc<Udp>) {
    let (client, server) = (Arc::<Queue>::default(), Arc::<Queue>::default());
    let socket = |port, arrived: &Arc<Queue>, peer: &Arc<Queue>| {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        Arc::new(Udp { address, arrived: Arc::clone(arrived), peer: Arc::clone(peer) })
    };
    (socket(1, &client, &server), socket(2, &server, &client))
}

impl Udp {
    /// Where the other one finds it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let (peer, datagram) = (Arc::clone(&self.peer), transmit.contents.to_vec());
        let arrival = Instant::now() + ONE_WAY;
        tokio::spawn(async move {
            sleep_until(arrival).await;
            peer.put(datagram);
        });
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.arrived.0.lock().unwrap();
        let Some(datagram) = queue.0.pop_front() else {
            queue.1 = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let len = datagram.len();
        let port = if self.address.port() == 1 { 2 } else { 1 };
        let addr = SocketAddr::new(self.address.ip(), port);
        bufs[0][..len].copy_from_slice(&datagram);
        meta[0] = RecvMeta { addr, len, stride: len, ..RecvMeta::default() };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
