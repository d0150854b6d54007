//! The sizes of the WASM modules.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// The second word of a component (WebAssembly component model, binary format); that of a plain module is 1.
const COMPONENT_VERSION: [u8; 4] = [0x0d, 0, 1, 0];

/// Bytes of a module.
#[derive(Debug, Serialize)]
pub struct Size {
    /// The file's name without its ending.
    pub name: String,
    /// Whether it is a Spin component; else it is the Worker.
    pub component: bool,
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
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Size { name, component: module.get(4..8) == Some(&COMPONENT_VERSION), raw: module.len(), gzip })
}
