//! The engine with bf16 operands, on AMX or its emulation: its accuracy, and that pixels do not depend on how they are run.

use pdn_engine::{Isa, Map, Plan, Precision, RunError, RunOptions, reference};
use pdn_network::zoo::{Edsr, Rrdb};
use pdn_network::{DcmOptions, Network, hashed};

/// Whether there is AMX, or what its emulation needs.
fn available() -> bool {
    let available = pdn_kernels::emulate_amx();
    if !available {
        pdn_testing::skip("avx512", "no AVX-512 with bf16, which the emulation of AMX needs");
    }
    available
}

fn networks() -> [Network; 4] {
    let edsr = Edsr { features: 32, blocks: 1, ..Edsr::baseline(2) };
    [
        edsr.clone().build().unwrap(),
        edsr.plus(DcmOptions { dim: 48, ..DcmOptions::default() }).build().unwrap(),
        // The largest kernel there is.
        Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }
            .plus(DcmOptions { dim: 4, kernel: 15, ..DcmOptions::default() })
            .build()
            .unwrap(),
        Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 1) }.build().unwrap(),
    ]
}

fn plan(network: &Network, precision: Precision) -> Plan {
    let mut plan = Plan::with_precision(network, &hashed::weights(network), Isa::Avx512, precision).unwrap();
    if let Some(dim) = network.prompt_dim() {
        plan.set_prompt(&hashed::prompt("prompt", dim)).unwrap();
    }
    plan
}

fn picture(height: usize, width: usize) -> Map<f32> {
    Map::new(3, height, width, hashed::numbers("picture", 3 * height * width, 1.0))
}

#[test]
fn each_precision_is_as_near_to_the_reference_as_its_bits() {
    if !available() {
        return;
    }
    for network in networks() {
        let picture = picture(8, 12);
        let wide = Map::new(3, 8, 12, picture.data.iter().map(|v| f64::from(*v)).collect());
        let prompt = network.prompt_dim().map(|dim| hashed::prompt("prompt", dim));
        let prompt: Option<Vec<f64>> = prompt.map(|p| p.iter().map(|v| f64::from(*v)).collect());
        let expected = reference::run(&network, &hashed::weights(&network), &wide, prompt.as_deref()).unwrap().picture;
        let largest = expected.data.iter().fold(0.0, |m: f64, v| v.abs().max(m));
        for (precision, bound) in [(Precision::F32, 5e-6), (Precision::Bf16x2, 2e-5), (Precision::Bf16, 2e-2)] {
            let found = plan(&network, precision).run(&picture, &RunOptions::default(), &mut |_| true).unwrap();
            let differences = found.data.iter().zip(&expected.data).map(|(a, b)| (f64::from(*a) - b).abs());
            let error = differences.fold(0.0, f64::max) / largest;
            println!("{} {precision}: {error:.1e}", network.architecture);
            assert!(error < bound, "{} {precision}: {error:.1e}", network.architecture);
        }
    }
}

#[test]
fn pixels_do_not_depend_on_columns_or_threads() {
    if !available() {
        return;
    }
    for network in networks() {
        let (plan, picture) = (plan(&network, Precision::Bf16x2), picture(12, 60));
        let run = |options: &RunOptions| plan.run(&picture, options, &mut |_| true).unwrap();
        let whole = run(&RunOptions::default());
        for (threads, tile) in [(1, None), (3, Some(8))] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| run(&RunOptions { tile, ..RunOptions::default() }));
            assert!(again == whole, "{} with {threads} threads in columns of {tile:?}", network.architecture);
        }
    }
}

#[test]
fn a_precision_needs_its_instruction_set() {
    let network = &networks()[0];
    let error = Plan::with_precision(network, &hashed::weights(network), Isa::Portable, Precision::Bf16).unwrap_err();
    assert_eq!(error, RunError::Precision(Precision::Bf16));
}
