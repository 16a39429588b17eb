//! Detection of AMX, or of its emulation.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::tile;

/// Returns whether this machine has AMX with bf16, and the system permits it. Only Linux on x86-64 is supported.
pub(crate) fn is_available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return tile::is_available();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    return false;
}

/// Emulates AMX from now on if the processor has none, so that tests run the kernels. Without AVX-512 and bf16, or if
/// AMX was queried before, there is still none. Returns whether AMX is now available.
#[cfg(any(all(test, target_arch = "x86_64", target_os = "linux"), feature = "emulation"))]
pub(crate) fn emulate() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tile::emulate();
    is_available()
}
