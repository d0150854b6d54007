//! Typed clients for Supabase's RPC, Auth and Storage.
