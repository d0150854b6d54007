use std::io::{self, Write as _};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// What an instance prints: it goes to the host's standard error line by line, each with the component's name.
#[derive(Clone)]
pub(crate) struct Output(Arc<Line>);

struct Line {
    component: Arc<str>,
    /// What has been written since the last line ended.
    begun: Mutex<Vec<u8>>,
}

/// How much a guest may write at once.
const CHUNK: usize = 64 * 1024;

impl Output {
    pub(crate) fn of(component: &Arc<str>) -> Self {
        Self(Arc::new(Line { component: Arc::clone(component), begun: Mutex::default() }))
    }
}

impl Line {
    /// Adds `text` and returns the lines that are complete now.
    fn add(&self, text: &[u8]) -> Vec<u8> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            if begun.ends_with(b"\n") {
                lines.extend(self.named(&mem::take(&mut *begun)));
            }
        }
        lines
    }

    fn named(&self, line: &[u8]) -> Vec<u8> {
        [b"[", self.component.as_bytes(), b"] ", line].concat()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut last = mem::take(self.begun.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !last.is_empty() {
            last.push(b'\n');
            print(&self.named(&last));
        }
    }
}

/// In one piece, so that lines of different instances do not mix.
fn print(lines: &[u8]) {
    if !lines.is_empty() {
        // Nobody is left to be told that it fails.
        let _ = io::stderr().lock().write_all(lines);
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        print(&self.0.add(&bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        print(&self.0.add(text));
        Poll::Ready(Ok(text.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_component_on_every_line_however_it_is_written() {
        let output = Output::of(&"one".into());
        for (text, lines) in [("a", ""), ("b\nc", "[one] ab\n"), ("\n\nd", "[one] c\n[one] \n"), ("\n", "[one] d\n")] {
            assert_eq!(output.0.add(text.as_bytes()), lines.as_bytes(), "{text:?}");
        }
    }
}
