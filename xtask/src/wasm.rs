use std::path::Path;

use crate::root;

/// Builds the Worker and bundles it into `dist/`.
pub fn run() -> Result<(), String> {
    let (root, dist) = (root(), root().join("dist"));
    let wasm = local_workerd::build_wasm(&root, &[]).map_err(|error| error.to_string())?;
    local_workerd::bundle(&wasm, &dist).map_err(|error| error.to_string())?;
    let mut files: Vec<_> =
        std::fs::read_dir(&dist).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        println!("{:>9} bytes  dist/{}", size(file), file.file_name().unwrap_or_default().to_string_lossy());
    }
    Ok(())
}

fn size(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}
