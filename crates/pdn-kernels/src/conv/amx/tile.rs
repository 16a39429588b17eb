//! The tile registers of AMX (Intel SDM, volume 1, chapter 18), through their six instructions.
//!
//! There are eight registers of 16 rows by 64 bytes. A product multiplies 16 rows of 32 bf16 by 32 rows of 16 and adds
//! the result to 16x16 numbers. The right operand is stored in pairs of rows:
//! `c[m][n] += Σ a[m][2k] b[k][2n] + a[m][2k + 1] b[k][2n + 1]`.
//!
//! Stable Rust has no intrinsics for them, so this module uses inline assembly. The compiler itself never uses a tile
//! register, as no function here has the target feature, so the next block finds what one block leaves in them; still
//! each block names all of them as clobbered.

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows per register.
pub(super) const ROWS: usize = 16;
/// Bytes per register row.
pub(super) const ROW_BYTES: usize = 64;
/// Number of registers.
const REGISTERS: usize = 8;

/// Requests an extended processor state from the kernel (Linux, `arch/x86/include/uapi/asm/prctl.h`).
const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
/// The number of the tile state.
const XFEATURE_XTILEDATA: libc::c_int = 18;

/// Returns whether this process may use AMX with bf16, along with AVX-512. The kernel is asked once.
pub(super) fn is_available() -> bool {
    *AVAILABLE.get_or_init(|| has_vectors() && is_permitted())
}

static AVAILABLE: OnceLock<bool> = OnceLock::new();

/// Emulates the instructions if the processor lacks them.
#[cfg(any(test, feature = "emulation"))]
pub(super) fn emulate() {
    AVAILABLE.get_or_init(|| {
        has_vectors() && {
            let permitted = is_permitted();
            if !permitted {
                super::emulator::install();
            }
            true
        }
    });
}

/// Returns whether there are the vector instructions that convert and finish pixels: every processor with AMX has them.
fn has_vectors() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

fn is_permitted() -> bool {
    processor_has_it() && {
        // SAFETY: the call reads two numbers and changes only what this process may use.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }
}

fn processor_has_it() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    #[allow(unused_unsafe, reason = "safe from a later Rust on than the oldest that builds this")]
    // SAFETY: every x86-64 processor has the instruction.
    let features =
        unsafe { if std::arch::x86_64::__cpuid(0).eax < 7 { 0 } else { std::arch::x86_64::__cpuid_count(7, 0).edx } };
    features & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// The operand of `ldtilecfg`: palette 1, every register whole.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE: Configuration = {
    let mut configuration =
        Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut register = 0;
    while register < REGISTERS {
        configuration.row_bytes[register] = ROW_BYTES as u16;
        configuration.rows[register] = ROWS as u8;
        register += 1;
    }
    configuration
};

/// This thread's tile registers, configured while this value lives. Other threads have their own.
pub(super) struct Tiles(PhantomData<*mut ()>);

/// An instruction that changes tile registers.
macro_rules! tile {
    ($($argument:tt)*) => {
        asm!(
            $($argument)*,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags),
        )
    };
}

impl Tiles {
    /// Configures the registers.
    ///
    /// # Panics
    /// Panics if the machine lacks AMX or the system does not permit it.
    pub(super) fn configure() -> Self {
        assert!(is_available(), "this machine has no AMX with bf16");
        // SAFETY: AMX is available and permitted; 64 bytes are read.
        unsafe { tile!("ldtilecfg [{}]", in(reg) &raw const WHOLE) };
        Self(PhantomData)
    }

    /// Clears a register.
    #[inline(always)]
    pub(super) fn zero<const T: usize>(&self) {
        const { assert!(T < REGISTERS) };
        // SAFETY: this thread's registers are configured; no memory is touched.
        unsafe { tile!("tilezero tmm{}", const T) };
    }

    /// Reads a register's rows, `stride` bytes apart.
    ///
    /// # Safety
    /// 64 bytes may be read at each of the 16 places.
    #[inline(always)]
    pub(super) unsafe fn load<const T: usize>(&self, from: *const u8, stride: usize) {
        const { assert!(T < REGISTERS) };
        // SAFETY: this thread's registers are configured; the places are the caller's contract.
        unsafe { tile!("tileloadd tmm{}, [{} + {}*1]", const T, in(reg) from, in(reg) stride) };
    }

