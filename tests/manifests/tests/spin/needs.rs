//! What a function needs of its manifest, as it shows itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use front_door::{FrontDoor, Function};
use platform::fakes::Host;
use platform::{Context, StoreError, Variables};

/// Gives each variable a value that fits its name, or none has one; and remembers what was asked for.
struct Watched {
    set: bool,
    asked: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Variables for Watched {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.asked.lock().unwrap().insert(name.to_ascii_lowercase());
        let value = match name {
            _ if name.ends_with("_URL") => "https://service.test",
            _ if name.ends_with("_MS") || name.ends_with("_BYTES") || name.ends_with("_PER_HOUR") => "1000",
            "API_KEY_PEPPER" | "SESSION_KEY" => "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            _ => "sb_value",
        };
        Ok(self.set.then(|| value.to_owned()))
    }
}

/// The variables that the component of function `F` asks for, whether they are set or not.
pub fn variables<F: Function>() -> BTreeSet<String> {
    let mut names = BTreeSet::from(["log_level".to_owned()]); // by the doorway itself
    for set in [false, true] {
        let (host, watched) = (Host::new(), Arc::new(Watched { set, asked: Mutex::default() }));
        let context = Context { variables: watched.clone(), ..host.context() };
        host.block_on(FrontDoor::<F>::load(&context));
        names.append(&mut watched.asked.lock().unwrap());
    }
    names
}

/// Whether the component asks its host for `grant`: `cache`, `ledger`, `signatures`.
pub fn is_granted(component: &str, grant: &str) -> bool {
    let source = format!("../../platforms/spin/components/{component}/src/lib.rs");
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).unwrap();
    source.contains(&format!(".{grant}()"))
}
