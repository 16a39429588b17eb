//! Reads every super-resolution recipe in `recipes/`, and checks that its network can memorise one batch.

use burn::tensor::Device;
use pdn_image::{Degradation, Picture};
use pdn_network::{Card, hashed};
use pdn_train::data::patch_cache::{Cut, PatchCache};
use pdn_train::data::training_images::TrainingImage;
use pdn_train::executor::weights::{Adam, gradients, tensors};
use pdn_train::recipe::{Recipe, SuperResolutionRecipe};
use pdn_train::run::{Step, Task};
use pdn_train::tasks::super_resolution::{PromptMix, SuperResolution};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};

/// The side of a patch, in pixels.
const PATCH: usize = 8;
const STEPS: usize = 8;

fn recipes() -> Vec<(PathBuf, SuperResolutionRecipe)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let files = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    let toml = files.filter(|file| file.extension().is_some_and(|ending| ending == "toml"));
    // Skip the shared settings, which are not whole recipes.
    let whole = toml.filter(|file| !["coco.toml", "ffhq.toml"].iter().any(|shared| file.ends_with(shared)));
    let restore = |file: PathBuf| match Recipe::open(&file, &[]) {
        Ok(Recipe::SuperResolution(recipe)) => Some((file, recipe)),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    whole.filter_map(restore).collect()
}

#[test]
fn there_is_a_recipe_for_each_row_that_needs_no_adversary() {
    let names: Vec<String> = recipes().into_iter().map(|(_, recipe)| recipe.name).collect();
    for name in ["edsr", "rdn", "rcan", "pdn"].iter().flat_map(|n| [2, 4, 8, 16].map(|s| format!("table1-{n}-x{s}"))) {
        assert!(names.contains(&name), "{name}");
    }
    for name in ["table3-edsr+-x4", "table3-rdn+-x4", "table3-rcan+-x4"] {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
    for name in ["table4-edsr+-without-dy-x4", "table4-edsr+-without-att-x4"] {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn each_network_learns_one_batch_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    for (file, recipe) in recipes() {
        let network = recipe.network().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (scale, dim) = (network.scale, network.prompt_dim().unwrap_or(1));
        // One scale for each kind of data: at others only the last layers differ, and some networks are large.
        if ![4, 8].contains(&scale) && recipe.name.starts_with("table") {
            continue;
        }
        let side = PATCH * scale;
        let level =
            |i: usize| (127.5 + 90.0 * ((i / 3 % side) as f64 / 5.0).sin() * ((i / 3 / side) as f64 / 7.0).cos()) as u8;
        let picture = folder.path().join(format!("{scale}.png"));
        let whole = Picture::from_rgb(side, side, (0..side * side * 3).map(level).collect());
        pdn_image::write(&picture, &whole, &Default::default()).unwrap();
        let prompt = hashed::prompt("one", dim);
        let scene =
            TrainingImage { place: (picture, Cut::WHOLE), captions: vec![], view: prompt.clone(), mirrored: prompt };
        let degradation: Degradation = recipe.degradation.first();
        let task = SuperResolution {
            network,
            patches: PatchCache::new(degradation, scale, 1 << 24),
            sources: vec![(1.0, vec![scene.clone()])],
            held_back: vec![scene],
            prompts: PromptMix { caption: 0.0, view: 1.0, mirrored: 0.0, faults: None },
            patch: PATCH,
            batch: 1,
            card: Card::default(),
            loss: recipe.loss,
            precision: recipe.precision,
            start: None,
            eyes: None,
        };
        let (device, random) = (Device::flex().autodiff(), &mut StdRng::seed_from_u64(1));
        let batch = task.draw(random).unwrap();
        let mut numbers = task.initial(1);
        let mut adam = Adam::new(&numbers, 0.0);
        let mut step = || -> f32 {
            let parameters = tensors(&numbers, &device);
            let loss = task.loss(&parameters, &Step { done: 0, of: 1 }, &batch).remove(0).1;
            adam.step(5e-4, &mut numbers, &gradients(&loss, &parameters));
            loss.into_scalar()
        };
        let losses: Vec<f32> = (0..STEPS).map(|_| step()).collect();
        assert!(losses[STEPS - 1] < 0.9 * losses[0], "{}: {losses:?}", recipe.name);
    }
}
