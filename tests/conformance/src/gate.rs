use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stands between an edge and a service. While it is closed, connections are accepted and nothing passes: the service
/// seems to hang.
pub struct Gate {
    /// Where it listens, as a URL.
    pub url: String,
    closed: Arc<AtomicBool>,
}

impl Gate {
    /// An open gate in front of the service at `url`.
    pub fn to(url: &str) -> Self {
        let service = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let closed = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&closed);
        std::thread::spawn(move || {
            for edge in listener.incoming().flatten() {
                let Ok(service) = TcpStream::connect(&service) else { continue };
                pass(&edge, &service, &gate);
                pass(&service, &edge, &gate);
            }
        });
        Self { url, closed }
    }

    /// Lets nothing through any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// Passes on what arrives, in a thread of its own.
fn pass(from: &TcpStream, to: &TcpStream, closed: &Arc<AtomicBool>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let closed = Arc::clone(closed);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => break drop(to.shutdown(Shutdown::Write)),
                Ok(_) if closed.load(Ordering::SeqCst) => (),
                Ok(length) => {
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            }
        }
    });
}
