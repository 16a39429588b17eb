//! Runs `pdn train` end to end.
#![cfg(feature = "train")]

use assert_cmd::Command;
use std::path::Path;

/// What the recipes for sentences and for pictures share.
const BOTH: &str = r#"
batch = 2

[data]
flickr8k = "nowhere"
teacher = "TEACHER"
views = 2

[clip]
dim = 8
text = { vocabulary = 600, context = 20, blocks = { width = 8, heads = 2, layers = 1, quick_gelu = false } }
picture = { convolutions = { side = 16, stages = [[4, 1], [8, 1]] } }

[schedule]
steps = 4
rate = 1e-3
evaluate = 2
"#;

/// Returns a recipe for sentences, whose data the test provides; `None` if the teacher is missing.
fn recipe() -> Option<String> {
    let teacher = pdn_testing::data("metrics/squeezenet1.1_fp16")?.canonicalize().unwrap();
    Some(format!("task = \"sentences\"\ndropped = 0.1\n{BOTH}").replace("TEACHER", teacher.to_str().unwrap()))
}

fn train(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::cargo_bin("pdn").unwrap();
    command.current_dir(folder).args(["train", "recipe.toml", "--out", "run", "--data", "data"]).args(more);
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

/// Writes a recipe and eight captioned pictures for it.
fn desk(folder: &Path, recipe: &str) {
    let data = folder.join("data/nowhere");
    std::fs::create_dir_all(&data).unwrap();
    let mut lines = "image,split,caption\n".to_owned();
    for i in 0..8_u8 {
        let rgb = (0..20 * 20 * 3).map(|j| (j as u8).wrapping_mul(i + 1)).collect();
        let picture = pdn::Picture::from_rgb(20, 20, rgb);
        pdn::write(&data.join(format!("{i}.png")), &picture, &pdn::WriteOptions::default()).unwrap();
        lines += &format!("{i}.png,{},picture number {i}\n", if i < 6 { "train" } else { "val" });
    }
    std::fs::write(data.join("captions.csv"), lines).unwrap();
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
}

/// Checks that a recipe is refused before anything is written.
fn fails(folder: &Path, recipe: &str, code: i32, words: &[&str]) {
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
    let (found, said) = train(folder, &[]);
    assert_eq!(found, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "expected `{word}`: {said}");
    }
    assert!(!folder.join("run").exists(), "nothing is left behind");
}

#[test]
fn what_is_wrong_with_a_recipe_is_said() {
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    let fails = |recipe: &str, code: i32, words: &[&str]| fails(folder.path(), recipe, code, words);
    fails(&recipe, 1, &["captions.csv"]);
    fails(&recipe.replace("batch", "bacth"), 2, &["recipe.toml", "bacth"]);
    fails(&recipe.replace("rate = 1e-3", ""), 2, &["recipe.toml", "`rate`", "`schedule`"]);
    fails(&recipe.replace("views = 2", "views = 'two'"), 2, &["recipe.toml", "`data.views`", "two"]);
    fails(&recipe.replace("task =", "tasks ="), 2, &["recipe.toml", "task: expected"]);
    fails(&recipe.replace("batch = 2", "batch = 0"), 2, &["recipe.toml", "batch 0"]);
    fails(&recipe.replace("dropped = 0.1", "dropped = 1.0"), 2, &["recipe.toml", "dropped 1"]);
    fails(&recipe.replace("views = 2", "views = 0"), 2, &["recipe.toml", "views 0"]);
    fails(&recipe.replace("context = 20", "context = 0"), 2, &["recipe.toml", "context 0"]);
    fails(&recipe.replace("side = 16", "side = 0"), 2, &["recipe.toml", "side 0"]);
    fails(&recipe.replace("sentences", "phrases"), 2, &["recipe.toml", "phrases"]);
    fails(&recipe.replace("rate = 1e-3", "rate = fast"), 2, &["recipe.toml"]);
    fails(&recipe.replace("metrics/squeezenet1.1_fp16", "metrics"), 1, &["squeezenet1.1.xml"]);
}

#[test]
fn an_encoder_is_made_of_sentences_and_pictures() {
    let Some(sentences) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &sentences);
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(0) && said.contains("R@10"), "{said}");
    std::fs::rename(folder.path().join("run"), folder.path().join("sentences")).unwrap();
    let about = r#"name = "test"
