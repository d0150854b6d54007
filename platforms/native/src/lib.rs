//! The edge as a native server.
