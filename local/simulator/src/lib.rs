//! An LLM provider for development: deterministic tokens, faults on request.
