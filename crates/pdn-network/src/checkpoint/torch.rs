//! PyTorch's files (`torch/serialization.py`): the zip archive of 1.6 and later, TorchScript's (the same, plus code
//! that is ignored), and the sequence of pickles before it.

use super::contents::{Contents, Dtype, Kind};
use super::error::Fault;
use super::pickle::{Global, Id, Object, Pickle};
use super::unwrap::{named_tensors, state_dict};
use crate::{Tensor, Tensors};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use zip::{CompressionMethod, ZipArchive};

/// The magic number of a legacy file, `0x1950a86a20f9469cfc6c`, as stored in the pickle.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// How many bytes of tensors a file may expand to, per byte of its own. Half precision doubles, and a tensor that
/// shares its storage counts again; a file that asks for more is malicious.
const EXPANSION: usize = 8;

/// The most axes in a tensor: no layer has more than six. Each costs memory that the file need not pay for, as any
/// number of tensors can refer to one shape.
const AXES: usize = 8;

/// The most bytes in a storage's key, which is a number. Any number of tensors can refer to one key, and each reference
/// reads it.
const KEY: usize = 64;

/// Reads a zip archive: `<root>/data.pkl`, and each storage in `<root>/data/<key>`.
pub(super) fn read_zip(bytes: &[u8]) -> Result<Contents, Fault> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| Fault::Damaged(e.to_string()))?;
    let names: Vec<String> =
        (0..archive.len()).filter_map(|i| archive.name_for_index(i)?.ok().map(|name| name.into_owned())).collect();
    let root = names.iter().find_map(|name| name.strip_suffix("data.pkl"));
    let root = root.ok_or(Fault::Unknown)?.to_owned();
    let kind = match names.contains(&format!("{root}constants.pkl")) {
        true => Kind::TorchScript,
        false => Kind::TorchZip,
    };
    refuse_overlap(&mut archive, bytes.len())?;
    let byteorder = format!("{root}byteorder");
    if names.contains(&byteorder) && entry(&mut archive, &byteorder, bytes.len())? != b"little" {
        return Err(Fault::Unsupported("big-endian numbers".into()));
    }
    let data = entry(&mut archive, &format!("{root}data.pkl"), bytes.len())?;
    let pickle = Pickle::read(&data)?;
    let prefix = format!("{root}data/");
    let mut storages = HashMap::new();
    for name in &names {
        if let Some(key) = name.strip_prefix(&prefix) {
            storages.insert(key, entry(&mut archive, name, bytes.len())?);
        }
    }
    contents(&pickle, kind, bytes.len(), |key| storages.get(key).map(Vec::as_slice))
}

/// Rejects an archive whose entries together are longer than the file: they share bytes, as in a zip bomb. Compressed
/// entries are never expanded.
fn refuse_overlap(archive: &mut ZipArchive<Cursor<&[u8]>>, file: usize) -> Result<(), Fault> {
    let mut total = 0_u64;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| Fault::Damaged(e.to_string()))?;
        total = total.saturating_add(entry.compressed_size());
    }
    match total <= file as u64 {
        true => Ok(()),
        false => Err(Fault::Unsupported(format!("{total} bytes of entries in a file of {file}"))),
    }
}

/// Reads one entry. Torch never compresses, so an entry that would grow is rejected.
fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: usize) -> Result<Vec<u8>, Fault> {
    let damaged = |why: String| Fault::Damaged(format!("{name}: {why}"));
    let file = archive.by_name(name).map_err(|e| damaged(e.to_string()))?;
    if file.compression() != CompressionMethod::Stored || file.size() > limit as u64 {
        return Err(Fault::Unsupported(format!("the compressed or oversized entry {name}")));
    }
    let (size, mut data) = (file.size(), Vec::new());
    file.take(size).read_to_end(&mut data).map_err(|e| damaged(e.to_string()))?;
    Ok(data)
}

/// Reads a legacy file: magic number, version, system, the object, the storages' keys, then each storage.
pub(super) fn read_legacy(bytes: &[u8]) -> Result<Contents, Fault> {
    if bytes.get(4..14) != Some(&LEGACY_MAGIC) {
        return Err(Fault::Unknown);
    }
    let mut at = 0;
    let mut next = || {
        let pickle = Pickle::read(&bytes[at..])?;
        at += pickle.length;
        Ok::<_, Fault>(pickle)
    };
    let (_magic, _version, _system) = (next()?, next()?, next()?);
    let (pickle, keys) = (next()?, next()?);
    let order = keys.items(keys.root).ok_or_else(|| Fault::Damaged("the list of storages is missing".into()))?;
    let types = storage_types(&pickle)?;
    let mut storages = HashMap::new();
    for id in order {
        let key = keys.text(*id).ok_or_else(|| Fault::Damaged("a storage has no key".into()))?;
        let dtype = *types.get(key).ok_or_else(|| Fault::Damaged(format!("storage {key} is not used")))?;
        let header = bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let length = header.and_then(|count| usize::try_from(count).ok()?.checked_mul(dtype.bytes()));
        let end = length.and_then(|length| (at + 8).checked_add(length)).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| Fault::Damaged(format!("storage {key} ends early")))?;
        storages.insert(key, &bytes[at + 8..end]);
        at = end;
    }
    contents(&pickle, Kind::TorchLegacy, bytes.len(), |key| storages.get(key).copied())
}

