//! A network in memory on which everything takes half a round trip, in a runtime whose clock stands
//! still but for that: the time that passes tells the number of round trips.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// How many bytes were sent, without the headers of TCP, UDP and below.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    client: AtomicU64,
    server: AtomicU64,
}

impl Traffic {
    pub(crate) fn reset(&self) {
        self.client.store(0, Ordering::Relaxed);
        self.server.store(0, Ordering::Relaxed);
    }

    /// The client's, the server's.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.client.load(Ordering::Relaxed), self.server.load(Ordering::Relaxed))
    }

    fn add(&self, by: Side, bytes: usize) {
        let counter = match by {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// In the network of datagrams.
    fn address(self) -> SocketAddr {
        let port = match self {
            Self::Client => 1,
            Self::Server => 2,
        };
        SocketAddr::from(([192, 0, 2, 1], port))
    }
}

/// The two ends of a TCP connection, for the client when SYN and SYN-ACK have passed.
pub(crate) async fn tcp(traffic: &Arc<Traffic>) -> (DuplexStream, DuplexStream) {
    sleep_until(Instant::now() + ROUND_TRIP).await;
    let (client, near) = tokio::io::duplex(PIPE);
    let (far, server) = tokio::io::duplex(PIPE);
    let (from_client, to_client) = tokio::io::split(near);
    let (from_server, to_server) = tokio::io::split(far);
    let count = |by| {
        let traffic = Arc::clone(traffic);
        move |bytes| traffic.add(by, bytes)
    };
    tokio::spawn(carry(from_client, to_server, count(Side::Client)));
    tokio::spawn(carry(from_server, to_client, count(Side::Server)));
    (client, server)
}

/// What was sent, and when it arrives.
async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    count: impl Fn(usize),
) {
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
        count(len);
        let bytes = buffer.get(..len).unwrap_or_default().to_vec();
        if sender.send((Instant::now() + ONE_WAY, bytes)).is_err() {
            return;
        }
    }
}

/// A UDP socket with one other to talk to.
#[derive(Debug)]
pub(crate) struct Udp {
    side: Side,
    traffic: Arc<Traffic>,
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
pub(crate) fn udp(traffic: &Arc<Traffic>) -> (Arc<Udp>, Arc<Udp>) {
    let (client, server) = (Arc::<Queue>::default(), Arc::<Queue>::default());
    let socket = |side: Side, arrived: &Arc<Queue>, peer: &Arc<Queue>| {
        let (arrived, peer, traffic) = (Arc::clone(arrived), Arc::clone(peer), Arc::clone(traffic));
        Arc::new(Udp { side, traffic, arrived, peer })
    };
    (socket(Side::Client, &client, &server), socket(Side::Server, &server, &client))
}

impl Udp {
    /// Where the other one finds it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.side.address()
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
        self.traffic.add(self.side, transmit.contents.len());
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
        let addr = self.side.other().address();
        bufs[0][..len].copy_from_slice(&datagram);
        meta[0] = RecvMeta { addr, len, stride: len, ..RecvMeta::default() };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address())
    }
}
