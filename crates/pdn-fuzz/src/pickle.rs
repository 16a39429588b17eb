//! Pickles from their grammar: what `torch.save` writes, and around it nested tuples, memo cycles, and calls.

use crate::dice::Dice;

/// A tensor's name and shape.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

/// The deepest nesting of values here; more is not needed to break a reader.
const DEPTH: usize = 6;

const GLOBALS: [&str; 14] = [
    "collections\nOrderedDict\n",
    "torch._utils\n_rebuild_tensor_v2\n",
    "torch._utils\n_rebuild_parameter\n",
    "torch._utils\n_rebuild_tensor\n",
    "torch\nFloatStorage\n",
    "torch\nLongStorage\n",
    "torch.cuda\nHalfStorage\n",
    "__torch__.a\nM\n",
    "torch.jit._pickle\nrestore_type_tag\n",
    "argparse\nNamespace\n",
    "torch\nSize\n",
    "numpy.core.multiarray\nscalar\n",
    "os\nsystem\n",
    "torch\nEvilStorage\n",
];
const STORAGES: [&str; 8] = [
    "FloatStorage",
    "HalfStorage",
    "BFloat16Storage",
    "DoubleStorage",
    "LongStorage",
    "BoolStorage",
    "IntStorage",
    "X",
];
const WRAPPERS: [&str; 10] =
    ["params_ema", "params", "state_dict", "model_state_dict", "model", "net", "netG", "optimizer", "epoch", "a"];
const PREFIXES: [&str; 4] = ["", "module.", "netG.", "module.module."];

pub(crate) struct Pickle<'d, 'a> {
    dice: &'d mut Dice<'a>,
    pub(crate) out: Vec<u8>,
    memo: u32,
}

impl<'d, 'a> Pickle<'d, 'a> {
    pub(crate) fn new(dice: &'d mut Dice<'a>) -> Self {
        let protocol = dice.of(&[2, 2, 0, 4, 5]);
        Self { dice, out: vec![0x80, protocol], memo: 0 }
    }

    /// Returns the object of a file: weights, usually under a key of their own.
    pub(crate) fn weights(mut self, named: &[Named]) -> Vec<u8> {
        match self.dice.byte() % 8 {
            0 => self.value(0),
            1 | 2 => self.dict(named),
            3 => self.modules(named, 0),
            _ => {
                let wrapper = self.dice.of(&WRAPPERS);
                self.out.extend(b"}(");
                self.text(wrapper);
                self.dict(named);
                for _ in 0..self.dice.below(3) {
                    let wrapper = self.dice.of(&WRAPPERS);
                    self.text(wrapper);
                    self.value(0);
                }
                self.out.push(b'u');
            }
        }
        self.out.push(b'.');
        let Self { dice, out, .. } = self;
        dice.damaged(out, 6)
    }

    /// Returns the list of storages that follows the object in a legacy file.
    pub(crate) fn keys(mut self, count: usize) -> Vec<u8> {
        self.out.extend(b"](");
        for key in 0..count {
            let key = self.dice.right(key as u64, 24).to_string();
            self.text(&key);
        }
        self.out.extend(b"e.");
        self.out
    }

    /// Writes any value.
    fn value(&mut self, depth: usize) {
        if self.dice.is_empty() {
            return self.out.push(b'N');
        }
        let kind = if depth < DEPTH { self.dice.byte() % 24 } else { self.dice.byte() % 10 };
        match kind {
            0 => self.out.push(self.dice.of(b"N\x88\x89)]}\x8f")),
            1 | 2 => {
                let number = self.dice.number().cast_signed();
                self.int(number);
            }
            3 | 4 => {
                let text = self.dice.of(&["weight", "bias", "0", "storage", "cpu", "\u{e9}", ""]);
                self.text(text);
            }
            5 => self.got(),
            6 => self.tensor(&[2, 3]),
            7 => self.global(),
            8 => {
                self.out.push(self.dice.of(b"GFBC\x8e"));
                let bytes = self.dice.bytes(9);
                self.out.extend(bytes);
            }
            9 => {
                // Any opcode.
                self.out.push(self.dice.byte());
                let bytes = self.dice.bytes(4);
                self.out.extend(bytes);
            }
            10..=13 => self.many(depth),
            14 | 15 => {
                let count = 1 + self.dice.below(3);
                (0..count).for_each(|_| self.value(depth + 1));
                self.out.push(0x84 + count as u8);
            }
            16 | 17 => {
                self.global();
                self.value(depth + 1);
                self.out.push(self.dice.of(b"RR\x81\x85"));
            }
            18 => {
                self.value(depth + 1);
                self.value(depth + 1);
                self.out.push(self.dice.of(b"bbas0"));
            }
            19 => {
                self.value(depth + 1);
                self.out.push(self.dice.of(b"Q20"));
            }
            20 => self.modules(&[], depth),
            _ => self.pairs(depth),
        }
        self.put();
    }

    /// Writes values after a mark, combined into one.
    fn many(&mut self, depth: usize) {
        let into = self.dice.of(b"(]}");
        if into != b'(' {
            self.out.push(into);
        }
        self.out.push(b'(');
        for _ in 0..self.dice.below(5) {
            self.value(depth + 1);
        }
        let end = if into == b'(' { self.dice.of(b"tld") } else { self.dice.of(b"eut\x90") };
        self.out.push(end);
    }

