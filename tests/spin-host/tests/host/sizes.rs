//! How large the components are that ship.

use std::path::Path;

/// In bytes, as they ship. A component loads in proportion to its size; a growth has to be seen and wanted.
const LIMITS: [(&str, u64); 5] = [
    ("spin-ops", 458_000),
    ("spin-auth", 1_235_000),
    ("spin-llm-proxy", 1_512_000),
    ("spin-rate-limit", 1_074_000),
    ("spin-signature", 320_000),
];

#[test]
fn no_component_is_larger_than_it_may_be() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    assert!(LIMITS.iter().map(|(package, _)| package).eq(&local_stack::SPIN_COMPONENTS));
    let files = local_stack::spin_components(&root, &local_stack::SPIN_COMPONENTS).unwrap();
    for ((package, limit), file) in LIMITS.iter().zip(files) {
        let size = file.metadata().unwrap().len();
        assert!(size <= *limit, "{package} has {size} bytes, more than {limit}");
    }
}
