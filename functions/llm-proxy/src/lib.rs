//! The OpenAI-compatible proxy in front of LLM providers.
