//! The checks that every host's adapters must pass.