    /// Adds the product of `A` and `B` to `C`: f32 sums of bf16 numbers.
    #[inline(always)]
    pub(super) fn add_product<const C: usize, const A: usize, const B: usize>(&self) {
        const { assert!(C < REGISTERS && A < REGISTERS && B < REGISTERS && C != A && A != B && B != C) };
        // SAFETY: this thread's registers are configured; no memory is touched.
        unsafe { tile!("tdpbf16ps tmm{}, tmm{}, tmm{}", const C, const A, const B) };
    }

    /// Writes a register's rows, one after the other.
    ///
    /// # Safety
    /// 16 rows of 64 bytes may be written.
    #[inline(always)]
    pub(super) unsafe fn store<const T: usize>(&self, to: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe { self.store_apart::<T>(to, ROW_BYTES) };
    }

    /// Writes a register's rows, `stride` bytes apart.
    ///
    /// # Safety
    /// 64 bytes may be written at each of the 16 places.
    #[inline(always)]
    pub(super) unsafe fn store_apart<const T: usize>(&self, to: *mut u8, stride: usize) {
        const { assert!(T < REGISTERS) };
        // SAFETY: this thread's registers are configured; the places are the caller's contract.
        unsafe { tile!("tilestored [{} + {}*1], tmm{}", in(reg) to, in(reg) stride, const T) };
    }
}

impl Drop for Tiles {
    /// Releases the registers, so that the system need not save them when it switches threads.
    fn drop(&mut self) {
        // SAFETY: AMX is available, as this was configured.
        unsafe { tile!("tilerelease") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    /// On a machine with AMX this checks the processor against the manual, elsewhere the emulation.
    #[test]
    fn a_product_is_the_manual_s() {
        if !super::super::tests::available() {
            return;
        }
        // Small integers: sums are exact in any order. Rows are further apart than they are long.
        let a: Vec<bf16> = (0..16 * 48).map(|i| bf16::from_f32((i * 7 % 23) as f32 - 11.0)).collect();
        let b: Vec<bf16> = (0..16 * 32).map(|i| bf16::from_f32((i * 5 % 19) as f32 - 9.0)).collect();
        let (mut c, mut zeros) = (vec![0.0_f32; 256], vec![1.0_f32; 256]);
        let tiles = Tiles::configure();
        tiles.zero::<3>();
        // SAFETY: the slices hold 16 rows each.
        unsafe {
            tiles.store::<3>(zeros.as_mut_ptr().cast());
            tiles.load::<5>(a.as_ptr().cast(), 96);
            tiles.load::<6>(b.as_ptr().cast(), 64);
            tiles.add_product::<3, 5, 6>();
            tiles.add_product::<3, 5, 6>();
            tiles.store::<3>(c.as_mut_ptr().cast());
        }
        drop(tiles);
        assert!(zeros.iter().all(|v| *v == 0.0));
        for (at, found) in c.iter().enumerate() {
            let (m, n) = (at / 16, at % 16);
            let pair = |k: usize| a[m * 48 + k].to_f32() * b[k / 2 * 32 + 2 * n + k % 2].to_f32();
            assert_eq!(*found, 2.0 * (0..32).map(pair).sum::<f32>(), "row {m}, column {n}");
        }
    }

    #[test]
    fn products_keep_what_is_not_finite() {
        if !super::super::tests::available() {
            return;
        }
        let mut a = vec![bf16::ONE; 16 * 32];
        (a[0], a[32], a[64]) = (bf16::NAN, bf16::INFINITY, bf16::from_bits(1));
        let b = vec![bf16::ONE; 16 * 32];
        let mut c = vec![0.0_f32; 256];
        let tiles = Tiles::configure();
        tiles.zero::<0>();
        // SAFETY: the slices hold 16 rows each.
        unsafe {
            tiles.load::<4>(a.as_ptr().cast(), 64);
            tiles.load::<6>(b.as_ptr().cast(), 64);
            tiles.add_product::<0, 4, 6>();
            tiles.store::<0>(c.as_mut_ptr().cast());
        }
        assert!(c[0].is_nan());
        assert_eq!([c[16], c[32], c[48]], [f32::INFINITY, 31.0, 32.0]);
    }
}
