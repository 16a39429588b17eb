#![no_main]

pdn_fuzz_targets::target!(pdn_fuzz::checkpoints);
