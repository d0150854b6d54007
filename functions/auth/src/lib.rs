//! Sign-up, sign-in and sessions in front of Supabase Auth.