description = "A test."
license = "CC0-1.0"
sentences = "sentences/result.safetensors""#;
    let sentences = sentences.replace("views = 2", "views = 2\ncache = \"seen.safetensors\"");
    let pictures = sentences.replace("task = \"sentences\"\ndropped = 0.1", &format!("task = \"pictures\"\n{about}"));
    std::fs::write(folder.path().join("recipe.toml"), pictures.replace("dim = 8", "dim = 4")).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(1) && said.contains("teacher.weight"), "{said}");
    for begun in ["10", "32"] {
        let pictures = pictures.replace("\n\n[data]", &format!("\nbegun = {begun}\n\n[data]"));
        std::fs::write(folder.path().join("recipe.toml"), pictures).unwrap();
        let (code, said) = train(folder.path(), &[]);
        assert!(code == Some(2) && said.contains("begun"), "{said}");
    }
    let pictures = pictures.replace("\n\n[data]", "\nbegun = 8\n\n[data]");
    std::fs::write(folder.path().join("recipe.toml"), &pictures).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(0) && said.contains("R@10"), "{said}");
    let encoder = pdn::Encoder::open(&folder.path().join("run/result.safetensors")).unwrap();
    assert!(encoder.id().starts_with("test@"));
    let card = serde_json::to_string(encoder.card()).unwrap();
    assert!(!card.contains("sentences/result") && !card.contains("seen.safetensors"), "the card must not reveal paths");
    // The text tower is unchanged, except for rounding to half precision.
    let read = |path: &str| pdn_network::checkpoint::read(&folder.path().join(path)).unwrap().tensors;
    let (before, after) = (read("sentences/result.safetensors"), read("run/result.safetensors"));
    let name = "token_embedding.weight";
    assert!(before[name].data().iter().zip(after[name].data()).all(|(a, b)| (a - b).abs() <= a.abs() / 1024.0 + 1e-6));
}

#[test]
fn a_run_is_stopped_resumed_and_used() {
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &recipe);
    assert_eq!(train(folder.path(), &[]).0, Some(0));
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(2) && said.contains("--resume"), "{said}");
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("steps = 4", "steps = 6")).unwrap();
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains("step 6 of 6") && !said.contains("step 1 of 6"), "{said}");
}

/// Returns the names of a run's files, sorted.
#[cfg(target_os = "linux")]
fn files(run: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(run).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Returns the names of a run's weight files, sorted.
fn weights(run: &Path) -> Vec<String> {
    files(run).into_iter().filter(|name| name.ends_with(".safetensors")).collect()
}

/// A process that is killed when it is dropped, even if the test fails.
#[cfg(unix)]
struct Killed(std::process::Child);

#[cfg(unix)]
impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_goes_on_from_its_checkpoint() {
    use std::time::{Duration, Instant};
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &recipe.replace("steps = 4", "steps = 100000"));
    let run = folder.path().join("run");
    let step = || {
        let text = std::fs::read(run.join("state.safetensors")).ok()?;
        let read = pdn_network::checkpoint::parse(&text).expect("a checkpoint is complete at any time");
        Some(read.metadata["step"].parse::<u64>().unwrap())
    };
    let mut before = 0;
    for pause in [0, 30, 75] {
        let child = std::process::Command::new(assert_cmd::cargo::cargo_bin("pdn"))
            .current_dir(folder.path())
            .args(["train", "recipe.toml", "--out", "run", "--data", "data", "--resume"])
            .stdout(std::process::Stdio::null())
            .spawn();
        let mut child = Killed(child.unwrap());
        let start = Instant::now();
        while step().is_none_or(|step| step <= before) {
            assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint within a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(pause));
        // SIGKILL: the process cannot clean up.
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        before = step().unwrap();
    }
    let steps = format!("steps = {}", before + 2);
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("steps = 4", &steps)).unwrap();
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains(&format!("step {} of", before + 2)), "{said}");
}

