//! Tests the deadline for reading.

use pdn_image::{Fault, Format, Limits, Picture, WriteOptions, encode, read_any, read_bytes};
use std::time::{Duration, Instant};

fn within(time: Duration) -> Limits {
    Limits { deadline: Some(Instant::now() + time), ..Limits::default() }
}

#[test]
fn a_file_is_read_in_time_or_not_at_all() {
    let folder = pdn_testing::root().join("tests/reference/formats");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().unwrap();
        let without = |name: &str, built: bool| ending == name && !built;
        let left_out = without("avif", cfg!(feature = "avif")) || without("jxl", cfg!(feature = "jxl-read"));
        let is_read = ending != "json" && !left_out;
        if is_read {
            read_any(&path, &within(Duration::from_secs(600))).unwrap();
            let fault = read_any(&path, &within(Duration::ZERO)).unwrap_err();
            assert!(matches!(fault.why, Fault::TooSlow), "{fault}");
            assert!(fault.to_string().contains("within the time limit"), "{fault}");
        }
    }
}

#[test]
fn a_picture_that_takes_long_is_given_up_on_the_way() {
    let level = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as u8;
    let picture = Picture::from_rgb(2500, 2500, (0..2500 * 2500 * 3).map(level).collect());
    for format in [Format::Png, Format::Tiff, Format::WebP] {
        let file = encode(&picture, format, &WriteOptions::default()).unwrap();
        let begin = Instant::now();
        read_bytes(&file, &Limits::default()).unwrap();
        let whole = begin.elapsed();
        let begin = Instant::now();
        let found = read_bytes(&file, &within(whole / 10));
        let given_up = begin.elapsed();
        assert!(matches!(found, Err(Fault::TooSlow)), "{format:?}");
        assert!(given_up < whole, "{format:?}: {given_up:?} of {whole:?}");
    }
}
