//! Pickles, read as data (the opcodes of CPython's `pickletools`, protocols 0 to 5, as far as `torch.save` writes
//! them).
//!
//! A global is only a name here, and only names on a short list may occur. Objects lie in one list and refer to each
//! other by index, so shared and cyclic references need no recursion, and every opcode adds at most one object: the
//! length of the file bounds memory and time.

use super::contents::Dtype;
use super::error::Fault;
use std::collections::HashMap;

/// The index of an object.
pub(super) type Id = usize;

/// An object in a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object<'a> {
    /// A permitted object that is irrelevant to weights.
    Inert,
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// A `persistent_id`: a reference to a storage.
    Persistent(Id),
    /// `torch._utils._rebuild_tensor_v2(*arguments)`.
    Tensor(Id),
    /// A module of a TorchScript archive, with the dictionary of its attributes once that is set.
    Module(Option<Id>),
    /// The start of a run of arguments.
    Mark,
}

/// The permitted names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// A class defined in a TorchScript archive.
    Module,
    /// A name that occurs in training checkpoints; its result is ignored.
    Inert,
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch" | "torch.cuda", storage) if storage.ends_with("Storage") => Self::Storage(match storage {
                "FloatStorage" => Dtype::F32,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::BF16,
                "DoubleStorage" => Dtype::F64,
                "LongStorage" => Dtype::Integer(8),
                "IntStorage" => Dtype::Integer(4),
                "ShortStorage" => Dtype::Integer(2),
                "CharStorage" | "ByteStorage" | "BoolStorage" => Dtype::Integer(1),
                _ => return None,
            }),
            (module, _) if module == "__torch__" || module.starts_with("__torch__.") => Self::Module,
            ("torch.jit._pickle", _) => Self::Inert,
            ("collections", "defaultdict" | "Counter") | ("argparse", "Namespace") => Self::Inert,
            ("torch", "Size" | "device" | "float32" | "float16" | "bfloat16" | "float64" | "int64") => Self::Inert,
            ("__builtin__" | "builtins", "set" | "dict" | "list") | ("_codecs", "encode") => Self::Inert,
            ("numpy", "dtype" | "ndarray") => Self::Inert,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct") => Self::Inert,
            _ => return None,
        })
    }
}

