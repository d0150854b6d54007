//! The part of Supabase the edge uses, over a local PostgreSQL.
