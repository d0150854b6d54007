//! CPU per request, added latency, memory and size.
