//! The size of the WASM module.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// Bytes of a module.
#[derive(Debug, Serialize)]
pub struct Size {
    pub raw: usize,
    /// At gzip's highest level, as a host counts it.
    pub gzip: usize,
}

/// Reads and compresses the module at `path`.
pub fn measure(path: &Path) -> Result<Size, String> {
    let module = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&module).map_err(|error| error.to_string())?;
    let gzip = encoder.finish().map_err(|error| error.to_string())?.len();
    Ok(Size { raw: module.len(), gzip })
}
