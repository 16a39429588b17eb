//! AMX for machines without it, so that the tests run the kernels as they are compiled, on any machine with AVX-512.
//!
//! A processor without AMX raises SIGILL at its instructions. The handler decodes the few forms that `tile.rs`
//! assembles, does what the manual says (Intel SDM, volume 2, `TDPBF16PS` and similar) on the thread's tiles, and
//! continues after the instruction. So addresses, packing, order and arithmetic are tested. Not tested: speed, the
//! processor's own order of rounding, and faults that only a real processor raises. On a processor with AMX nothing is
//! installed.

use std::arch::x86_64::*;
use std::cell::UnsafeCell;
use std::sync::{Once, OnceLock};

/// A thread's tiles.
struct State {
    configured: bool,
    /// The row count of each register.
    rows: [usize; 8],
    row_bytes: [usize; 8],
    tiles: [Tile; 8],
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Tile([[u8; 64]; 16]);

const ZERO: Tile = Tile([[0; 64]; 16]);

thread_local! {
    // Constant and without a destructor, so that a signal handler may use it.
    static STATE: UnsafeCell<State> = const {
        UnsafeCell::new(State { configured: false, rows: [0; 8], row_bytes: [0; 8], tiles: [ZERO; 8] })
    };
}

/// The previous handler of SIGILL.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Emulates AMX from now on.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // SAFETY: the handler touches only its thread's state and what the instruction names; both structures are whole.
    ONCE.call_once(|| unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGILL, std::ptr::null(), &raw mut before);
        BEFORE.set(before).unwrap_or_else(|_| unreachable!("called once"));
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_flags = libc::SA_SIGINFO;
        action.sa_sigaction = handle as extern "C" fn(_, _, _) as usize;
        assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0, "SIGILL has a handler");
    });
}

extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes the thread's registers, which may be changed. An instruction of ours
    // has all its bytes at RIP and may use the memory that it names; any other is left to the previous handler, under
    // which it runs again.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let at = registers[libc::REG_RIP as usize] as *const u8;
        match Instruction::decode(at, registers) {
            Some((instruction, len)) if STATE.with(|state| (*state.get()).perform(instruction)) => {
                registers[libc::REG_RIP as usize] += len as i64;
            }
            _ => {
                if let Some(before) = BEFORE.get() {
                    libc::sigaction(libc::SIGILL, before, std::ptr::null_mut());
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Instruction {
    Configure { from: *const u8 },
    Release,
    Zero { tile: usize },
    Load { tile: usize, from: *const u8, stride: usize },
    Store { tile: usize, to: *mut u8, stride: usize },
    AddProduct { c: usize, a: usize, b: usize },
}

/// The context's index of each register of the encoding.
const GENERAL: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

impl Instruction {
    /// Decodes an instruction and its length: VEX in three bytes, opcode, ModRM, and SIB and displacement if it uses
    /// memory.
    ///
    /// # Safety
    /// An instruction can be read at `at`.
    unsafe fn decode(at: *const u8, registers: &[i64; 23]) -> Option<(Self, usize)> {
        // SAFETY: bytes are read in order and no further than they say there are more.
        let byte = |i: usize| unsafe { *at.add(i) };
        let general = |number: u8| registers[GENERAL[usize::from(number)] as usize] as usize;
        // Map 0F38; W and L are 0.
        if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(2) & 0x84 != 0 {
            return None;
        }
        let (not_x, not_b) = (byte(1) >> 6 & 1, byte(1) >> 5 & 1);
        let (operand, prefix, opcode) = (usize::from(!byte(2) >> 3 & 15), byte(2) & 3, byte(3));
        let (mode, reg, rm) = (byte(4) >> 6, byte(4) >> 3 & 7, byte(4) & 7);
        let tile = usize::from(reg);
        if mode == 3 {
            let instruction = match (opcode, prefix) {
                (0x49, 0) if byte(4) == 0xc0 => Self::Release,
                (0x49, 3) if rm == 0 => Self::Zero { tile },
                (0x5c, 2) if operand < 8 => Self::AddProduct { c: tile, a: usize::from(rm), b: operand },
                _ => return None,
            };
            return Some((instruction, 5));
        }
        let (mut base, mut stride, mut len) = (rm | (1 - not_b) << 3, 0, 5);
        if rm == 4 {
            base = byte(5) & 7 | (1 - not_b) << 3;
            let index = byte(5) >> 3 & 7 | (1 - not_x) << 3;
            // Register 4 as an index means none.
            stride = if index == 4 { 0 } else { general(index) << (byte(5) >> 6) };
            len = 6;
        }
        let displacement = match mode {
            0 if base & 7 != 5 => 0,
            1 => {
                len += 1;
                byte(len - 1) as i8 as usize
            }
            _ => return None,
        };
        let address = general(base).wrapping_add(displacement);
        let instruction = match (opcode, prefix) {
            (0x49, 0) if reg == 0 => Self::Configure { from: address as *const u8 },
            (0x4b, 3) if rm == 4 => Self::Load { tile, from: address as *const u8, stride },
            (0x4b, 2) if rm == 4 => Self::Store { tile, to: address as *mut u8, stride },
            _ => return None,
        };
        Some((instruction, len))
    }
}

impl State {
    /// Performs an instruction; returns `false` if a processor would reject it.
    ///
    /// # Safety
    /// The memory that the instruction names may be used as it does.
    unsafe fn perform(&mut self, instruction: Instruction) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            match instruction {
                Instruction::Configure { from } => return self.configure(&*from.cast::<[u8; 64]>()),
                Instruction::Release => self.configured = false,
                _ if !self.configured => return false,
                Instruction::Zero { tile } => self.tiles[tile] = ZERO,
                Instruction::Load { tile, from, stride } => {
                    self.tiles[tile] = ZERO;
                    for (row, to) in self.tiles[tile].0.iter_mut().enumerate().take(self.rows[tile]) {
                        let from = from.wrapping_add(row.wrapping_mul(stride));
                        std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), self.row_bytes[tile]);
                    }
                }
                Instruction::Store { tile, to, stride } => {
                    for (row, from) in self.tiles[tile].0.iter().enumerate().take(self.rows[tile]) {
                        let to = to.wrapping_add(row.wrapping_mul(stride));
                        std::ptr::copy_nonoverlapping(from.as_ptr(), to, self.row_bytes[tile]);
                    }
                }
                Instruction::AddProduct { c, a, b } => {
                    let fit = self.rows[c] == self.rows[a]
                        && self.row_bytes[c] == self.row_bytes[b]
                        && self.row_bytes[a] == 4 * self.rows[b];
                    if c == a || a == b || b == c || !fit {
                        return false;
                    }
                    let mut sums = self.tiles[c];
                    add_product(&mut sums, &self.tiles[a], &self.tiles[b], [self.rows[c], self.rows[b]]);
                    self.tiles[c] = ZERO;
                    for (to, from) in self.tiles[c].0.iter_mut().zip(&sums.0).take(self.rows[c]) {
                        to[..self.row_bytes[c]].copy_from_slice(&from[..self.row_bytes[c]]);
                    }
                }
            }
        }
        true
    }

    fn configure(&mut self, bytes: &[u8; 64]) -> bool {
        let [palette, start_row] = [bytes[0], bytes[1]];
        let row_bytes = |tile: usize| usize::from(bytes[16 + 2 * tile]) | usize::from(bytes[17 + 2 * tile]) << 8;
        let rows = |tile: usize| usize::from(bytes[48 + tile]);
        let reserved = bytes[2..16].iter().chain(&bytes[32..48]).chain(&bytes[56..]);
        let whole =
            (0..8).all(|tile| rows(tile) <= 16 && row_bytes(tile) <= 64 && (rows(tile) == 0) == (row_bytes(tile) == 0));
        if palette != 1 || start_row != 0 || !reserved.into_iter().all(|v| *v == 0) || !whole {
            return false;
        }
        *self = Self {
            configured: true,
            rows: std::array::from_fn(rows),
            row_bytes: std::array::from_fn(row_bytes),
            tiles: [ZERO; 8],
        };
        true
    }
}

