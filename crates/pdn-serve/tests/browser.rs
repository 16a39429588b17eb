//! Tests the page in a real browser: Chromium, driven by chromedriver, if both are installed.
//!
//! `PDN_SCREENSHOTS=folder` saves screenshots of the page.

mod common;

use common::{Served, models, png};
use fantoccini::actions::{Actions, InputSource, MouseActions, PointerAction, TouchActions, WheelAction, WheelActions};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use pdn_serve::Offered;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A browser on a server's page.
struct Page {
    client: Client,
    served: Served,
    folder: TempDir,
    _driver: Driver,
}

/// A chromedriver, killed when it is dropped. Its output must be kept open.
struct Driver {
    child: Child,
    _said: BufReader<ChildStdout>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of a program.
fn program(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let files = std::env::split_paths(&folders).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    files.into_iter().find(|file| file.is_file())
}

/// Starts chromedriver; returns it, its port and the browser.
fn driver() -> Option<(Driver, u16, PathBuf)> {
    let (Some(driver), Some(browser)) = (program(&["chromedriver"]), program(&["chromium", "google-chrome"])) else {
        pdn_testing::skip(
            "browser",
            "no chromedriver or no Chromium (Debian: apt-get install chromium chromium-driver)",
        );
        return None;
    };
    let started = Command::new(driver).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let port = said
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse().ok());
    Some((Driver { child, _said: said }, port.expect("chromedriver says its port"), browser))
}

/// Returns the page's models: the default one, a slow one and bicubic.
fn offered() -> Vec<(String, Offered)> {
    let model = pdn::bundled_model(pdn::DEFAULT_MODEL).unwrap().unwrap();
    let slow = models().into_iter().filter(|(name, _)| name == "slow" || name == "bicubic");
    std::iter::once((pdn::DEFAULT_MODEL.to_owned(), Offered::Network(Box::new(model)))).chain(slow).collect()
}

impl Page {
    async fn open(more: Value) -> Option<Self> {
        Self::at(Served::with(offered(), |_| {}), more).await
    }

    async fn at(served: Served, more: Value) -> Option<Self> {
        let (driver, port, browser) = driver()?;
        let mut options = json!({
            "binary": browser,
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1360,940", "--disable-gpu", "--hide-scrollbars"]
        });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let Value::Object(capabilities) = json!({"browserName": "chrome", "goog:chromeOptions": options}) else {
            return None;
        };
        let url = format!("http://127.0.0.1:{port}");
        let connected = Client::with_capabilities_and_connector(&url, &capabilities, HttpConnector::new()).await;
        let client = connected.unwrap();
        client.goto(&served.url("/")).await.unwrap();
        Some(Self { client, served, folder: TempDir::new().unwrap(), _driver: driver })
    }

    async fn close(self) {
        self.client.close().await.unwrap();
    }

    async fn find(&self, id: &str) -> Element {
        self.client.find(Locator::Id(id)).await.unwrap()
    }

    async fn click(&self, id: &str) {
        self.find(id).await.click().await.unwrap_or_else(|error| panic!("{id}: {error}"));
    }

    async fn text(&self, id: &str) -> String {
        self.js(&format!("document.getElementById('{id}').textContent")).await.as_str().unwrap().to_owned()
    }

