use std::path::Path;

use crate::root;

/// Builds the Worker and bundles it into `dist/`, and the Spin components.
pub fn run() -> Result<(), String> {
    worker()?;
    let components = local_stack::spin_components(&root(), &local_stack::SPIN_COMPONENTS);
    components.map_err(|error| error.to_string())?.iter().for_each(|component| print_size(component));
    Ok(())
}

/// Builds the Worker and bundles it into `dist/`.
pub fn worker() -> Result<(), String> {
    let (root, dist) = (root(), root().join("dist"));
    let wasm = local_workerd::build_wasm(&root, &[]).map_err(|error| error.to_string())?;
    local_workerd::bundle(&wasm, &dist).map_err(|error| error.to_string())?;
    let mut files: Vec<_> =
        std::fs::read_dir(&dist).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().filter(|file| file.is_file()).for_each(|file| print_size(file));
    Ok(())
}

fn print_size(file: &Path) {
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    println!("{size:>9} bytes  {}", file.strip_prefix(root()).unwrap_or(file).display());
}
