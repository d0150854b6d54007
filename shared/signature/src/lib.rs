//! Public-key signature verification in pure Rust.
