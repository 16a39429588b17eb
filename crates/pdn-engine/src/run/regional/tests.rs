//! Tests of regions against the reference executor, and against a single prompt.

use crate::ops::operate;
use crate::{Isa, Map, Plan, Region, RunError, RunOptions, Session};
use pdn_network::zoo::{Edsr, Pdn, Rrdb};
use pdn_network::{DcmOptions, Network, Op, Weights, hashed};

fn networks() -> Vec<Network> {
    let dcm = DcmOptions { dim: 64, ..DcmOptions::default() };
    // Too few numbers in a prompt for folding to pay.
    let unfolded = DcmOptions { dim: 16, residual: true, ..DcmOptions::default() };
    let plain = DcmOptions { attention: false, kernel: 1, ..dcm };
    let pdn = Pdn { features: 16, groups: 2, blocks: 1, modules: 1, dcm: unfolded, ..Pdn::medium(2) };
    let edsr = |dcm| Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
    let rrdb = Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 2) }.plus(DcmOptions { residual: true, ..dcm });
    vec![edsr(dcm), edsr(plain), pdn.build().unwrap(), rrdb.build().unwrap()]
}

fn picture(height: usize, width: usize) -> Map<f32> {
    Map::new(3, height, width, hashed::numbers("picture", 3 * height * width, 0.5))
}

/// Three regions: two that meet in a soft slope, and one in a corner.
fn regions(network: &Network, height: usize, width: usize) -> Vec<Region> {
    let share = |r: usize, y: usize, x: usize| {
        let slope = ((x as f32 - 6.0) / 5.0).clamp(0.0, 1.0);
        match (y >= 12 && x < 4, r) {
            (true, 2) | (false, 0) if y >= 12 && x < 4 => 1.0,
            (false, 0) => slope,
            (false, 1) => 1.0 - slope,
            _ => 0.0,
        }
    };
    let region = |r: usize| Region {
        prompt: hashed::prompt(&format!("prompt {r}"), network.prompt_dim().unwrap()),
        share: Map::new(1, height, width, (0..height * width).map(|i| share(r, i / width, i % width)).collect()),
    };
    (0..3).map(region).collect()
}

fn run(session: &mut Session, picture: &Map<f32>, tile: Option<usize>) -> Map<f32> {
    session.run(picture, &RunOptions { tile, ..RunOptions::default() }, &mut |_| true).unwrap()
}

/// Runs all prompts' networks in step, blending the results of their modules, in float64.
fn expected(network: &Network, weights: &Weights, picture: &Map<f32>, regions: &[Region]) -> Map<f64> {
    let wide = |map: &Map<f32>| {
        Map::new(map.channels, map.height, map.width, map.data.iter().map(|v| f64::from(*v)).collect())
    };
    let network = network.lower();
    let mut maps: Vec<Vec<Map<f64>>> = vec![Vec::new(); regions.len()];
    for node in &network.nodes {
        let made = |(region, maps): (&Region, &Vec<Map<f64>>)| match node.op {
            Op::Picture { .. } => wide(picture),
            Op::Prompt { .. } => {
                Map::new(region.prompt.len(), 1, 1, region.prompt.iter().map(|v| f64::from(*v)).collect())
            }
            _ => operate(node, &node.inputs.iter().map(|i| &maps[i.index()]).collect::<Vec<_>>(), weights),
        };
        let mut results: Vec<Map<f64>> = regions.iter().zip(&maps).map(made).collect();
        if matches!(node.op, Op::MixedConv { .. }) {
            let Map { height, width, .. } = results[0];
            let share = |region: &Region, pixel: usize| {
                let (by, row) = (region.share.height / height, region.share.width);
                let at = |dy, dx| region.share.data[(pixel / width * by + dy) * row + pixel % width * by + dx];
                let block = (0..by).flat_map(|dy| (0..by).map(move |dx| (dy, dx)));
                block.map(|(dy, dx)| f64::from(at(dy, dx))).sum::<f64>() / (by * by) as f64
            };
            let blended = (0..results[0].data.len()).map(|i| {
                let parts = regions.iter().zip(&results);
                parts.map(|(region, map)| share(region, i % (height * width)) * map.data[i]).sum()
            });
            let data: Vec<f64> = blended.collect();
            results.iter_mut().for_each(|map| map.data.clone_from(&data));
        }
        maps.iter_mut().zip(results).for_each(|(maps, result)| maps.push(result));
    }
    maps[0].swap_remove(network.output.index())
}

