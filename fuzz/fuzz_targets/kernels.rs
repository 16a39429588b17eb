#![no_main]

pdn_fuzz_targets::target!(|input: &[u8]| pdn_fuzz::kernels(input, pdn_fuzz_targets::Guarded::new));
