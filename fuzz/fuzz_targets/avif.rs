#![no_main]

// A million pixels at 64 bytes, and as for `pictures`.
pdn_fuzz_targets::target!(pdn_fuzz::avif, 192);
