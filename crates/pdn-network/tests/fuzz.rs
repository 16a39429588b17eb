//! Reads ten thousand files that are almost checkpoints: reading neither panics nor hangs, nor takes more memory than
//! the file's size justifies.
//!
//! They are the committed checkpoints, changed in up to eight places. The pickle of an archive, which a checksum would
//! guard, is changed and archived again; the header of a safetensors file, which a length would guard, gets the right
//! length.

use pdn_network::{Model, ModelError};
use peak_alloc::PeakAlloc;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const FILES: usize = 10_000;

type Change = fn(&[u8], &mut Random) -> Vec<u8>;

/// Returns the files, each with the ways to change it.
fn seeds() -> Vec<(Vec<u8>, Change)> {
    let mut seeds: Vec<(Vec<u8>, Change)> = Vec::new();
    for folder in ["pickles", "layouts", "golden"] {
        let folder = pdn_testing::root().join("tests/reference").join(folder);
        let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        // The golden files are of one kind, so a few are enough.
        paths.truncate(if folder.ends_with("golden") { 6 } else { usize::MAX });
        for path in paths {
            let bytes = std::fs::read(path).unwrap();
            let guarded: Change = match bytes[..2] {
                [b'P', b'K'] => change_pickle,
                [0x80, _] => change_anything,
                _ => change_header,
            };
            seeds.push((bytes.clone(), change_anything));
            seeds.push((bytes, guarded));
        }
    }
    seeds
}

#[test]
fn ten_thousand_changed_files_are_read_or_refused() {
    let (seeds, mut random) = (seeds(), Random(7));
    let (mut networks, mut others, mut most) = (0, 0, 0);
    for file in 0..FILES {
        let (seed, change) = &seeds[file % seeds.len()];
        let bytes = change(seed, &mut random);
        let (before, start) = (MEMORY.current_usage(), Instant::now());
        MEMORY.reset_peak_usage();
        match Model::from_bytes(Path::new("changed"), &bytes) {
            Ok(_) => networks += 1,
            Err(ModelError::Checkpoint(_)) => {}
            Err(_) => others += 1,
        }
        let (taken, time) = (MEMORY.peak_usage().saturating_sub(before), start.elapsed());
        // A one-byte opcode creates an object of some tens of bytes.
        assert!(taken <= 200 * bytes.len() + (16 << 20), "file {file}: {taken} bytes for {} of file", bytes.len());
        assert!(time < Duration::from_secs(10), "file {file}: {time:?}");
        most = most.max(taken);
    }
    println!("{FILES} files: {networks} networks, {others} other checkpoints, at most {most} bytes of memory");
    let tried = networks > FILES / 100 && others > FILES / 100;
    assert!(tried, "hardly any file was read ({networks}, {others}), so hardly anything was tried");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn change_anything(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(8) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(8) {
            0 if random.below(8) == 0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let (piece, to) = (bytes[at..end].to_vec(), random.below(bytes.len()));
                drop(bytes.splice(to..to, piece));
            }
            3 => {
                let large = random.of(&[u64::MAX, 1 << 62, 1 << 31, u64::from(u32::MAX)]).to_le_bytes();
                let length = random.of(&[1, 2, 4, 8]).min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&large[..length]);
            }
            4 => bytes[at] ^= 1 << random.below(8),
            // Opcodes of a pickle, and characters of JSON.
            5 => bytes[at] = random.of(b"(.0)]}2KMJXRQbstuaeq\x81\x85\x86\x87\x8a\x93hr{[\":,-9"),
            _ => bytes[at] = random.below(256) as u8,
        }
    }
    bytes
}

fn change_pickle(archive: &[u8], random: &mut Random) -> Vec<u8> {
    let mut source = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut changed = ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..source.len() {
        let name = source.name_for_index(i).unwrap().unwrap().into_owned();
        // Code is compressed, and nothing reads it.
        if name.contains("/code/") {
            continue;
        }
        let mut bytes = Vec::new();
        source.by_index(i).unwrap().read_to_end(&mut bytes).unwrap();
        if name.ends_with("data.pkl") {
            bytes = change_anything(&bytes, random);
        }
        changed.start_file(name, SimpleFileOptions::default()).unwrap();
        changed.write_all(&bytes).unwrap();
    }
    changed.finish().unwrap().into_inner()
}

fn change_header(file: &[u8], random: &mut Random) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let (header, rest) = file[8..].split_at(length);
    let header = change_anything(header, random);
    [&(header.len() as u64).to_le_bytes()[..], &header, rest].concat()
}
