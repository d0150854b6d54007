//! In-memory hosts for tests.