/// A limit on the file size stands in for a full disk: both make a write fail.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_a_run_and_spoils_nothing() {
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &recipe);
    let run = folder.path().join("run");
    let limited = |blocks: u32, more: &str| {
        let pdn = assert_cmd::cargo::cargo_bin("pdn");
        let command = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec '{}' train recipe.toml --out run --data data {more}",
            pdn.display()
        );
        let output = Command::new("sh").current_dir(folder.path()).args(["-c", &command]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = limited(4, "");
    assert!(code == Some(1) && said.contains("result.safetensors") && said.lines().count() == 1, "{said}");
    assert!(weights(&run).is_empty(), "{:?}", weights(&run));
    assert!(!files(&run).iter().any(|name| name.ends_with(".part")), "{:?}", files(&run));
    assert_eq!(train(folder.path(), &["--resume"]).0, Some(0));
    let (whole, state) = (weights(&run), std::fs::read(run.join("state.safetensors")).unwrap());
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("steps = 4", "steps = 8")).unwrap();
    assert_eq!(limited(4, "--resume").0, Some(1));
    assert_eq!((weights(&run), std::fs::read(run.join("state.safetensors")).unwrap()), (whole, state));
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains("step 8 of 8"), "{said}");
}

/// Writes pictures, some with captions and one broken, and returns a recipe for a small network that uses the bundled
/// encoder.
fn restore_desk(folder: &Path) -> String {
    let pictures = folder.join("data/pictures/0001");
    std::fs::create_dir_all(&pictures).unwrap();
    for i in 0..5_usize {
        let rgb = (0..60 * 48 * 3).map(|j| (127.0 + 90.0 * ((j / 3) as f64 / (i + 3) as f64).sin()) as u8).collect();
        let picture = pdn::Picture::from_rgb(60, 48, rgb);
        pdn::write(&pictures.join(format!("{i}.png")), &picture, &pdn::WriteOptions::default()).unwrap();
    }
    std::fs::write(pictures.join("broken.jpg"), "no picture").unwrap();
    let coco = r#"{"images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "7.png"}],
        "annotations": [{"image_id": 1, "caption": "a dog"}, {"image_id": 1, "caption": "a brown dog"}]}"#;
    std::fs::write(folder.join("data/captions.json"), coco).unwrap();
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pdn-weights-clip/pdn-clip.safetensors");
    format!(
        r#"task = "restore"
name = "small"
description = "A test."
license = "CC0-1.0"
encoder = "{}"
degradation = ["practical", "blur-bicubic-16"]
patch = 12
batch = 2
architecture = "pdn"
cache = "kept"
config = {{ scale = 2, features = 6, groups = 1, blocks = 1, modules = 1, tail = "direct", dcm = {{ dim = 256, kernels = 2 }} }}
prompts = {{ caption = 0.5, view = 0.2, mirrored = 0.3 }}

[[sources]]
folder = "pictures"
captions = "captions.json"
sizes = [1.0, 0.8]
weight = 1
held_back = 1

[schedule]
steps = 3
rate = 1e-3
evaluate = 3
"#,
        encoder.display()
    )
}

#[test]
fn a_network_is_trained_started_from_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recipe = restore_desk(folder.path());
    std::fs::write(at("recipe.toml"), &recipe).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    for word in ["skipped", "broken.jpg", "8 to train on, 1 held back, 1 skipped", "step 3 of 3"] {
        assert!(said.contains(word), "expected `{word}`: {said}");
    }
    let card = pdn::Model::open(&at("run/result.safetensors")).unwrap().card;
    assert_eq!(card.more["data"][0]["unreadable"], 1);
    assert!(
        !serde_json::to_string(&card).unwrap().contains(env!("CARGO_MANIFEST_DIR")),
        "the card must not reveal paths"
    );
    // Embeddings are cached, so the encoder does not run again.
    assert_eq!(std::fs::read_dir(at("kept")).unwrap().count(), 2);
    let (code, again) = train(folder.path(), &["--set", "schedule.steps=4", "--resume"]);
    assert!(code == Some(0) && again.contains("1 skipped") && again.contains("step 4 of 4"), "{again}");
    let (code, said) = train(folder.path(), &["--restart", "run/weights.safetensors"]);
    assert!(code == Some(2) && said.contains("already holds a run") && !said.contains("reading"), "{said}");
    std::fs::rename(at("run"), at("first")).unwrap();
    let (code, said) = train(folder.path(), &["--restart", "first/weights.safetensors"]);
    assert!(code == Some(2) && said.contains("is at step 4, but the recipe ends at step 3"), "{said}");
    assert!(!at("run").exists());
    // A network of another scale starts from these weights, except for the last layer, whose shape differs.
    let other = "base = \"recipe.toml\"\nstart = \"first/weights.safetensors\"\nanew = [\"conv_last.\"]\nconfig = { scale = 3 }\n";
    std::fs::rename(at("recipe.toml"), at("base.toml")).unwrap();
    std::fs::write(at("recipe.toml"), other.replace("recipe.toml", "base.toml")).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let mut command = Command::cargo_bin("pdn").unwrap();
    let upscaled = command.current_dir(folder.path()).args(["upscale", "data/pictures/0001/0.png", "-o", "large.png"]);
    upscaled.args(["--model", "run/result.safetensors", "-p", "a dog"]).assert().success();
    let large = pdn::read(&at("large.png"), &pdn::Limits::default()).unwrap();
    assert_eq!((large.width(), large.height()), (180, 144));
}

