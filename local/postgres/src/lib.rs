//! A private PostgreSQL server for development.
