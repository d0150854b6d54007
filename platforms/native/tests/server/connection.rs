use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A caller that writes and reads bytes as a test wants them.
pub struct Connection(TcpStream);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn write(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Returns whatever becomes of it.
    pub async fn write_as_far_as_possible(&mut self, bytes: &str) {
        let _ = timeout(PATIENCE, self.0.write_all(bytes.as_bytes())).await.expect("written or refused");
    }

    pub async fn get(&mut self, path: &str) {
        self.write(&format!("GET {path} HTTP/1.1\r\nhost: edge.test\r\n\r\n")).await;
    }

    /// What has come by the time `end` does, or everything up to the connection's end.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length = timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("bytes or an end").unwrap_or(0);
            seen.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&seen);
            if length == 0 || text.contains(end) {
                return text.into_owned();
            }
        }
    }

    /// Everything up to the connection's end.
    pub async fn read_to_end(&mut self) -> String {
        self.read_until("\u{0}never").await
    }
}
