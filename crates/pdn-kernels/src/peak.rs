//! The peak of a core: its rate of fused multiply-adds when nothing else is in their way.

use crate::lanes::{self, Kernel, Lanes};
use crate::{Isa, LANES};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Sums that do not wait for each other: more than any core has under way.
const SUMS: usize = 24;

/// Rounds between two looks at the clock.
const ROUNDS: usize = 20_000;

/// Multiplies and adds of a second, on the thread that calls, measured for about `time`.
///
/// # Panics
/// When the machine lacks the instruction set.
pub fn peak_flops(isa: Isa, time: Duration) -> f64 {
    let (start, mut best) = (Instant::now(), 0.0_f64);
    while start.elapsed() < time {
        let round = Instant::now();
        // SAFETY: the kernel reads and writes nothing but its own number.
        unsafe { lanes::run(isa, Products(black_box(0.5))) };
        best = best.max((2 * SUMS * LANES * ROUNDS) as f64 / round.elapsed().as_secs_f64());
    }
    best
}

struct Products(f32);

impl Kernel for Products {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // Where 16 numbers are more than one register there are fewer sums, as all must stay in registers.
        // SAFETY: this function's contract.
        unsafe {
            match V::PIXELS {
                14 => products::<V, SUMS>(self.0, ROUNDS),
                _ => products::<V, { SUMS / 4 }>(self.0, ROUNDS * 4),
            }
        }
    }
}

/// # Safety
/// As for [`Lanes`].
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
            // Little, as a processor may be emulated.
            assert!(peak_flops(isa, Duration::from_millis(2)) > 1e5, "{isa}");
        }
    }
}