#[test]
fn every_module_blends_what_its_prompts_give() {
    for network in networks() {
        let (weights, picture) = (hashed::weights(&network), picture(20, 18));
        let regions = regions(&network, 20, 18);
        let expected = expected(&network, &weights, &picture, &regions);
        for isa in Isa::available() {
            let mut session = Session::new(Plan::new(&network, &weights, isa).unwrap());
            session.set_regions(regions.clone()).unwrap();
            let found = run(&mut session, &picture, None);
            let differences = found.data.iter().zip(&expected.data).map(|(a, b)| (f64::from(*a) - b).abs());
            let largest = expected.data.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
            let error = differences.fold(0.0, f64::max) / largest;
            assert!(error < 5e-6, "{} {isa}: {error:.1e}", network.architecture);
            for tile in [4, 10] {
                assert_eq!(run(&mut session, &picture, Some(tile)), found, "{} {isa} {tile}", network.architecture);
            }
        }
    }
}

#[test]
fn one_region_over_all_is_its_prompt_alone_and_a_prompt_takes_the_place_of_regions() {
    for network in networks() {
        let (weights, picture) = (hashed::weights(&network), picture(20, 18));
        let mut session = Session::new(Plan::new(&network, &weights, Isa::best()).unwrap());
        let regions = regions(&network, 20, 18);
        session.set_prompt(&regions[1].prompt).unwrap();
        let alone = run(&mut session, &picture, None);
        session.set_regions(regions.clone()).unwrap();
        assert_ne!(run(&mut session, &picture, None), alone);
        let filled = |v: f32| Map::new(1, 20, 18, vec![v; 360]);
        let mut whole = regions.clone();
        whole.iter_mut().zip([0.0, 1.0, 0.0]).for_each(|(region, v)| region.share = filled(v));
        session.set_regions(whole.clone()).unwrap();
        assert_eq!(run(&mut session, &picture, None), alone);
        // The same through the steps for regions.
        whole.iter_mut().zip([0.25, 0.5, 0.25]).for_each(|(region, v)| region.share = filled(v));
        whole.iter_mut().for_each(|region| region.prompt.clone_from(&regions[1].prompt));
        session.set_regions(whole).unwrap();
        assert!(session.prompted.embedding.is_none() && session.prompted.regions.len() == 3);
        let found = run(&mut session, &picture, None);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * alone.data.iter().fold(1.0, |top, v| v.abs().max(top));
        assert!(found.data.iter().zip(&alone.data).all(near));
        session.set_prompt(&regions[1].prompt).unwrap();
        assert_eq!(run(&mut session, &picture, None), alone);
    }
}

#[test]
fn what_is_far_from_other_regions_is_to_the_last_bit_its_own() {
    let network = networks().swap_remove(0);
    let (weights, picture) = (hashed::weights(&network), picture(8, 64));
    let mut session = Session::new(Plan::new(&network, &weights, Isa::best()).unwrap());
    let mut halves = regions(&network, 8, 64);
    halves.truncate(2);
    for (r, region) in halves.iter_mut().enumerate() {
        region.share.data.iter_mut().enumerate().for_each(|(i, v)| *v = f32::from((i % 64 < 32) == (r == 0)));
    }
    session.set_prompt(&halves[0].prompt).unwrap();
    let alone = run(&mut session, &picture, None);
    session.set_regions(halves).unwrap();
    let both = run(&mut session, &picture, None);
    let radius = session.plan().summary().receptive_radius;
    for line in 0..both.data.len() / 128 {
        let left = |map: &Map<f32>| map.data[line * 128..][..2 * (32 - radius)].to_vec();
        assert_eq!(left(&both), left(&alone));
    }
    assert_ne!(both, alone);
}

#[test]
fn regions_that_are_none_are_refused() {
    let network = networks().swap_remove(0);
    let mut session = Session::new(Plan::new(&network, &hashed::weights(&network), Isa::best()).unwrap());
    let good = regions(&network, 20, 18);
    let refuse = |session: &mut Session, regions: Vec<Region>, words: &str| {
        let said = session.set_regions(regions).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    refuse(&mut session, Vec::new(), "none");
    refuse(&mut session, good[..1].to_vec(), "row 0, column 0");
    let with = |change: &dyn Fn(&mut Vec<Region>)| {
        let mut regions = good.clone();
        change(&mut regions);
        regions
    };
    refuse(&mut session, with(&|r| r[0].share.data[5] = f32::NAN), "column 5");
    refuse(&mut session, with(&|r| r[1].share = Map::new(1, 2, 2, vec![0.0; 4])), "1x2x2");
    refuse(&mut session, with(&|r| r[1].prompt.push(0.0)), "65 numbers");
    session.set_regions(good).unwrap();
    let run = session.run(&picture(20, 19), &RunOptions::default(), &mut |_| true);
    assert!(matches!(run, Err(RunError::Regions(why)) if why.contains("18x20") && why.contains("19x20")));
}
