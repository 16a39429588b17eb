//! Detects AMX, or emulates it.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::tile;

/// Whether this machine has AMX with bf16, and the system permits it. Only Linux on x86-64 is asked.
pub(crate) fn is_available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return tile::is_available();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    return false;
}

/// Emulates AMX from here on where the processor has none, so that tests run the kernels. A machine without AVX-512 and
/// bf16, or that has been asked for AMX before, still has none. Gives whether there is AMX now.
#[cfg(any(all(test, target_arch = "x86_64", target_os = "linux"), feature = "emulation"))]
pub(crate) fn emulate() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tile::emulate();
    is_available()
}
