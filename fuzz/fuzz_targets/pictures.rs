#![no_main]

// A million pixels at 32 bytes, 64 MiB of a decoder's and 16 of metadata, as `pdn_image::Limits` says.
pdn_fuzz_targets::target!(pdn_fuzz::pictures, 128);
