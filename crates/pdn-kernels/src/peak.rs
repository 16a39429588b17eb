//! The peak of a core: its rate of fused multiply-adds when nothing else slows them down.

use crate::lanes::{self, Kernel, Lanes};
use crate::{Isa, LANES};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Independent sums: more than any core has in flight.
const SUMS: usize = 24;

/// Rounds between two checks of the clock.
const ROUNDS: usize = 20_000;

/// Measures the multiplies and adds per second on the calling thread, for about `time`.
///
/// # Panics
/// Panics if the machine lacks the instruction set.
pub fn peak_flops(isa: Isa, time: Duration) -> f64 {
    let (start, mut best) = (Instant::now(), 0.0_f64);
    while start.elapsed() < time {
        let round = Instant::now();
        // SAFETY: the kernel reads and writes only its own number.
        unsafe { lanes::run(isa, Products(black_box(0.5))) };
        best = best.max((2 * SUMS * LANES * ROUNDS) as f64 / round.elapsed().as_secs_f64());
    }
    best
}

struct Products(f32);

impl Kernel for Products {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // If 16 numbers take more than one register, use fewer sums, as all must stay in registers.
        // SAFETY: this function's contract.
        unsafe {
            match V::PIXELS {
                14 => products::<V, SUMS>(self.0, ROUNDS),
                _ => products::<V, { SUMS / 4 }>(self.0, ROUNDS * 4),
            }
        }
    }
}

/// Multiplies and adds to `N` independent sums.
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
unsafe fn products<V: Lanes, const N: usize>(number: f32, rounds: usize) {
    // SAFETY: this function's contract; the array holds 16 numbers.
    unsafe {
        let factor = V::splat(number);
        let mut sums = [factor; N];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        let mut out = [0.0_f32; LANES];
        for sum in sums {
            sum.store(out.as_mut_ptr());
            black_box(&out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_a_peak() {
        for isa in Isa::available() {
            // The bound is low because the processor may be emulated.
            assert!(peak_flops(isa, Duration::from_millis(2)) > 1e5, "{isa}");
        }
    }
}
