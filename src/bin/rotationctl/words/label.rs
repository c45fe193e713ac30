//! A staging label of this program, for a version that is not current yet.

use rand::RngExt as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// Returns a new label. Another operator's label must not take this version's away.
pub(super) fn own() -> String {
    format!("rotationctl-{:016x}", UnwrapErr(SysRng).random::<u64>())
}
