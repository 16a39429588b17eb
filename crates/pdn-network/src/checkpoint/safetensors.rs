//! Reading safetensors.

use super::contents::{Contents, Dtype, Kind};
use super::error::Fault;
use crate::{Tensor, Tensors};
use ::safetensors::{Dtype as Stored, SafeTensorError, SafeTensors};

pub(super) fn read(bytes: &[u8]) -> Result<Contents, Fault> {
    let damaged = |e: SafeTensorError| Fault::Damaged(e.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (mut tensors, mut skipped) = (Tensors::new(), Vec::new());
    for (name, view) in file.iter() {
        let dtype = match view.dtype() {
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::BF16,
            Stored::F64 => Dtype::F64,
            _ => {
                skipped.push(name.to_owned());
                continue;
            }
        };
        // The crate has checked the number of bytes against the shape and type.
        let data = view.data().chunks_exact(dtype.bytes()).map(|b| dtype.number(b)).collect();
        tensors.insert(name.to_owned(), Tensor::new(view.shape().to_vec(), data));
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents { tensors, skipped, metadata, kind: Kind::Safetensors, unwrapped: None })
}