#[test]
fn what_is_wrong_with_a_network_s_recipe_is_said_before_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = restore_desk(folder.path());
    let fails = |recipe: &str, code: i32, words: &[&str]| fails(folder.path(), recipe, code, words);
    let with = |from: &str, to: &str| {
        assert!(recipe.contains(from), "{from}");
        recipe.replace(from, to)
    };
    fails(&with("held_back = 1", "held_bakc = 1"), 2, &["recipe.toml", "held_bakc"]);
    fails(&with("folder = \"pictures\"", "folder = \"none\""), 1, &["none: cannot be read"]);
    fails(&with("sizes = [1.0, 0.8]", "part = 12"), 2, &["recipe.toml", "part 12", "24"]);
    fails(&with("sizes = [1.0, 0.8]", "sizes = [0.1]"), 1, &["pictures", "no pictures left to train on"]);
    fails(&with("held_back = 1", "held_back = 0"), 2, &["recipe.toml", "held_back"]);
    for (wrong, word) in
        [("\"fog\"", "`fog`"), ("[\"practical\", \"fog\"]", "`fog`"), ("[]", "empty"), ("4", "a list of names")]
    {
        fails(&with("[\"practical\", \"blur-bicubic-16\"]", wrong), 2, &["recipe.toml", "degradation", word]);
    }
    fails(&with("dim = 256", "dim = 512"), 2, &["recipe.toml", "512", "256"]);
    fails(&with("architecture = \"pdn\"", "architecture = \"pnd\""), 2, &["recipe.toml", "pnd"]);
    fails(&with("cache = \"kept\"", "start = \"none.safetensors\""), 1, &["none.safetensors"]);
    fails(&with("cache = \"kept\"", "anew = [\"conv_last.\"]"), 2, &["recipe.toml", "`start`"]);
    fails("base = \"none.toml\"", 2, &["none.toml", "cannot be read"]);
    for (key, value) in
        [("steps", "0"), ("rate", "-1.0"), ("rate", "inf"), ("average", "1.5"), ("clip", "-1.0"), ("accumulate", "0")]
    {
        std::fs::write(folder.path().join("recipe.toml"), &recipe).unwrap();
        let (code, said) = train(folder.path(), &["--set", &format!("schedule.{key}={value}")]);
        assert!(
            code == Some(2) && said.contains(&format!("schedule.{key} {}", value.trim_end_matches(".0"))),
            "{said}"
        );
        assert!(!said.contains("reading data"), "{said}");
        assert!(!folder.path().join("run").exists(), "{key}: nothing is left behind");
    }
    let prompts = "prompts = { caption = 0.5, view = 0.2, mirrored = 0.3 }\n";
    fails(&with(prompts, ""), 2, &["recipe.toml", "`encoder` and `prompts`"]);
    let captions = folder.path().join("data/captions.json");
    let text = std::fs::read_to_string(&captions).unwrap();
    std::fs::write(&captions, text.replace("0.png", "zero.png")).unwrap();
    fails(&recipe, 1, &["captions.json", "names none of the source's 6 pictures"]);
}
