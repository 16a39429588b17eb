//! What NIQE knows of pristine pictures: the mean and the covariance of their features.

use crate::FileError;
use nalgebra::{DMatrix, DVector};
use npyz::NpyFile;
use pdn_network::file;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

/// Features of a block: 18 at each of two scales.
pub(super) const FEATURES: usize = 36;

/// The most bytes of the file, and of an array in it. The published one has 12 thousand.
const MOST: u64 = 1 << 20;

/// The mean and the covariance of the features of pristine pictures.
#[derive(Clone, Debug)]
pub struct Pristine {
    pub(super) mean: DVector<f64>,
    pub(super) covariance: DMatrix<f64>,
}

impl Pristine {
    /// Reads `niqe_pris_params.npz`, which XPixelGroup/BasicSR has made of the authors' `modelparameters.mat`: arrays
    /// `mu_pris_param` (1x36) and `cov_pris_param` (36x36).
    ///
    /// # Errors
    /// [`FileError`] says what is wrong with the file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let bytes = file::read(path, MOST).map_err(|error| FileError::new(path, format!("cannot be read: {error}")))?;
        let wrong = |why: String| FileError::new(path, format!("{why}; expected BasicSR's niqe_pris_params.npz"));
        let mut archive = ZipArchive::new(Cursor::new(&bytes[..])).map_err(|error| wrong(error.to_string()))?;
        let mut array = |name: &str, len: usize| {
            let numbers =
                numbers(&mut archive, &format!("{name}.npy")).map_err(|why| wrong(format!("{name}: {why}")))?;
            match numbers.len() == len && numbers.iter().all(|v| v.is_finite()) {
                true => Ok(numbers),
                false => Err(wrong(format!("{name}: holds {} numbers, or some that are not finite", numbers.len()))),
            }
        };
        let mean = DVector::from_vec(array("mu_pris_param", FEATURES)?);
        let covariance = DMatrix::from_vec(FEATURES, FEATURES, array("cov_pris_param", FEATURES * FEATURES)?);
        let scale = covariance.amax();
        match (&covariance - covariance.transpose()).amax() <= 1e-6 * scale {
            true => Ok(Self { mean, covariance }),
            false => Err(wrong("cov_pris_param: is not symmetric".into())),
        }
    }
}

/// Reads one array of float64.
fn numbers(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<f64>, String> {
    let entry = archive.by_name(name).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    entry.take(MOST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let npy = NpyFile::new(&bytes[..]).map_err(|error| error.to_string())?;
    // An array declares its length, and none is made of it before that is known to be in the file.
    let declared = npy.shape().iter().try_fold(8_u64, |all, side| all.checked_mul(*side));
    if declared.is_none_or(|declared| declared > bytes.len() as u64) {
        return Err("is shorter than it says".into());
    }
    npy.into_vec::<f64>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    /// An array as numpy writes it.
    fn npy(kind: &str, shape: &str, data: &[f64]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        data.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        bytes
    }

    fn opened(entries: &[(&str, Vec<u8>)]) -> Result<Pristine, FileError> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("pristine.npz");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in entries {
            archive.start_file(*name, stored).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
        Pristine::open(&path)
    }

    #[test]
    fn hostile_files_are_refused() {
        let mean = || ("mu_pris_param.npy", npy("<f8", "(1, 36)", &[0.5; 36]));
        let covariance = |v: &[f64]| ("cov_pris_param.npy", npy("<f8", "(36, 36)", v));
        let eye: Vec<f64> = (0..36 * 36).map(|i| f64::from(u8::from(i % 37 == 0))).collect();
        assert!(opened(&[mean(), covariance(&eye)]).is_ok());
        let mut skew = eye.clone();
        skew[1] = 0.5;
        let short = ("cov_pris_param.npy", npy("<f8", "(4000000000, 4000000000)", &[1.0]));
        let kind = ("cov_pris_param.npy", npy("<i8", "(36, 36)", &eye));
        for (entries, words) in [
            (vec![mean()], "cov_pris_param"),
            (vec![mean(), covariance(&skew)], "symmetric"),
            (vec![mean(), covariance(&[f64::NAN; 36 * 36])], "not finite"),
            (vec![mean(), short], "shorter than it says"),
            (vec![mean(), kind], "cov_pris_param"),
            (vec![("mu_pris_param.npy", b"\x93NUMPY".to_vec())], "mu_pris_param"),
        ] {
            let error = opened(&entries).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("expected BasicSR's"), "{error}");
        }
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("none.npz");
        assert!(Pristine::open(&path).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&path, b"PK\x03\x04 and no more").unwrap();
        assert!(Pristine::open(&path).unwrap_err().to_string().contains("expected BasicSR's"));
    }
}
