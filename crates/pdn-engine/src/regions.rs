//! Several prompts in one picture: every DCM gives `Σ_r α_r DCM(x; p_r)`, α being each prompt's share of a pixel, 0 to 1, all
//! together 1.
//!
//! A prompt is computed only where its share is not 0, so regions cost what they cover, and what lies wholly in one region is to the
//! last bit what its prompt alone would give.

use crate::RunError;
use crate::compile::compile;
use crate::dcm::PromptedDcm;
use crate::error::check_prompt;
use crate::plan::Plan;
use crate::reference::Map;
use crate::rows::Rows;
use crate::run::Run;
use crate::schedule::TILE;
use crate::step::Source;
use pdn_kernels::{Conv, Input, LANES, RowShape, Store, add_scaled};
use pdn_network::Extent;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Mutex;

/// How far the shares of a pixel may be from 1 together.
const SLACK: f32 = 1e-4;

/// A prompt and where it holds.
#[derive(Clone, Debug)]
pub struct Region {
    /// A unit vector of the network's prompt length.
    pub prompt: Vec<f32>,
    /// Its share of each pixel of the picture to enlarge: one channel, 0 to 1.
    pub share: Map<f32>,
}

/// A region ready to run.
#[derive(Debug)]
pub(crate) struct PromptedRegion {
    pub(crate) share: Map<f32>,
    dcms: Vec<PromptedDcm>,
}

impl Plan {
    /// Sets a prompt for each region of a picture, in the place of one for all. Only pictures of the shares' size can be run
    /// then.
    ///
    /// # Errors
    /// [`RunError::Prompt`] when the network takes no prompt or one of another length, [`RunError::Regions`] when there are
    /// no regions, or the shares are of different sizes, outside 0 to 1, or not 1 together at some pixel.
    pub fn set_regions(&mut self, regions: Vec<Region>) -> Result<(), RunError> {
        for region in &regions {
            check_prompt(self.network.prompt_dim(), Some(region.prompt.len()))?;
        }
        check_shares(&regions)?;
        let mut present: Vec<Region> =
            regions.into_iter().filter(|region| region.share.data.iter().any(|share| *share != 0.0)).collect();
        if let [one] = &mut present[..] {
            return self.set_prompt(&std::mem::take(&mut one.prompt));
        }
        let prompted = |region: Region| PromptedRegion {
            share: region.share,
            dcms: self
                .network
                .dcms()
                .map(|dcm| PromptedDcm::new(dcm, &self.weights, &region.prompt, self.program.precision))
                .collect(),
        };
        self.regions = present.into_iter().map(prompted).collect();
        (self.prompt, self.dcms, self.spare) = (None, Vec::new(), Mutex::default());
        self.program = compile(&self.network, &self.weights, self.program.precision, true);
        Ok(())
    }
}

fn check_shares(regions: &[Region]) -> Result<(), RunError> {
    let wrong = |why: String| Err(RunError::Regions(why));
    let Some(first) = regions.first() else { return wrong("there are none".into()) };
    let size = |map: &Map<f32>| (map.channels, map.height, map.width);
    if let Some(other) = regions.iter().find(|region| size(&region.share) != (1, first.share.height, first.share.width))
    {
        let [(_, h, w), (c, h2, w2)] = [size(&first.share), size(&other.share)];
        return wrong(format!("expected shares of 1x{h}x{w} for each, found {c}x{h2}x{w2}"));
    }
    for pixel in 0..first.share.data.len() {
        let shares = || regions.iter().map(|region| region.share.data[pixel]);
        let sum: f32 = shares().sum();
        if shares().any(|share| !(0.0..=1.0).contains(&share)) || (sum - 1.0).abs() > SLACK {
            let (y, x) = (pixel / first.share.width, pixel % first.share.width);
            return wrong(format!(
                "at row {y}, column {x} the shares are {sum} together: expected 0 to 1 each, 1 together"
            ));
        }
    }
    Ok(())
}

