//! `pdn train`, run end to end.
#![cfg(feature = "train")]

use assert_cmd::Command;
use std::path::Path;

/// A recipe that would train an encoder on data that is not there.
const RECIPE: &str = r#"
task = "encoder"
name = "test"
description = "A test."
license = "CC0-1.0"
flickr8k = "nowhere"
side = 16
batch = 2

[clip]
dim = 8
text = { vocabulary = 600, context = 20, blocks = { width = 8, heads = 2, layers = 1, quick_gelu = false } }
picture = { convolutions = { side = 16, stages = [[4, 1], [8, 1]] } }

[schedule]
steps = 4
rate = 1e-3
evaluate = 2
"#;

fn train(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::cargo_bin("pdn").unwrap();
    command.current_dir(folder).args(["train", "recipe.toml", "--out", "run", "--data", "data"]).args(more);
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

#[test]
fn what_is_wrong_with_a_recipe_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |recipe: &str, code: i32, words: &[&str]| {
        std::fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        let (found, said) = train(folder.path(), &[]);
        assert_eq!(found, Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "expected `{word}`: {said}");
        }
        assert!(!folder.path().join("run").exists(), "nothing is left behind");
    };
    fails(RECIPE, 1, &["captions.csv"]);
    fails(&RECIPE.replace("batch", "bacth"), 2, &["recipe.toml", "bacth"]);
    fails(&RECIPE.replace("side = 16\nbatch", "side = 8\nbatch"), 2, &["recipe.toml", "at least the tower's 16"]);
    fails(&RECIPE.replace("batch = 2", "batch = 0"), 2, &["recipe.toml", "batch 0"]);
    fails(&RECIPE.replace("encoder", "decoder"), 2, &["recipe.toml", "decoder"]);
    fails(&RECIPE.replace("rate = 1e-3", "rate = fast"), 2, &["recipe.toml"]);
}

#[test]
fn a_run_is_stopped_resumed_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data/nowhere");
    std::fs::create_dir_all(&data).unwrap();
    let mut lines = "image,split,caption\n".to_owned();
    for i in 0..8_u8 {
        let rgb = (0..20 * 20 * 3).map(|j| (j as u8).wrapping_mul(i + 1)).collect();
        let picture = pdn::Picture::from_rgb(20, 20, rgb);
        pdn::write(&data.join(format!("{i}.png")), &picture, &pdn::WriteOptions::default()).unwrap();
        lines += &format!("{i}.png,{},picture number {i}\n", if i < 6 { "train" } else { "val" });
    }
    std::fs::write(data.join("captions.csv"), lines).unwrap();
    std::fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(0) && said.contains("R@10"), "{said}");
    assert!(pdn::Encoder::open(&folder.path().join("run/result.safetensors")).unwrap().id().starts_with("test@"));
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(2) && said.contains("--resume"), "{said}");
    std::fs::write(folder.path().join("recipe.toml"), RECIPE.replace("steps = 4", "steps = 6")).unwrap();
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains("step 6 of 6") && !said.contains("step 1 of 6"), "{said}");
}
