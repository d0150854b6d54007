use std::fs;
use std::path::Path;

use wasm_bindgen_cli_support::Bindgen;

use crate::Error;

/// The Worker's own JavaScript; `worker.js` is the entry.
const SOURCES: [(&str, &str); 3] = [
    ("worker.js", include_str!("../../../platforms/cloudflare/js/worker.js")),
    ("host.js", include_str!("../../../platforms/cloudflare/js/host.js")),
    ("headers.js", include_str!("../../../platforms/cloudflare/js/headers.js")),
];

/// Makes ES modules of the file `wasm` in `directory`, which is emptied first. The same modules run in workerd, in
/// wrangler and on Cloudflare.
pub fn bundle(wasm: &Path, directory: &Path) -> Result<(), Error> {
    let write = |name: &str, text: &str| {
        fs::write(directory.join(name), text).map_err(Error::io(format!("write {name} to {}", directory.display())))
    };
    empty(directory)?;
    generate(wasm, directory).map_err(|error| Error::Bindgen(format!("{error:#}")))?;
    let glue = directory.join("index.js");
    let text = fs::read_to_string(&glue).map_err(Error::io(format!("read {}", glue.display())))?;
    // Workers give the module itself to a plain import, and find their own files by relative paths.
    write("index.js", &text.replace("import source ", "import ").replace("from 'host.js'", "from './host.js'"))?;
    SOURCES.iter().try_for_each(|(name, text)| write(name, text))
}

fn generate(wasm: &Path, directory: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name("index").typescript(false).module(true)?;
    // After a panic the JavaScript side makes a fresh instance.
    bindgen.reset_state_function(true);
    bindgen.remove_producers_section(true).remove_name_section(true);
    bindgen.generate(directory)?;
    Ok(())
}

fn empty(directory: &Path) -> Result<(), Error> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(Error::io(format!("empty {}", directory.display())))?;
    }
    fs::create_dir_all(directory).map_err(Error::io(format!("create {}", directory.display())))
}