impl PromptedRegion {
    /// Its share of a pixel of a map of some extent, at `(y, x)` of the whole map.
    fn share(&self, extent: Extent, y: usize, x: usize) -> f32 {
        let Map { height, width, .. } = self.share;
        // A picture that does not end with a whole block is continued.
        let at = |y: usize, x: usize| self.share.data[y.min(height - 1) * width + x.min(width - 1)];
        match extent {
            Extent::Picture(scale) => at(y / scale, x / scale),
            Extent::Reduced(by) => {
                let block = (0..by).flat_map(|dy| (0..by).map(move |dx| (dy, dx)));
                block.map(|(dy, dx)| at(y * by + dy, x * by + dx)).sum::<f32>() / (by * by) as f32
            }
            Extent::One | Extent::Sequence => unreachable!("modules work on maps of the picture's extent"),
        }
    }
}

/// What of a map a group of rows needs for one region.
struct Window {
    /// Columns that are read: whole tiles and what their kernels reach.
    seen: Range<usize>,
    /// The region's share of each pixel that is given, row by row, over the whole width.
    shares: Vec<f32>,
}

/// A group of rows, of which the first given is `first` and `skip` come before.
#[derive(Clone, Copy)]
struct Group {
    first: usize,
    skip: usize,
    given: usize,
}

impl Run<'_> {
    /// A DCM under all regions' prompts.
    pub(crate) fn regional(&self, dcm: usize, input: Source, out: &mut Rows) {
        let extent = self.plan.program.values[input.value].extent;
        let shape = out.shape;
        let module = self.plan.network.dcms().nth(dcm).expect("steps are of the network's modules");
        out.par_groups(Conv::most_rows(self.plan.program.precision)).for_each(|(first, skip, rows)| {
            rows.fill(0.0);
            let given = rows.len() / shape.len();
            for region in &self.plan.regions {
                let prompted = &region.dcms[dcm];
                if let Some(window) = self.window(region, extent, first..first + given, prompted.kernel.side() / 2) {
                    // A kernel that computes rows one by one takes the group so.
                    let step = prompted.kernel.group();
                    let mut at = 0;
                    while at < given {
                        let skip = if at == 0 { skip % step } else { 0 };
                        let count = (step - skip).min(given - at);
                        let group = Group { first: first + at, skip, given: count };
                        let rows = &mut rows[at * shape.len()..][..count * shape.len()];
                        let shares = &window.shares[at * shape.width..][..count * shape.width];
                        self.add_region(prompted, input, group, (&window.seen, shares), (rows, shape));
                        at += count;
                    }
                }
            }
            if module.options.residual {
                for (y, row) in (first..).zip(rows.chunks_exact_mut(shape.len())) {
                    add_scaled(self.blocks(input, y), 1.0, row);
                }
            }
        });
    }

    /// What a region needs of some rows, or `None` where it has no share in them.
    fn window(&self, region: &PromptedRegion, extent: Extent, rows: Range<usize>, radius: usize) -> Option<Window> {
        let (left, width) = (extent.side(self.columns.start), extent.side(self.columns.len()));
        let pixels = rows.flat_map(|y| (0..width).map(move |x| (y, x)));
        let shares: Vec<f32> = pixels.map(|(y, x)| region.share(extent, y, left + x)).collect();
        let columns = || (0..width).filter(|x| shares.iter().skip(*x).step_by(width).any(|share| *share != 0.0));
        let (first, last) = (columns().min()?, columns().max()?);
        let start = (first / TILE * TILE).saturating_sub(radius.next_multiple_of(TILE));
        let end = ((last / TILE + 1) * TILE + radius).min(width);
        Some(Window { seen: start..end, shares })
    }

    /// Adds a module's result under one prompt, times the prompt's share, to some rows of a map.
    fn add_region(
        &self,
        prompted: &PromptedDcm,
        input: Source,
        group: Group,
        (seen, shares): (&Range<usize>, &[f32]),
        (out, shape): (&mut [f32], RowShape),
    ) {
        let (isa, pad, width, conv) = (self.plan.isa, self.plan.program.pad, seen.len(), &prompted.kernel);
        let narrow = RowShape::new(input.channels, width, pad);
        let enhanced = RowShape::new(prompted.enhanced(), width, pad);
        let read = RowShape::new(conv.inputs(), width, pad);
        let result = RowShape::new(conv.outputs(), width, pad);
        let height = self.rows(input).height;
        let (mut x, mut scratch) = (vec![0.0; narrow.len()], Vec::new());
        // Rows outside the picture stay zero.
        let mut masked = vec![0.0; enhanced.len() * (conv.group() + conv.side() - 1)];
        for (i, row) in masked.chunks_exact_mut(enhanced.len()).enumerate() {
            match (group.first + i).checked_sub(group.skip + conv.side() / 2) {
                Some(y) if y < height => {
                    cut(self.blocks(input, y), self.shape(input), seen.start, &mut x, narrow);
                    prompted.enhance.row(isa, (&x, narrow), &mut scratch, (row, enhanced, prompted.enhanced()));
                }
                _ => {}
            }
        }
        let around: Vec<&[f32]> = masked.chunks_exact(enhanced.len()).map(|row| &row[..read.len()]).collect();
        let mut results = vec![0.0; result.len() * group.given];
        let store = Store { skip: group.skip, ..Store::default() };
        conv.rows(isa, Input { maps: &[&around], formats: &[], shape: read }, &store, (&mut results, result));
        let rows = results.chunks_exact(result.len()).zip(out.chunks_exact_mut(shape.len()));
        for ((from, row), shares) in rows.zip(shares.chunks_exact(shape.width)) {
            for (column, share) in shares.iter().enumerate().filter(|(_, share)| **share != 0.0) {
                for block in 0..shape.blocks {
                    let from = &from[result.at(block, column - seen.start)..][..LANES];
                    add_scaled(from, *share, &mut row[shape.at(block, column)..][..LANES]);
                }
            }
        }
    }
}