/// Returns the type of every storage that a pickle refers to.
fn storage_types<'a>(pickle: &Pickle<'a>) -> Result<HashMap<&'a str, Dtype>, Fault> {
    let mut found = HashMap::new();
    for object in pickle.objects() {
        if let Object::Persistent(reference) = object {
            let storage = Storage::new(pickle, *reference)?;
            found.insert(storage.key, storage.dtype);
        }
    }
    Ok(found)
}

/// Reads the weights of a pickle; `storage` returns a storage by its key.
fn contents<'s>(
    pickle: &Pickle,
    kind: Kind,
    file: usize,
    storage: impl Fn(&str) -> Option<&'s [u8]>,
) -> Result<Contents, Fault> {
    let (dict, unwrapped) = state_dict(pickle, pickle.root).ok_or(Fault::NoTensors)?;
    let (mut tensors, mut skipped) = (Tensors::new(), Vec::new());
    let mut budget = file.saturating_mul(EXPANSION);
    for (name, object) in named_tensors(pickle, dict)? {
        let view = View::new(pickle, object)?;
        if let Dtype::Integer(_) = view.storage.dtype {
            skipped.push(name);
            continue;
        }
        let wanted = view.count()?.checked_mul(size_of::<f32>());
        budget = wanted.and_then(|wanted| budget.checked_sub(wanted)).ok_or_else(|| {
            Fault::Damaged(format!("{name} {:?} needs more memory than the file can hold", view.shape))
        })?;
        let data = storage(view.storage.key);
        let data = data.ok_or_else(|| Fault::Damaged(format!("storage {} is missing", view.storage.key)))?;
        let tensor = view.gather(&name, data)?;
        tensors.insert(name, tensor);
    }
    Ok(Contents { tensors, skipped, metadata: Default::default(), kind, unwrapped })
}

/// A storage that a pickle refers to: `("storage", type, key, device, numel)`, and in legacy files a view of another,
/// which no version writes any more.
#[derive(Clone, Copy)]
struct Storage<'a> {
    key: &'a str,
    dtype: Dtype,
}

impl<'a> Storage<'a> {
    fn new(pickle: &Pickle<'a>, reference: Id) -> Result<Self, Fault> {
        let damaged = || Fault::Damaged("a reference to a storage is not one".into());
        let items = pickle.items(reference).ok_or_else(damaged)?;
        let ([kind, storage, key, _, _] | [kind, storage, key, _, _, _]) = items else { return Err(damaged()) };
        if items.get(5).is_some_and(|view| *pickle.object(*view) != Object::Inert) {
            return Err(Fault::Unsupported("a storage that is a view of another".into()));
        }
        let Object::Global(Global::Storage(dtype)) = *pickle.object(*storage) else { return Err(damaged()) };
        let key = pickle.text(*key).filter(|key| key.len() <= KEY).ok_or_else(damaged)?;
        match pickle.text(*kind) {
            Some("storage") => Ok(Self { key, dtype }),
            _ => Err(damaged()),
        }
    }
}

/// A tensor: a view of a storage, `(storage, offset, shape, strides, ...)`.
struct View<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> View<'a> {
    fn new(pickle: &Pickle<'a>, object: &Object) -> Result<Self, Fault> {
        let damaged = || Fault::Damaged("a tensor is not one".into());
        let Object::Tensor(arguments) = object else { return Err(damaged()) };
        let items = pickle.items(*arguments).ok_or_else(damaged)?;
        let [storage, offset, shape, strides, ..] = items else { return Err(damaged()) };
        let Object::Persistent(reference) = pickle.object(*storage) else { return Err(damaged()) };
        let size = |id: &Id| pickle.int(*id).and_then(|n| usize::try_from(n).ok()).ok_or_else(damaged);
        let sizes = |id: &Id| match pickle.items(*id).ok_or_else(damaged)? {
            items if items.len() > AXES => {
                let why = format!("a tensor of {} axes, of which {AXES} are read", items.len());
                Err(Fault::Unsupported(why))
            }
            items => items.iter().map(size).collect::<Result<Vec<_>, _>>(),
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(damaged());
        }
        Ok(Self { storage: Storage::new(pickle, *reference)?, offset: size(offset)?, shape, strides })
    }

    fn count(&self) -> Result<usize, Fault> {
        let count = self.shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        count.ok_or_else(|| Fault::Damaged(format!("a tensor of shape {:?}", self.shape)))
    }

    /// Returns the numbers in row-major order.
    fn gather(&self, name: &str, data: &[u8]) -> Result<Tensor, Fault> {
        let outside = || Fault::Damaged(format!("{name} {:?} lies outside its storage", self.shape));
        let (count, size) = (self.count()?, self.storage.dtype.bytes());
        if count > 0 {
            let steps = self.shape.iter().zip(&self.strides);
            let last = steps.into_iter().try_fold(self.offset, |at, (d, s)| at.checked_add((d - 1).checked_mul(*s)?));
            let end = last.and_then(|last| last.checked_add(1)?.checked_mul(size));
            end.filter(|end| *end <= data.len()).ok_or_else(outside)?;
        }
        let mut numbers = Vec::with_capacity(count);
        let (mut index, mut at) = (vec![0; self.shape.len()], self.offset);
        // Arithmetic wraps: the stride along an axis of length one may be anything, and is undone before use.
        for _ in 0..count {
            numbers.push(self.storage.dtype.number(&data[at * size..(at + 1) * size]));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at = at.wrapping_add(self.strides[axis]);
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(self.shape[axis]));
                index[axis] = 0;
            }
        }
        Ok(Tensor::new(self.shape.clone(), numbers))
    }
}
