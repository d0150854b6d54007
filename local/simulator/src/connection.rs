//! A connection that can be reset by the answer that runs over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Whether a connection ends with FIN or with RST.
#[derive(Debug, Clone, Default)]
pub struct Fate(Arc<AtomicBool>);

/// A TCP stream whose [`Fate`] is decided elsewhere.
pub struct Connection {
    stream: TcpStream,
    fate: Fate,
}

impl Fate {
    /// Lets the connection end with a reset.
    pub fn reset(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Connection {
    /// Takes over an accepted stream.
    pub fn new(stream: TcpStream, fate: Fate) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, fate })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.fate.0.load(Relaxed) {
            // Closing with a linger time of zero sends RST. If it fails the client sees a FIN: also an end.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fate.0.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
