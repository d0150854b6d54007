//! One black-box suite for every host.