    async fn js(&self, expression: &str) -> Value {
        self.client
            .execute(&format!("return {expression}"), vec![])
            .await
            .unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// Waits until an expression is true.
    async fn until(&self, expression: &str) {
        let begun = Instant::now();
        while self.js(&format!("Boolean({expression})")).await != json!(true) {
            if begun.elapsed() > Duration::from_secs(60) {
                let said = self.js("[outcome.textContent, problem.textContent, document.activeElement.id]").await;
                panic!("not within a minute: {expression}; the page says {said}");
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    async fn type_into(&self, id: &str, text: &str) {
        let field = self.find(id).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    async fn upload(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        self.find("file").await.send_keys(path.to_str().unwrap()).await.unwrap();
    }

    /// Presses at a point of an element, relative to its middle, moves, and releases.
    async fn drag(&self, id: &str, from: (f64, f64), by: (f64, f64)) {
        let element = self.find(id).await;
        let duration = Some(Duration::from_millis(60));
        let (x, y) = from;
        let drag = MouseActions::new("mouse".into())
            .then(PointerAction::MoveToElement { element, duration, x, y })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::MoveBy { duration, x: by.0 / 2.0, y: by.1 / 2.0 })
            .then(PointerAction::MoveBy { duration, x: by.0 / 2.0, y: by.1 / 2.0 })
            .then(PointerAction::Up { button: 0 });
        self.client.perform_actions(drag).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Moves the focus with the tab key to the control with this id.
    async fn tab_to(&self, id: &str) {
        for _ in 0..60 {
            if self.js("document.activeElement.id").await == json!(id) {
                return;
            }
            self.press(&char::from(Key::Tab).to_string()).await;
        }
        panic!("{id} is not reached by the tab key");
    }

    async fn screenshot(&self, name: &str) {
        if let Some(folder) = std::env::var_os("PDN_SCREENSHOTS").map(PathBuf::from) {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
        }
    }

    /// Returns whether an element is entirely inside the window.
    async fn is_in_window(&self, id: &str) -> bool {
        let box_of = format!("document.getElementById('{id}').getBoundingClientRect()");
        let whole =
            format!("(({{ top, bottom, height }}) => height > 0 && top >= 0 && bottom <= innerHeight)({box_of})");
        self.js(&whole).await == json!(true)
    }

    /// Checks that the page shows the problem once, in words for visitors.
    async fn problem_is_said(&self, words: &str) {
        self.until("!problem.hidden").await;
        let said = self.text("problem").await;
        assert!(said.contains(words), "{said}");
        let visible = self.js("document.body.innerText").await;
        assert_eq!(visible.as_str().unwrap().matches(&said).count(), 1, "said once: {visible}");
        for of_the_command in ["--", "feature", "urn:", "tokens"] {
            assert!(!said.contains(of_the_command), "{said}");
        }
    }

    /// Checks that every control has a name, and that nothing is wider than the window.
    async fn check_names_and_width(&self) {
        let nameless = "[...document.querySelectorAll('button, input, select, textarea, [tabindex]')].filter((e) =>
            !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map((e) => e.id || e.outerHTML)";
        assert_eq!(self.js(nameless).await, json!([]));
        let wide = self.js("document.documentElement.scrollWidth - innerWidth").await;
        assert!(wide.as_f64() <= Some(0.0), "{wide} pixels wider than the window");
    }
}

#[tokio::test]
async fn the_page_by_mouse() {
    let Some(page) = Page::open(json!({})).await else { return };
    page.until("document.querySelectorAll('#model option').length === 3").await;
    page.screenshot("empty").await;
    let example = page.served.get("/example.png").ok(200).body;
    page.upload("lighthouse.png", &example).await;
    page.until("!viewer.hidden").await;
    assert_eq!(page.text("facts").await, "192 × 128");
    page.click("advanced-title").await;
    assert_eq!(page.js("advanced.open").await, json!(true));
    enlarges_with_progress(&page).await;
    slider_wheel_and_drag_move_the_picture(&page).await;
    a_prompt_is_switched(&page).await;
    a_mask_is_shown(&page).await;
    a_part_is_drawn(&page).await;
    a_picture_is_a_prompt(&page, &example).await;
    a_result_is_downloaded(&page).await;
    a_size_is_chosen(&page).await;
    a_job_is_cancelled(&page).await;
    errors_are_told(&page).await;
    page.check_names_and_width().await;
    page.close().await;
}

async fn enlarges_with_progress(page: &Page) {
    let watch = "(() => { window.seen = []; window.steps = [];
        new MutationObserver(() => { seen.push(document.getElementById('progress-text').textContent);
            steps.push(progress.value); }).observe(document.getElementById('progress-text'), { childList: true }); return 1 })()";
    page.js(watch).await;
    page.type_into("prompt", "a lighthouse above a calm sea at dusk").await;
    page.click("enlarge").await;
    page.until("!take.hidden && !enlarge.disabled").await;
    let seen = page.js("window.seen").await.to_string();
    // The picture is on the server already, where its faults were looked at.
    assert!(seen.contains("Starting") && seen.contains("of 393,216 pixels,") && seen.contains(" s"), "{seen}");
    let parts: Vec<f64> = serde_json::from_value(page.js("window.steps").await).unwrap();
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");
    assert!(page.text("outcome").await.starts_with("Upscaled in "));
    assert!(page.text("live").await.contains("768 by 512 pixels"));
    assert_eq!(page.text("facts").await, "192 × 128 to 768 × 512");
    assert_eq!(page.js("after.naturalWidth").await, json!(768));
    page.screenshot("light").await;
    page.click("theme").await;
    page.click("theme").await;
    assert_eq!(page.js("document.documentElement.dataset.theme").await, json!("dark"));
    page.screenshot("dark").await;
    page.click("theme").await;
    assert_eq!(page.text("theme").await, "Theme: system");
}

async fn slider_wheel_and_drag_move_the_picture(page: &Page) {
    let clip = page.js("after.style.clipPath").await;
    page.drag("view", (0.0, 0.0), (160.0, 0.0)).await;
    let value = page.js("Number(split.value)").await.as_f64().unwrap();
    assert!(value > 60.0, "the handle is in the middle, and was dragged to the right: {value}");
    assert_ne!(page.js("after.style.clipPath").await, clip);
    let line = page.js("document.getElementById('line').offsetLeft / view.clientWidth * 100").await;
    assert!((line.as_f64().unwrap() - value).abs() < 1.0, "the line is at {line}, the slider at {value}");
    let before = page.js("world.style.transform").await;
    page.drag("view", (-200.0, 120.0), (30.0, 20.0)).await;
    assert_ne!(page.js("world.style.transform").await, before);
    let zoom = page.text("zoom").await;
    let (x, y) = (400, 300);
    let wheel =
        WheelActions::new("wheel".into()).then(WheelAction::Scroll { duration: None, x, y, delta_x: 0, delta_y: -300 });
    page.client.perform_actions(wheel).await.unwrap();
    page.until(&format!("zoom.value !== '{zoom}'")).await;
    page.screenshot("zoomed").await;
    page.click("fit").await;
    assert_eq!(page.text("zoom").await, zoom);
}

async fn a_prompt_is_switched(page: &Page) {
    let first = page.js("after.src").await;
    page.type_into("prompt", "a wall of red bricks").await;
    page.click("enlarge").await;
    page.until("runs.children.length === 2 && !enlarge.disabled").await;
    let outcome = page.text("outcome").await;
    println!("{outcome}");
    assert!(outcome.starts_with("Upscaled in "), "{outcome}");
    assert_eq!(page.served.metric("pdn_requests_total{method=\"POST\",route=\"/v1/jobs\",status=\"202\"}"), 2.0);
    let second = page.js("after.src").await;
    assert_ne!(second, first);
    page.client.find(Locator::Css("#runs li:last-child button")).await.unwrap().click().await.unwrap();
    page.until(&format!("after.src === {first}")).await;
    assert_eq!(page.js("document.querySelectorAll('#runs [aria-pressed=true]').length").await, json!(1));
}

async fn a_mask_is_shown(page: &Page) {
    let module = page.find("module").await;
    module.select_by_value("?").await.unwrap();
    page.until("!heat.hidden && document.querySelectorAll('#module option').length > 1").await;
    let painted = "(() => { const d = heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data;
        return new Set(Array.from({ length: d.length / 4 }, (_, i) => d.slice(4 * i, 4 * i + 3).join())).size })()";
    assert!(page.js(painted).await.as_u64() > Some(20), "the mask has colours");
    let (low, high): (f64, f64) = (page.text("low").await.parse().unwrap(), page.text("high").await.parse().unwrap());
    assert!(0.0 <= low && low < high && high <= 1.0, "{low} to {high}");
    page.screenshot("mask").await;
    assert_eq!(
        page.js("document.querySelector('#module option:checked').textContent").await,
        json!("At the first step")
    );
    let said = page.text("live").await;
    page.find("module").await.select_by_index(2).await.unwrap();
    page.until(&format!("live.textContent !== '{said}' && !heat.hidden")).await;
    page.find("module").await.select_by_value("").await.unwrap();
    page.until("heat.hidden").await;
}

async fn a_part_is_drawn(page: &Page) {
    page.js("(view.scrollIntoView({ block: 'center' }), 1)").await;
    page.click("draw").await;
    let hint = page.js("document.getElementById('draw-hint').innerText").await;
    assert!(hint.as_str().unwrap().contains("Drag over the picture"), "{hint}");
    page.drag("view", (60.0, -120.0), (120.0, 90.0)).await;
    page.until("document.querySelectorAll('#parts li').length === 1").await;
    assert_eq!(page.js("draw.getAttribute('aria-pressed')").await, json!("false"));
    let numbers =
        page.js("[...document.querySelectorAll('#parts input[type=number]')].map((i) => Number(i.value))").await;
    let [left, top, width, height]: [usize; 4] = serde_json::from_value(numbers).unwrap();
    assert!(left > 90 && top < 60 && width > 15 && height > 10 && left + width <= 192 && top + height <= 128);
    page.press("a red and white tower").await;
    page.click("enlarge").await;
    page.until("runs.children.length === 3 && !enlarge.disabled").await;
    let words = page.js("runs.firstElementChild.textContent").await;
    assert!(words.as_str().unwrap().starts_with("a wall of red bricks · a red and white tower, 4 times"), "{words}");
    page.screenshot("part").await;
    page.client.find(Locator::Css("#parts button")).await.unwrap().click().await.unwrap();
    assert_eq!(page.js("document.querySelectorAll('#parts li, #rectangles div').length").await, json!(0));
}

async fn a_picture_is_a_prompt(page: &Page, picture: &[u8]) {
    let path = page.folder.path().join("like.png");
    std::fs::write(&path, picture).unwrap();
    page.find("reference-file").await.send_keys(path.to_str().unwrap()).await.unwrap();
    assert_eq!(page.text("reference-name").await, "like.png");
    page.type_into("prompt", "").await;
    page.click("enlarge").await;
    page.until("runs.children.length === 4 && !enlarge.disabled").await;
    let words = page.js("runs.firstElementChild.textContent").await;
    assert!(words.as_str().unwrap().starts_with("like.png, 4 times"), "{words}");
    page.click("remove-reference").await;
    assert_eq!(page.js("document.getElementById('reference-shown').hidden").await, json!(true));
}

async fn a_result_is_downloaded(page: &Page) {
    let watch = "(() => { HTMLAnchorElement.prototype.click = function () { window.saved = this.download };
        const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.blob = blob; return make(blob) }; return 1 })()";
    page.js(watch).await;
    page.find("format").await.select_by_value("webp").await.unwrap();
    page.click("download").await;
    page.until("window.saved").await;
    assert_eq!(page.js("[saved, blob.type]").await, json!(["lighthouse_x4.webp", "image/webp"]));
}

