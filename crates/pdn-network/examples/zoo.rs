//! Prints the table of networks in `docs/zoo.md`: parameters and multiply-accumulates of every published size, as trained and
//! as deployed.
//!
//!     cargo run --release -p pdn-network --example zoo

use pdn_network::{Summary, zoo};

fn main() {
    println!("| network | scale | parameters, M | MACs a pixel, M | as deployed | |\n|---|---|---|---|---|---|");
    for (name, scale) in zoo::ARCHITECTURES
        .iter()
        .flat_map(|architecture| architecture.presets)
        .flat_map(|(name, _)| [2, 3, 4, 8, 16].map(|scale| (name, scale)))
    {
        let Ok(network) = zoo::preset(name, scale) else { continue };
        let (trained, deployed) = (network.summary(), network.deployed().summary());
        let figures =
            |s: &Summary| [s.parameters, s.macs_per_pixel].map(|n| format!("{:.2}", n as f64 / 1e6)).join(" | ");
        let as_deployed = if network.dcms().count() > 0 { figures(&deployed) } else { " | ".into() };
        println!("| {name} | {scale} | {} | {as_deployed} |", figures(&trained));
    }
}