/// A parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    /// The object that the pickle represents.
    pub(super) root: Id,
    /// Length of the pickle in bytes.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut machine = Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        Ok(Self { objects: machine.objects, root, length: machine.at })
    }

    /// Iterates over all objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object<'a>> {
        self.objects.iter()
    }

    pub(super) fn object(&self, id: Id) -> &Object<'a> {
        self.objects.get(id).unwrap_or(&Object::Inert)
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.object(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.object(id) {
            Object::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.object(id) {
            Object::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the attributes of a TorchScript module; none if they were never set.
    pub(super) fn module(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.object(id) {
            Object::Module(state) => Some(state.and_then(|state| self.dict(state)).unwrap_or_default()),
            _ => None,
        }
    }

    /// Returns the items of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.object(id) {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, id: Id) -> Option<&Object<'a>> {
        Some(self.object(id)).filter(|object| matches!(object, Object::Tensor(_)))
    }

    pub(super) fn is_tensor(&self, id: Id) -> bool {
        self.tensor(id).is_some()
    }
}

/// The pickle machine: a stack of objects and a memo.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, Fault> {
        loop {
            let opcode = self.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.execute(opcode)?;
        }
    }

    fn execute(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            0x80 => self.skip(1),                                                   // PROTO
            0x95 => self.skip(8),                                                   // FRAME
            b'(' => self.push(Object::Mark),                                        // MARK
            b'N' | 0x88 | 0x89 => self.push(Object::Inert),                         // NONE, NEWTRUE, NEWFALSE
            b'K' => self.int(1),                                                    // BININT1
            b'M' => self.int(2),                                                    // BININT2
            b'J' => self.binint(),                                                  // BININT
            0x8a => self.long(1),                                                   // LONG1
            0x8b => self.long(4),                                                   // LONG4
            b'I' | b'L' => self.decimal(),                                          // INT, LONG
            b'G' => self.skip(8).and_then(|()| self.push(Object::Inert)),           // BINFLOAT
            b'F' => self.line().and_then(|_| self.push(Object::Inert)),             // FLOAT
            b'X' | b'T' => self.text(4),                                            // BINUNICODE, BINSTRING
            0x8c | b'U' => self.text(1),                                            // SHORT_BINUNICODE, SHORT_BINSTRING
            0x8d => self.text(8),                                                   // BINUNICODE8
            b'V' | b'S' => self.quoted(),                                           // UNICODE, STRING
            b'B' => self.data(4),                                                   // BINBYTES
            b'C' => self.data(1),                                                   // SHORT_BINBYTES
            0x8e => self.data(8),                                                   // BINBYTES8
            b')' => self.push(Object::Tuple(Vec::new())),                           // EMPTY_TUPLE
            b']' | 0x8f => self.push(Object::List(Vec::new())),                     // EMPTY_LIST, EMPTY_SET
            b'}' => self.push(Object::Dict(Vec::new())),                            // EMPTY_DICT
            b't' => self.marked().and_then(|v| self.push(Object::Tuple(v))),        // TUPLE
            b'l' => self.marked().and_then(|v| self.push(Object::List(v))),         // LIST
            b'd' => self.marked().and_then(|v| self.push(Object::Dict(pairs(&v)))), // DICT
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),                  // TUPLE1, TUPLE2, TUPLE3
            b'a' => self.append(1),                                                 // APPEND
            b'e' | 0x90 => self.appends(),                                          // APPENDS, ADDITEMS
            b's' => self.set_item(),                                                // SETITEM
            b'u' => self.set_items(),                                               // SETITEMS
            b'0' => self.pop().map(drop),                                           // POP
            b'2' => self.top().map(|id| self.stack.push(id)),                       // DUP
            b'p' => self.line_number().and_then(|n| self.put(n)),                   // PUT
            b'q' => self.number(1).and_then(|n| self.put(n)),                       // BINPUT
            b'r' => self.number(4).and_then(|n| self.put(n)),                       // LONG_BINPUT
            0x94 => self.put(self.memo.len() as u64),                               // MEMOIZE
            b'g' => self.line_number().and_then(|n| self.get(n)),                   // GET
            b'h' => self.number(1).and_then(|n| self.get(n)),                       // BINGET
            b'j' => self.number(4).and_then(|n| self.get(n)),                       // LONG_BINGET
            b'c' => self.global(),                                                  // GLOBAL
            0x93 => self.stack_global(),                                            // STACK_GLOBAL
            b'R' | 0x81 => self.reduce(),                                           // REDUCE, NEWOBJ
            b'b' => self.build(),                                                   // BUILD
            b'Q' => self.pop().and_then(|id| self.push(Object::Persistent(id))),    // BINPERSID
            other => Err(Fault::Unsupported(format!("the pickle opcode 0x{other:02x}"))),
        }
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), Fault> {
        self.objects.push(object);
        self.stack.push(self.objects.len() - 1);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        self.stack.pop().ok_or_else(|| damaged("its stack is empty"))
    }

    fn top(&self) -> Result<Id, Fault> {
        self.stack.last().copied().ok_or_else(|| damaged("its stack is empty"))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| damaged("the pickle ends early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|b| b[0])
    }

    fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.take(count).map(drop)
    }

    /// Reads a little-endian number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, Fault> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b)))
    }

    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("a line has no end"))?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| damaged("a line is not text"))
    }

    fn line_number(&mut self) -> Result<u64, Fault> {
        self.line()?.parse().map_err(|_| damaged("a number is not one"))
    }

    fn int(&mut self, bytes: usize) -> Result<(), Fault> {
        let value = self.number(bytes)?;
        self.push(Object::Int(value as i64))
    }

    fn binint(&mut self) -> Result<(), Fault> {
        let value = self.number(4)? as u32;
        self.push(Object::Int(i64::from(value.cast_signed())))
    }

    /// Reads a two's complement number; ignores one that does not fit in 64 bits.
    fn long(&mut self, count: usize) -> Result<(), Fault> {
        let count = self.length(count)?;
        let bytes = self.take(count)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let object = match bytes.len() {
            0..=8 => {
                let start = if negative { -1_i64 } else { 0 };
                Object::Int(bytes.iter().rev().fold(start, |n, b| (n << 8) | i64::from(*b)))
            }
            _ => Object::Inert,
        };
        self.push(object)
    }

    fn decimal(&mut self) -> Result<(), Fault> {
        let value = self.line()?.trim_end_matches('L').parse();
        self.push(value.map_or(Object::Inert, Object::Int))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, Fault> {
        usize::try_from(self.number(bytes)?).map_err(|_| damaged("a length is beyond the file"))
    }

    fn text(&mut self, bytes: usize) -> Result<(), Fault> {
        let count = self.length(bytes)?;
        let text = std::str::from_utf8(self.take(count)?);
        self.push(text.map_or(Object::Inert, Object::Text))
    }

    fn quoted(&mut self) -> Result<(), Fault> {
        let text = self.line()?.trim_matches(['\'', '"']);
        self.push(Object::Text(text))
    }

    fn data(&mut self, bytes: usize) -> Result<(), Fault> {
        let count = self.length(bytes)?;
        self.take(count)?;
        self.push(Object::Inert)
    }

    /// Pops everything above the last mark, and the mark.
    fn marked(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.stack.iter().rposition(|id| self.objects[*id] == Object::Mark);
        let mark = mark.ok_or_else(|| damaged("a mark is missing"))?;
        let items = self.stack.split_off(mark + 1);
        self.stack.truncate(mark);
        Ok(items)
    }

    fn tuple(&mut self, count: usize) -> Result<(), Fault> {
        let start = self.stack.len().checked_sub(count).ok_or_else(|| damaged("its stack is empty"))?;
        let items = self.stack.split_off(start);
        self.push(Object::Tuple(items))
    }

    fn append(&mut self, count: usize) -> Result<(), Fault> {
        let start = self.stack.len().checked_sub(count).ok_or_else(|| damaged("its stack is empty"))?;
        let items = self.stack.split_off(start);
        self.extend_list(items)
    }

    fn appends(&mut self) -> Result<(), Fault> {
        let items = self.marked()?;
        self.extend_list(items)
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Result<(), Fault> {
        let id = self.top()?;
        match &mut self.objects[id] {
            Object::List(list) => list.extend(items),
            Object::Inert => {}
            _ => return Err(damaged("items are appended to something that is not a list")),
        }
        Ok(())
    }

    fn set_item(&mut self) -> Result<(), Fault> {
        let (value, key) = (self.pop()?, self.pop()?);
        self.extend_dict(&[key, value])
    }

    fn set_items(&mut self) -> Result<(), Fault> {
        let items = self.marked()?;
        self.extend_dict(&items)
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<(), Fault> {
        let id = self.top()?;
        match &mut self.objects[id] {
            Object::Dict(entries) => entries.extend(pairs(items)),
            Object::Inert => {}
            _ => return Err(damaged("entries are set in something that is not a dictionary")),
        }
        Ok(())
    }

    fn put(&mut self, key: u64) -> Result<(), Fault> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn get(&mut self, key: u64) -> Result<(), Fault> {
        let id = self.memo.get(&key).copied().ok_or_else(|| damaged("it refers to what was never made"))?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self) -> Result<(), Fault> {
        let (module, name) = (self.line()?, self.line()?);
        self.push_global(module, name)
    }

    fn stack_global(&mut self) -> Result<(), Fault> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.objects[module], &self.objects[name]) {
            (Object::Text(module), Object::Text(name)) => self.push_global(module, name),
            _ => Err(damaged("a global has no name")),
        }
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), Fault> {
        let global = Global::named(module, name).ok_or_else(|| Fault::Refused(format!("{module}.{name}")))?;
        self.push(Object::Global(global))
    }

    /// Applies a global to its arguments: only tensors, parameters and dictionaries matter.
    fn reduce(&mut self) -> Result<(), Fault> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Object::Global(global) = self.objects[callable] else {
            return Err(damaged("it calls something that is not a global"));
        };
        let first = match &self.objects[arguments] {
            Object::Tuple(items) => items.first().copied(),
            _ => return Err(damaged("arguments are no tuple")),
        };
        let object = match (global, first) {
            (Global::RebuildTensor, _) => Object::Tensor(arguments),
            (Global::RebuildParameter, Some(data)) => {
                self.stack.push(data);
                return Ok(());
            }
            (Global::Module, _) => Object::Module(None),
            (Global::OrderedDict, None) => Object::Dict(Vec::new()),
            (Global::OrderedDict, Some(list)) => Object::Dict(self.pairs_of(list)?),
            _ => Object::Inert,
        };
        self.push(object)
    }

    /// Returns the entries of a dictionary given as a list of pairs, as in Python 2. The list is emptied, so that
    /// repeated references to it cannot add up.
    fn pairs_of(&mut self, list: Id) -> Result<Vec<(Id, Id)>, Fault> {
        let Object::List(items) = &mut self.objects[list] else {
            return Err(damaged("a dictionary is made from something that is not a list"));
        };
        let items = std::mem::take(items);
        let pair = |id: &Id| match &self.objects[*id] {
            Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(damaged("a dictionary is made from what are no pairs")),
        };
        items.iter().map(pair).collect()
    }

    /// Sets the state of an object: the attributes of a module; ignored for anything else.
    fn build(&mut self) -> Result<(), Fault> {
        let (state, object) = (self.pop()?, self.top()?);
        if let Object::Module(attributes) = &mut self.objects[object] {
            *attributes = Some(state);
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn damaged(why: &str) -> Fault {
    Fault::Damaged(why.to_owned())
}
