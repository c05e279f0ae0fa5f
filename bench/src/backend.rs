//! What all proxies forward to: as little as can speak HTTP/1.1, so that it is never what is measured.
//! The answer has 1 MiB where the path ends with `/1m`, and 1 KiB elsewhere.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SMALL: usize = 1024;
const LARGE: usize = 1 << 20;
/// The end of a request: none has a body.
const END: &[u8] = b"\r\n\r\n";

pub(crate) async fn run(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A proxy that leaves is the end of every connection here.
        tokio::spawn(async move { drop(serve(stream).await) });
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let (small, large) = (response(SMALL), response(LARGE));
    let mut received = Vec::with_capacity(16 * 1024);
    while stream.read_buf(&mut received).await? > 0 {
        while let Some(end) = received.windows(END.len()).position(|bytes| bytes == END) {
            let is_large = received.split(|byte| *byte == b' ').nth(1);
            let is_large = is_large.is_some_and(|path| path.ends_with(b"/1m"));
            let response = if is_large { &large } else { &small };
            stream.write_all(response).await?;
            received.drain(..end + END.len());
        }
    }
    Ok(())
}

fn response(length: usize) -> Vec<u8> {
    let header =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
    let mut response = header.into_bytes();
    response.resize(response.len() + length, b'x');
    response
}
