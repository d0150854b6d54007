//! What a call has once, though two tries may be under way.

use std::sync::{Arc, Mutex, PoisonError};

/// Held by every try of a call; the one that takes it has taken it from all.
pub(crate) struct Claim<T>(Arc<Mutex<Option<T>>>);

impl<T> Claim<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Takes it. Nothing if it has been taken before.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether nobody else holds it.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T> Clone for Claim<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