async fn a_job_is_cancelled(page: &Page) {
    page.upload("large.png", &png(1200, 900)).await;
    page.until("before.naturalWidth === 1200").await;
    page.find("model").await.select_by_value("slow").await.unwrap();
    assert!(!page.find("prompt").await.is_enabled().await.unwrap(), "the model takes no prompt");
    page.click("enlarge").await;
    page.until("progress.value > 0").await;
    page.screenshot("working").await;
    page.click("cancel").await;
    page.until("outcome.textContent === 'Cancelled.' && !enlarge.disabled").await;
    assert_eq!(page.served.metric("pdn_jobs_total{outcome=\"cancelled\"}"), 1.0);
}

async fn errors_are_told(page: &Page) {
    page.upload("words.txt", b"no picture at all").await;
    page.problem_is_said("PNG, JPEG, WebP").await;
    assert_eq!(page.js("before.naturalWidth").await, json!(1200), "the picture that was there stays");
    page.screenshot("error").await;
    page.upload("again.png", &png(30, 20)).await;
    page.until("before.naturalWidth === 30 && problem.hidden").await;
    page.find("model").await.select_by_value(pdn::DEFAULT_MODEL).await.unwrap();
    page.type_into("prompt", &"dog ".repeat(90)).await;
    page.click("enlarge").await;
    page.problem_is_said("remove about 15 words").await;
    page.until("!document.getElementById('go').hidden").await;
    page.find("size").await.select_by_value("factor").await.unwrap();
    page.type_into("factor", "0").await;
    page.click("enlarge").await;
    page.problem_is_said("a number above 0").await;
}

