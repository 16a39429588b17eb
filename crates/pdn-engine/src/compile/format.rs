//! How each map of a program is kept: as lines of bf16 where only convolutions by tiles read it, else as float32.
//!
//! Tiles multiply lines as they stand, so what reads them rounds nothing, and a number takes two bytes in the place of four.

use crate::compile::step::{Source, Step, Value, Work};
use pdn_kernels::{Format, LANES, Precision};

/// Chooses for the values of some steps, whose convolutions have some precision; the picture is read from `output`.
pub(crate) fn choose(values: &mut [Value], steps: &[Step], precision: Precision, output: usize) {
    if !precision.keeps_lines() {
        return;
    }
    // What a value must be to be kept as lines, and is as far as is known.
    let mut can: Vec<bool> = values.iter().map(|value| value.channels.is_multiple_of(2 * LANES)).collect();
    can[output] = false;
    for step in steps {
        let (inputs, fused): (&[Source], _) = match &step.work {
            Work::Conv { inputs, fused, .. } => (inputs, fused),
            Work::MixedConv { input, fused, .. } => (std::slice::from_ref(input), fused),
            other => {
                other.reads().map(|(value, _)| value).chain(step.out).for_each(|value| can[value] = false);
                continue;
            }
        };
        let mut aligned = true;
        for source in inputs {
            can[source.value] &= aligned && is_whole(source, values);
            aligned &= source.channels.is_multiple_of(2 * LANES);
        }
        if let Some(add) = &fused.add {
            can[add.value] &= is_whole(add, values);
        }
    }
    for (value, _) in values.iter_mut().zip(can).filter(|(_, can)| *can) {
        value.format = Format::Lines;
    }
}

fn is_whole(source: &Source, values: &[Value]) -> bool {
    source.first_block == 0 && source.channels == values[source.value].channels
}
