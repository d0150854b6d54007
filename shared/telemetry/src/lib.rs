//! JSON-lines logging, request ids and trace context.
