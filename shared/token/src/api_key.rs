//! The format of API keys.

/// What every API key begins with.
pub const PREFIX: &str = "qlp_";