/// Emulates `TDPBF16PS`: sums the even and the odd numbers of a row each by fused steps, then adds both to the
/// destination. Denormal numbers are treated as zeros, in and out.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn add_product(c: &mut Tile, a: &Tile, b: &Tile, [rows, pairs]: [usize; 2]) {
    for (c, a) in c.0.iter_mut().zip(&a.0).take(rows) {
        let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for (a, b) in a.chunks_exact(4).zip(&b.0).take(pairs) {
            let a = [a[0], a[1], a[2], a[3]].map(u32::from);
            let pair =
                [a[0] << 16 | a[1] << 24, a[2] << 16 | a[3] << 24].map(|bits| _mm512_set1_ps(f32::from_bits(bits)));
            // SAFETY: a row has 64 bytes.
            let b = unsafe { _mm512_loadu_si512(b.as_ptr().cast()) };
            let numbers = [_mm512_slli_epi32(b, 16), _mm512_and_si512(b, _mm512_set1_epi32(-0x10000))];
            let numbers = numbers.map(|bits| _mm512_castsi512_ps(bits));
            even = flush(_mm512_fmadd_ps(flush(pair[0]), flush(numbers[0]), even));
            odd = flush(_mm512_fmadd_ps(flush(pair[1]), flush(numbers[1]), odd));
        }
        // SAFETY: a row has 64 bytes.
        unsafe {
            let before = flush(_mm512_loadu_ps(c.as_ptr().cast()));
            _mm512_storeu_ps(c.as_mut_ptr().cast(), flush(_mm512_add_ps(before, flush(_mm512_add_ps(even, odd)))));
        }
    }
}

/// Flushes denormal numbers to zeros of their sign.
#[target_feature(enable = "avx512f")]
fn flush(v: __m512) -> __m512 {
    let bits = _mm512_castps_si512(v);
    let denormal = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f80_0000));
    let signs = _mm512_and_si512(bits, _mm512_set1_epi32(i32::MIN));
    _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, denormal, signs))
}
