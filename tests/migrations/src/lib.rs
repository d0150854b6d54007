//! Nothing to link: the tests apply `supabase/migrations` to a fresh cluster and prove what they promise.