async fn a_size_is_chosen(page: &Page) {
    page.find("size").await.select_by_value("within").await.unwrap();
    page.type_into("width", "300").await;
    page.type_into("height", "300").await;
    assert!(page.text("becomes").await.contains("192 × 128 becomes 300 × 200"), "{}", page.text("becomes").await);
    page.click("enlarge").await;
    page.until("after.naturalWidth === 300 && !enlarge.disabled").await;
    assert_eq!(page.text("facts").await, "192 × 128 to 300 × 200");
    page.click("exact").await;
    page.click("enlarge").await;
    page.until("after.naturalHeight === 300 && !enlarge.disabled").await;
    assert_eq!(page.js("before.clientHeight").await, json!(300), "both are laid out alike");
    page.click("download").await;
    page.until("window.saved === 'lighthouse_300x300.webp'").await;
    page.find("size").await.select_by_value("factor").await.unwrap();
    page.type_into("factor", "2.5").await;
    page.click("enlarge").await;
    page.until("after.naturalWidth === 480 && !enlarge.disabled").await;
    page.click("download").await;
    page.until("window.saved === 'lighthouse_x2.5.webp'").await;
    page.find("size").await.select_by_value("4").await.unwrap();
}

#[tokio::test]
async fn the_page_by_keyboard() {
    let Some(page) = Page::open(json!({})).await else { return };
    page.until("document.querySelectorAll('#model option').length === 3").await;
    let enter = char::from(Key::Enter).to_string();
    page.tab_to("try").await;
    page.press(&enter).await;
    // The example is upscaled at once, and the focus moves to the download.
    page.until("!viewer.hidden && !enlarge.disabled && document.activeElement.id === 'download'").await;
    page.tab_to("advanced-title").await;
    page.press(&enter).await;
    // Type a prompt and press Enter.
    page.tab_to("prompt").await;
    page.press("a lighthouse").await;
    page.press(&enter).await;
    page.until("runs.children.length === 2 && !enlarge.disabled").await;
    assert_eq!(page.js("document.activeElement.id").await, json!("prompt"), "the next sentence can be written at once");
    // The view: zoom, move, fit.
    page.js("(document.activeElement.blur(), 1)").await;
    page.tab_to("view").await;
    let (transform, zoom) = (page.js("world.style.transform").await, page.text("zoom").await);
    page.press("+").await;
    assert_ne!(page.text("zoom").await, zoom);
    page.press(&char::from(Key::Left).to_string()).await;
    page.press("0").await;
    assert_eq!(page.js("world.style.transform").await, transform);
    page.press("1").await;
    assert_eq!(page.text("zoom").await, "100 %");
    // The slider is the next control.
    page.press(&char::from(Key::Tab).to_string()).await;
    assert_eq!(page.js("document.activeElement.id").await, json!("split"));
    page.press(&char::from(Key::Right).to_string()).await;
    assert_eq!(page.js("split.value").await, json!("50.5"));
    page.screenshot("keyboard").await;
    // Choose a mask by its first letter.
    page.tab_to("module").await;
    page.press("c").await;
    page.until("!heat.hidden").await;
    page.js("(document.activeElement.blur(), 1)").await;
    // Add a region by its numbers.
    page.tab_to("add-part").await;
    page.press(&enter).await;
    page.press("a red tower").await;
    page.press(&enter).await;
    page.until("runs.children.length === 3 && !enlarge.disabled").await;
    // Change the theme.
    page.js("(document.activeElement.blur(), 1)").await;
    page.tab_to("theme").await;
    page.press(&enter).await;
    assert_eq!(page.text("theme").await, "Theme: light");
    // Cancel has the focus while there is something to cancel.
    page.js("(document.getElementById('model').value = 'slow', 1)").await;
    page.upload("large.png", &png(1200, 900)).await;
    page.until("before.naturalWidth === 1200").await;
    page.tab_to("enlarge").await;
    page.press(&enter).await;
    page.until("document.activeElement.id === 'cancel' && progress.value > 0").await;
    page.press(&enter).await;
    page.until("outcome.textContent === 'Cancelled.'").await;
    page.until("document.activeElement.id === 'enlarge'").await;
    page.close().await;
}

