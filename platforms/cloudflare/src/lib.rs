//! The edge as a Cloudflare Worker.