    /// Writes a dictionary as Python 2 does: from pairs.
    fn pairs(&mut self, depth: usize) {
        self.out.extend(b"ccollections\nOrderedDict\n](");
        for _ in 0..self.dice.below(4) {
            self.text("a");
            self.value(depth + 1);
            self.out.push(0x86);
        }
        self.out.extend(b"e\x85R");
    }

    /// Reads the memo, possibly at an index that was never set.
    fn got(&mut self) {
        let at = self.dice.below(self.memo as usize + 2) as u8;
        self.out.extend([b'h', at]);
    }

    fn put(&mut self) {
        if self.dice.once_in(3) {
            match self.dice.byte() % 4 {
                0 => self.out.push(0x94),
                1 => self.out.extend([&b"r"[..], &self.memo.to_le_bytes()].concat()),
                _ => self.out.extend([b'q', self.memo as u8]),
            }
            self.memo += 1;
        }
    }

    fn global(&mut self) {
        self.out.push(b'c');
        let global = self.dice.of(&GLOBALS);
        self.out.extend(global.as_bytes());
    }

    fn int(&mut self, number: i64) {
        match (self.dice.byte() % 6, u8::try_from(number), i32::try_from(number)) {
            (0 | 1, Ok(number), _) => self.out.extend([b'K', number]),
            (2, _, Ok(number)) => self.out.extend([&b"J"[..], &number.to_le_bytes()].concat()),
            (3, ..) => self.out.extend(format!("I{number}\n").into_bytes()),
            (4, ..) => self.out.extend([&[0x8b, 8, 0, 0, 0][..], &number.to_le_bytes()].concat()),
            _ => self.out.extend([&[0x8a, 8][..], &number.to_le_bytes()].concat()),
        }
    }

    fn text(&mut self, text: &str) {
        match self.dice.byte() % 5 {
            0 if text.len() < 256 => self.out.extend([&[0x8c, text.len() as u8][..], text.as_bytes()].concat()),
            1 => self.out.extend(format!("V{text}\n").into_bytes()),
            2 => self.out.extend(format!("S'{text}'\n").into_bytes()),
            3 => self.out.extend([&[0x8d][..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()),
            _ => self.out.extend([&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()),
        }
        self.put();
    }

    /// Writes weights by name.
    fn dict(&mut self, named: &[Named]) {
        let prefix = self.dice.of(&PREFIXES);
        let start: &[u8] = if self.dice.once_in(2) { b"ccollections\nOrderedDict\n)R(" } else { b"}(" };
        self.out.extend(start);
        self.entries(named, prefix);
        self.out.push(b'u');
        if self.dice.once_in(3) {
            // torch sets an attribute on it: its version.
            self.out.extend(b"}X\x09\0\0\0_metadata}sb");
        }
    }

    fn entries(&mut self, named: &[Named], prefix: &str) {
        for Named { name, shape } in named {
            let shape = match self.dice.byte() {
                0 => continue,
                1 => (0..self.dice.below(5)).map(|_| self.dice.number() as usize).collect(),
                2 => shape.iter().rev().copied().collect(),
                3 => shape.iter().map(|side| side + 1).collect(),
                _ => shape.clone(),
            };
            self.text(&format!("{prefix}{name}"));
            self.tensor(&shape);
        }
        if self.dice.once_in(4) {
            self.text("extra");
            self.value(1);
        }
    }

    /// Writes nested TorchScript modules, which hold the weights by the parts of their names.
    fn modules(&mut self, named: &[Named], depth: usize) {
        self.out.extend(b"c__torch__.net\nM\n)\x81");
        self.put();
        self.out.extend(b"}(");
        self.entries(named, "");
        if depth < DEPTH {
            for _ in 0..self.dice.below(3) {
                self.text("part");
                match self.dice.once_in(3) {
                    true => self.got(),
                    false => self.modules(&[], depth + 1),
                }
            }
        }
        self.out.extend(b"ub");
    }

    /// Writes a tensor whose storage usually has all that its shape needs.
    fn tensor(&mut self, shape: &[usize]) {
        self.out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        let kind = if self.dice.once_in(6) { self.dice.of(&STORAGES) } else { STORAGES[0] };
        self.out.extend(format!("ctorch\n{kind}\n").into_bytes());
        let key = if self.dice.once_in(16) { "1" } else { "0" };
        self.text(key);
        self.text("cpu");
        let count = shape.iter().fold(1_usize, |all, side| all.wrapping_mul(*side));
        self.int(count as i64);
        self.out.extend(b"tQ");
        let offset = self.dice.right(0, 16).cast_signed();
        self.int(offset);
        self.out.push(b'(');
        shape.iter().for_each(|side| self.int(*side as i64));
        self.out.extend(b"t(");
        let mut stride = count;
        for side in shape {
            stride = stride.checked_div(*side).unwrap_or_default();
            let stride = self.dice.right(stride as u64, 32).cast_signed();
            self.int(stride);
        }
        self.out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
}