/// Zooms with two fingers that move apart around the middle of the view.
async fn two_fingers_zoom(page: &Page) {
    page.js("(window.scrollTo(0, 0), 1)").await;
    let zoom = page.text("zoom").await;
    let middle = page
        .js("[view.getBoundingClientRect().left + view.clientWidth / 2, view.getBoundingClientRect().top + 60]")
        .await;
    let [x, y]: [f64; 2] = serde_json::from_value(middle).unwrap();
    let finger = |name: &str, side: f64| {
        let duration = Some(Duration::from_millis(50));
        TouchActions::new(name.into())
            .then(PointerAction::MoveTo { duration, x: x + 30.0 * side, y })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::MoveBy { duration, x: 30.0 * side, y: 0.0 })
            .then(PointerAction::MoveBy { duration, x: 30.0 * side, y: 0.0 })
            .then(PointerAction::Up { button: 0 })
    };
    page.client.perform_actions(Actions::from(finger("left", -1.0)).and(finger("right", 1.0))).await.unwrap();
    let factor = |text: &str| text.trim_end_matches(" %").parse::<f64>().unwrap();
    let found = factor(&page.text("zoom").await) / factor(&zoom);
    assert!((2.4..3.6).contains(&found), "three times as far apart: {found} times as large");
    // The browser does not treat the first tap after two fingers as a click.
    page.js("(fit.click(), 1)").await;
    page.until(&format!("zoom.value === '{zoom}'")).await;
}

