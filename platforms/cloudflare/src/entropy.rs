use std::cell::RefCell;

use crate::host;

/// How many random bytes cross the boundary at once.
const BATCH: usize = 256;

/// `crypto.getRandomValues`, a batch at a time.
pub struct Entropy;

struct Pool {
    bytes: [u8; BATCH],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; BATCH], used: BATCH }) };
}

impl platform::Entropy for Entropy {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > BATCH {
            // The host gives at most 65,536 bytes at a time.
            buffer.chunks_mut(65_536).for_each(host::random);
            return;
        }
        POOL.with_borrow_mut(|pool| {
            if pool.used + buffer.len() > BATCH {
                host::random(&mut pool.bytes);
                pool.used = 0;
            }
            let fresh = pool.bytes.iter_mut().skip(pool.used);
            for (target, source) in buffer.iter_mut().zip(fresh) {
                *target = std::mem::take(source);
            }
            pool.used += buffer.len();
        });
    }
}
