use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Stands between an edge and a service. While it is closed, connections are accepted and nothing passes: the service
/// seems to hang. It counts what the service is asked with GET.
pub struct Gate {
    /// Where it listens, as a URL.
    pub url: String,
    closed: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Gate {
    /// An open gate in front of the service at `url`.
    pub fn to(url: &str) -> Self {
        let service = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (closed, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (gate, counter) = (Arc::clone(&closed), Arc::clone(&asked));
        std::thread::spawn(move || {
            for edge in listener.incoming().flatten() {
                let Ok(service) = TcpStream::connect(&service) else { continue };
                let counter = Arc::clone(&counter);
                pass(&edge, &service, &gate, move |sent| {
                    // A request without a body comes in one piece.
                    counter.fetch_add(u64::from(sent.starts_with(b"GET ")), Ordering::SeqCst);
                });
                pass(&service, &edge, &gate, |_| ());
            }
        });
        Self { url, closed, asked }
    }

    /// How often the service was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets nothing through any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// Shows what arrives to `look` and passes it on, in a thread of its own.
fn pass(from: &TcpStream, to: &TcpStream, closed: &Arc<AtomicBool>, look: impl Fn(&[u8]) + Send + 'static) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let closed = Arc::clone(closed);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => break drop(to.shutdown(Shutdown::Write)),
                Ok(_) if closed.load(Ordering::SeqCst) => (),
                Ok(length) => {
                    look(&buffer[..length]);
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            }
        }
    });
}