#[tokio::test]
async fn the_page_on_a_phone_and_with_a_token() {
    let token = "a-token-for-tests".to_owned();
    let served = Served::with(offered(), |settings| settings.token = Some(token.clone()));
    let phone = json!({"mobileEmulation": {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0}}});
    let Some(page) = Page::at(served, phone).await else { return };
    page.until("document.getElementById('ask-token').open").await;
    page.screenshot("token").await;
    page.press(&token).await;
    page.press(&char::from(Key::Enter).to_string()).await;
    page.until("document.querySelectorAll('#model option').length === 3").await;
    page.check_names_and_width().await;
    page.screenshot("phone-empty").await;
    page.upload("lighthouse.png", &page.served.get("/example.png").ok(200).body).await;
    page.until("!viewer.hidden").await;
    page.screenshot("phone-loaded").await;
    assert!(page.is_in_window("enlarge").await, "it is within reach");
    page.js("(window.scrollTo(0, document.body.scrollHeight), 1)").await;
    assert!(page.is_in_window("enlarge").await, "and stays there");
    page.click("advanced-title").await;
    page.type_into("prompt", "a lighthouse above a calm sea at dusk").await;
    page.js("(window.scrollTo(0, document.body.scrollHeight), 1)").await;
    page.click("enlarge").await;
    page.until("!take.hidden && !enlarge.disabled").await;
    let seen = "(({ top, bottom }) => top >= -1 && bottom <= innerHeight)(view.getBoundingClientRect())";
    page.until(seen).await;
    assert!(page.is_in_window("download").await);
    page.check_names_and_width().await;
    for theme in ["light", "dark"] {
        page.js("(window.scrollTo(0, 0), 1)").await;
        page.click("theme").await;
        assert_eq!(page.js("document.documentElement.dataset.theme").await, json!(theme));
        page.screenshot(&format!("phone-{theme}")).await;
        page.js("(window.scrollTo(0, document.body.scrollHeight), 1)").await;
        page.screenshot(&format!("phone-{theme}-below")).await;
    }
    let small = "[...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 36).map((b) => b.id)";
    assert_eq!(page.js(small).await, json!([]), "fingers hit every button");
    two_fingers_zoom(&page).await;
    page.close().await;
}

