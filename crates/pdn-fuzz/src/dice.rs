//! Choices driven by the fuzzer's bytes; once they run out, each choice is the first.

use arbitrary::Unstructured;

/// Numbers that tend to break readers.
const ODD: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 62,
    u64::MAX,
];

pub(crate) struct Dice<'a>(Unstructured<'a>);

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(crate) fn short(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Returns a number below the bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound.saturating_sub(1)).unwrap_or_default()
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns true once in `times`, and never when no bytes are left.
    pub(crate) fn once_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    /// Returns a small number, or one that tends to break readers.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() % 4 {
            0 | 1 => u64::from(self.byte()),
            2 => u64::from(self.short()),
            _ => self.of(&ODD),
        }
    }

    /// Returns the right number, or once in `times` another one.
    pub(crate) fn right(&mut self, right: u64, times: u8) -> u64 {
        if self.once_in(times) { self.number() } else { right }
    }

    /// Returns up to `most` bytes, or as many as are left.
    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1).min(self.0.len());
        self.0.bytes(count).map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Returns `count` bytes by repeating a few.
    pub(crate) fn filled(&mut self, count: usize) -> Vec<u8> {
        let some = self.bytes(32);
        match some.is_empty() {
            true => (0..count).map(|i| (i * 37 % 251) as u8).collect(),
            false => some.into_iter().cycle().take(count).collect(),
        }
    }

    /// Changes a byte or cuts off the end, once in `times`.
    pub(crate) fn damaged(&mut self, mut bytes: Vec<u8>, times: u8) -> Vec<u8> {
        if self.once_in(times) && !bytes.is_empty() {
            let at = self.below(bytes.len());
            match self.once_in(3) {
                true => bytes.truncate(at),
                false => bytes[at] = self.byte(),
            }
        }
        bytes
    }
}