/// Copies the columns from `start` of a row into a narrower one.
fn cut(row: &[f32], shape: RowShape, start: usize, out: &mut [f32], narrow: RowShape) {
    for block in 0..narrow.blocks {
        let len = narrow.width * LANES;
        out[narrow.at(block, 0)..][..len].copy_from_slice(&row[shape.at(block, start)..][..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::operate;
    use crate::{Isa, RunOptions};
    use pdn_network::zoo::{Edsr, Pdn, Rrdb};
    use pdn_network::{DcmOptions, Network, Op, Weights, hashed};

    fn networks() -> Vec<Network> {
        let dcm = DcmOptions { dim: 64, ..DcmOptions::default() };
        // Too few numbers in a prompt for folding to pay.
        let unfolded = DcmOptions { dim: 16, residual: true, ..DcmOptions::default() };
        let plain = DcmOptions { attention: false, kernel: 1, ..dcm };
        let pdn = Pdn { features: 16, groups: 2, blocks: 1, modules: 1, dcm: unfolded, ..Pdn::medium(2) };
        let edsr = |dcm| Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
        let rrdb =
            Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 2) }.plus(DcmOptions { residual: true, ..dcm });
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

    fn run(plan: &Plan, picture: &Map<f32>, tile: Option<usize>) -> Map<f32> {
        plan.run(picture, &RunOptions { tile, ..RunOptions::default() }, &mut |_| true).unwrap()
    }

    /// All prompts' networks in step, their modules' results blended, in float64.
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
                let mut plan = Plan::new(&network, &weights, isa).unwrap();
                plan.set_regions(regions.clone()).unwrap();
                let found = run(&plan, &picture, None);
                let differences = found.data.iter().zip(&expected.data).map(|(a, b)| (f64::from(*a) - b).abs());
                let largest = expected.data.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
                let error = differences.fold(0.0, f64::max) / largest;
                assert!(error < 5e-6, "{} {isa}: {error:.1e}", network.architecture);
                for tile in [4, 10] {
                    assert_eq!(run(&plan, &picture, Some(tile)), found, "{} {isa} {tile}", network.architecture);
                }
            }
        }
    }

    #[test]
    fn one_region_over_all_is_its_prompt_alone_and_a_prompt_takes_the_place_of_regions() {
        for network in networks() {
            let (weights, picture) = (hashed::weights(&network), picture(20, 18));
            let mut plan = Plan::new(&network, &weights, Isa::best()).unwrap();
            let regions = regions(&network, 20, 18);
            plan.set_prompt(&regions[1].prompt).unwrap();
            let alone = run(&plan, &picture, None);
            plan.set_regions(regions.clone()).unwrap();
            assert_ne!(run(&plan, &picture, None), alone);
            let filled = |v: f32| Map::new(1, 20, 18, vec![v; 360]);
            let mut whole = regions.clone();
            whole.iter_mut().zip([0.0, 1.0, 0.0]).for_each(|(region, v)| region.share = filled(v));
            plan.set_regions(whole.clone()).unwrap();
            assert_eq!(run(&plan, &picture, None), alone);
            // The same through the regions' own steps.
            whole.iter_mut().zip([0.25, 0.5, 0.25]).for_each(|(region, v)| region.share = filled(v));
            whole.iter_mut().for_each(|region| region.prompt.clone_from(&regions[1].prompt));
            plan.set_regions(whole).unwrap();
            assert!(plan.prompt.is_none() && plan.regions.len() == 3);
            let found = run(&plan, &picture, None);
            let near =
                |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * alone.data.iter().fold(1.0, |top, v| v.abs().max(top));
            assert!(found.data.iter().zip(&alone.data).all(near));
            plan.set_prompt(&regions[1].prompt).unwrap();
            assert_eq!(run(&plan, &picture, None), alone);
        }
    }

    #[test]
    fn what_is_far_from_other_regions_is_to_the_last_bit_its_own() {
        let network = networks().swap_remove(0);
        let (weights, picture) = (hashed::weights(&network), picture(8, 64));
        let mut plan = Plan::new(&network, &weights, Isa::best()).unwrap();
        let mut halves = regions(&network, 8, 64);
        halves.truncate(2);
        for (r, region) in halves.iter_mut().enumerate() {
            region.share.data.iter_mut().enumerate().for_each(|(i, v)| *v = f32::from((i % 64 < 32) == (r == 0)));
        }
        plan.set_prompt(&halves[0].prompt).unwrap();
        let alone = run(&plan, &picture, None);
        plan.set_regions(halves).unwrap();
        let both = run(&plan, &picture, None);
        let radius = plan.summary().receptive_radius;
        for line in 0..both.data.len() / 128 {
            let left = |map: &Map<f32>| map.data[line * 128..][..2 * (32 - radius)].to_vec();
            assert_eq!(left(&both), left(&alone));
        }
        assert_ne!(both, alone);
    }

    #[test]
    fn regions_that_are_none_are_refused() {
        let network = networks().swap_remove(0);
        let mut plan = Plan::new(&network, &hashed::weights(&network), Isa::best()).unwrap();
        let good = regions(&network, 20, 18);
        let refuse = |plan: &mut Plan, regions: Vec<Region>, words: &str| {
            let said = plan.set_regions(regions).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        };
        refuse(&mut plan, Vec::new(), "none");
        refuse(&mut plan, good[..1].to_vec(), "row 0, column 0");
        let with = |change: &dyn Fn(&mut Vec<Region>)| {
            let mut regions = good.clone();
            change(&mut regions);
            regions
        };
        refuse(&mut plan, with(&|r| r[0].share.data[5] = f32::NAN), "column 5");
        refuse(&mut plan, with(&|r| r[1].share = Map::new(1, 2, 2, vec![0.0; 4])), "1x2x2");
        refuse(&mut plan, with(&|r| r[1].prompt.push(0.0)), "65 numbers");
        plan.set_regions(good).unwrap();
        let run = plan.run(&picture(20, 19), &RunOptions::default(), &mut |_| true);
        assert!(matches!(run, Err(RunError::Regions(why)) if why.contains("18x20") && why.contains("19x20")));
    }
}