/// Returns the settings for a window of this inner size.
fn window(width: u32, height: u32) -> Value {
    let metrics = json!({"width": width, "height": height, "pixelRatio": 1.0, "mobile": false, "touch": false});
    json!({"mobileEmulation": {"deviceMetrics": metrics}})
}

#[tokio::test]
async fn the_example_is_enlarged_at_once_and_its_download_is_at_hand() {
    let Some(page) = Page::open(window(1440, 900)).await else { return };
    page.until("document.querySelectorAll('#model option').length === 3").await;
    let listed = page.js("document.querySelector('#model option').textContent").await;
    assert!(listed.as_str().unwrap().ends_with("(recommended)"), "{listed}");
    assert_eq!(page.js("advanced.open").await, json!(false));
    page.click("try").await;
    page.until("!take.hidden && !enlarge.disabled").await;
    assert!(page.is_in_window("download").await && page.is_in_window("enlarge").await);
    assert_eq!(page.js("[scrollY, innerHeight]").await, json!([0, 900]));
    page.screenshot("page").await;
    page.close().await;
}

#[tokio::test]
async fn what_is_too_large_is_said_before_it_is_sent() {
    let served = Served::with(offered(), |settings| (settings.upload, settings.pixels) = (1 << 20, 10_000));
    let Some(page) = Page::at(served, window(1440, 900)).await else { return };
    page.until("document.querySelectorAll('#model option').length === 3").await;
    page.upload("large.png", &png(200, 100)).await;
    page.problem_is_said("(20,000 pixels): this server accepts up to 10,000").await;
    assert!(page.is_in_window("problem").await);
    page.upload("heavy.png", &[png(20, 10), vec![0; 2 << 20]].concat()).await;
    page.problem_is_said("(2 MB): this server accepts files of up to 960 kB").await;
    page.screenshot("too-large").await;
    assert_eq!(page.js("viewer.hidden").await, json!(true));
    let like = page.folder.path().join("heavy.png");
    page.find("reference-file").await.send_keys(like.to_str().unwrap()).await.unwrap();
    page.problem_is_said("The reference picture cannot be used.").await;
    assert_eq!(
        page.js("performance.getEntriesByType('resource').filter((r) => r.name.includes('/v1/')).length").await,
        json!(1)
    );
    page.upload("small.png", &png(100, 100)).await;
    page.until("problem.hidden && !viewer.hidden").await;
    page.close().await;
}

