#![no_main]

// Its decoder's count of memory is not strict, as `pdn_image::Limits` says.
pdn_fuzz_targets::target!(pdn_fuzz::pictures);
