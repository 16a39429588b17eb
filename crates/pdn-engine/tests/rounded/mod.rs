//! Checks for every precision: accuracy, and that pixels do not depend on tiles or threads.

use pdn_engine::{Isa, Map, Plan, Precision, RunOptions, Session, reference};
use pdn_network::zoo::{Edsr, Rrdb};
use pdn_network::{DcmOptions, Network, hashed};

pub(crate) fn networks() -> [Network; 4] {
    let edsr = Edsr { features: 32, blocks: 1, ..Edsr::baseline(2) };
    [
        edsr.clone().build().unwrap(),
        edsr.plus(DcmOptions { dim: 48, ..DcmOptions::default() }).build().unwrap(),
        // The largest kernel that is supported.
        Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }
            .plus(DcmOptions { dim: 4, kernel: 15, ..DcmOptions::default() })
            .build()
            .unwrap(),
        Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 1) }.build().unwrap(),
    ]
}

fn session(network: &Network, precision: Precision) -> Session {
    let plan = Plan::with_precision(network, &hashed::weights(network), Isa::Avx512, precision).unwrap();
    let mut session = Session::new(plan);
    if let Some(dim) = network.prompt_dim() {
        session.set_prompt(&hashed::prompt("prompt", dim)).unwrap();
    }
    session
}

fn picture(height: usize, width: usize) -> Map<f32> {
    Map::new(3, height, width, hashed::numbers("picture", 3 * height * width, 1.0))
}

/// Checks the largest difference from the reference, relative to its largest value, against a bound.
pub(crate) fn is_near((precision, bound): (Precision, f64)) {
    for network in networks() {
        let picture = picture(8, 12);
        let wide = Map::new(3, 8, 12, picture.data.iter().map(|v| f64::from(*v)).collect());
        let prompt = network.prompt_dim().map(|dim| hashed::prompt("prompt", dim));
        let prompt: Option<Vec<f64>> = prompt.map(|p| p.iter().map(|v| f64::from(*v)).collect());
        let expected = reference::run(&network, &hashed::weights(&network), &wide, prompt.as_deref()).unwrap().picture;
        let largest = expected.data.iter().fold(0.0, |m: f64, v| v.abs().max(m));
        let found = session(&network, precision).run(&picture, &RunOptions::default(), &mut |_| true).unwrap();
        let differences = found.data.iter().zip(&expected.data).map(|(a, b)| (f64::from(*a) - b).abs());
        let error = differences.fold(0.0, f64::max) / largest;
        println!("{} {precision}: {error:.1e}", network.architecture);
        assert!(error < bound, "{} {precision}: {error:.1e}", network.architecture);
    }
}

/// Checks that runs in columns and with other numbers of threads give identical results.
pub(crate) fn stands_anywhere(precision: Precision) {
    for network in networks() {
        let (mut session, picture) = (session(&network, precision), picture(12, 60));
        let mut run = |options: &RunOptions| session.run(&picture, options, &mut |_| true).unwrap();
        let whole = run(&RunOptions::default());
        for (threads, tile) in [(1, None), (3, Some(8))] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| run(&RunOptions { tile, ..RunOptions::default() }));
            assert!(again == whole, "{} with {threads} threads in columns of {tile:?}", network.architecture);
        }
    }
}