#[tokio::test]
async fn faults_are_seen_and_told() {
    let Some(page) = Page::at(Served::with_faults(common::seeing(), |_| {}), window(1440, 900)).await else { return };
    page.until("document.querySelectorAll('#model option').length === 2").await;
    assert_eq!(page.js("document.getElementById('faults').hidden").await, json!(true), "there is no picture yet");
    page.upload("small.png", &png(60, 40)).await;
    page.until("document.getElementById('seen').textContent.startsWith('Seen: ')").await;
    let seen = common::seeing().faults_of_picture(&common::picture(60, 40)).unwrap();
    assert_eq!(page.text("seen").await, format!("Seen: {seen}"));
    for slot in pdn::Slot::ALL {
        let first = page.js(&format!("document.getElementById('fault-{}').options[0].textContent", slot.name())).await;
        let level = seen.level(slot).map_or(String::new(), |level| format!(" ({})", slot.levels()[level]));
        assert_eq!(first, json!(format!("as seen{level}")), "{slot:?}");
    }
    page.check_names_and_width().await;
    // Without a result there is nothing to compare with.
    page.find("fault-noise").await.select_by_value("slight").await.unwrap();
    page.click("enlarge").await;
    page.until("!take.hidden && !enlarge.disabled").await;
    assert_eq!(page.served.metric("pdn_jobs_total{outcome=\"done\"}"), 1.0);
    assert_eq!(
        page.served.metric("pdn_requests_total{method=\"POST\",route=\"/v1/pictures\",status=\"201\"}"),
        1.0,
        "the picture is sent once"
    );
    let first = page.js("after.src").await;
    let shown = page.text("steered").await;
    assert!(shown.contains("some noise"), "{shown}");
    // From now on a choice is followed at once, and keeps the focus.
    page.find("fault-noise").await.select_by_value("none").await.unwrap();
    page.until(&format!("after.src !== {first} && !enlarge.disabled && runs.children.length === 2")).await;
    assert!(page.text("steered").await.contains("no noise"), "{}", page.text("steered").await);
    let words = page.js("runs.firstElementChild.textContent").await;
    assert!(words.as_str().unwrap().starts_with("Noise: none, 2 times"), "{words}");
    page.screenshot("faults").await;
    // A region has faults of its own, and where it has none those of the picture.
    page.js("advanced.open = true").await;
    page.click("add-part").await;
    page.js("document.querySelector('#parts .faults').open = true").await;
    let second = page.js("after.src").await;
    page.find("fault-1-blur").await.select_by_value("heavy").await.unwrap();
    page.until(&format!("after.src !== {second} && !enlarge.disabled && runs.children.length === 3")).await;
    let steered = page.text("steered").await;
    let region = steered.split("; region 1: ").nth(1).unwrap_or_default();
    assert!(region.starts_with("heavily blurred") && region.contains("no noise"), "{steered}");
    let words = page.js("runs.firstElementChild.textContent").await;
    assert!(words.as_str().unwrap().contains("Noise: none · region 1 Blur: heavy"), "{words}");
    page.check_names_and_width().await;
    page.screenshot("faults-of-a-region").await;
    page.client.find(Locator::Css("#parts button")).await.unwrap().click().await.unwrap();
    page.click("theme").await;
    page.click("theme").await;
    page.screenshot("faults-dark").await;
    page.click("theme").await;
    page.find("model").await.select_by_value("bicubic").await.unwrap();
    assert_eq!(page.js("document.getElementById('faults').hidden").await, json!(true), "bicubic hears no faults");
    page.find("model").await.select_by_value("hearing").await.unwrap();
    page.upload("other.png", &png(50, 40)).await;
    page.until("before.naturalWidth === 50").await;
    assert_eq!(page.js("document.getElementById('fault-noise').value").await, json!(""), "another picture, as seen");
    assert_eq!(page.js("problem.hidden").await, json!(true));
    page.close().await;
}

#[tokio::test]
async fn what_browsers_cannot_show_is_shown_smaller() {
    let Some(page) = Page::open(window(1440, 900)).await else { return };
    page.until("document.querySelectorAll('#model option').length === 3").await;
    page.upload("strip.png", &png(600, 20)).await;
    page.until("!viewer.hidden").await;
    page.find("model").await.select_by_value("bicubic").await.unwrap();
    page.find("size").await.select_by_value("factor").await.unwrap();
    page.type_into("factor", "30").await;
    page.click("enlarge").await;
    page.until("!take.hidden && !enlarge.disabled").await;
    assert_eq!(page.text("facts").await, "600 × 20 to 18000 × 600");
    assert_eq!(page.js("after.naturalWidth").await, json!(9000));
    assert_eq!(page.js("document.getElementById('preview-note').hidden").await, json!(false));
    page.close().await;
}
