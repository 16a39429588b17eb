//! Metrics for Prometheus.

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Counters and histograms.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    seconds: Family<Route, Histogram>,
    jobs: Family<Outcome, Counter>,
    pixels: Counter,
    gauges: Gauges,
}

/// Gauges that are read on request.
#[derive(Debug, Default)]
struct Gauges {
    waiting: Gauge,
    running: Gauge,
    kept: Gauge,
    kept_bytes: Gauge,
    held_bytes: Gauge,
    most_bytes: Gauge,
    limit_bytes: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The current values of the gauges.
pub(crate) struct Now {
    pub(crate) waiting: usize,
    pub(crate) running: usize,
    pub(crate) kept: usize,
    pub(crate) kept_bytes: usize,
    /// Bytes held for requests: now, at the peak, and the limit.
    pub(crate) held_bytes: usize,
    pub(crate) most_bytes: usize,
    pub(crate) limit_bytes: usize,
}

/// Upper bounds of the histogram's buckets, in seconds.
const CLASSES: [f64; 10] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0, 1200.0];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("pdn");
        let (requests, jobs, pixels, gauges) =
            (Family::default(), Family::default(), Counter::default(), Gauges::default());
        let seconds = Family::new_with_constructor((|| Histogram::new(CLASSES)) as fn() -> Histogram);
        registry.register("requests", "Requests by method, route and status", requests.clone());
        registry.register_with_unit("request", "Time until the answer", Unit::Seconds, seconds.clone());
        registry.register("jobs", "Jobs by how they ended", jobs.clone());
        registry.register("pixels", "Pixels of upscaled pictures", pixels.clone());
        registry.register("jobs_waiting", "Jobs that wait", gauges.waiting.clone());
        registry.register("jobs_running", "Jobs that run", gauges.running.clone());
        registry.register("kept", "Pictures and jobs that are kept", gauges.kept.clone());
        let mut bytes = |name: &str, what: &str, gauge: &Gauge| {
            registry.register_with_unit(name, what, Unit::Bytes, gauge.clone());
        };
        bytes("kept", "Memory that these take", &gauges.kept_bytes);
        bytes("held", "Memory that is held for requests, with what is kept", &gauges.held_bytes);
        bytes("held_most", "The most that was held at a time", &gauges.most_bytes);
        bytes("held_limit", "The most that may be held", &gauges.limit_bytes);
        Self { registry, requests, seconds, jobs, pixels, gauges }
    }

    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answer { method, route, status }).inc();
    }

    pub(crate) fn ended(&self, outcome: &'static str, pixels: usize) {
        self.jobs.get_or_create(&Outcome { outcome }).inc();
        self.pixels.inc_by(pixels as u64);
    }

    /// Returns all metrics as OpenMetrics text.
    pub(crate) fn text(&self, now: &Now) -> String {
        let set = |gauge: &Gauge, value: usize| gauge.set(value as i64);
        set(&self.gauges.waiting, now.waiting);
        set(&self.gauges.running, now.running);
        set(&self.gauges.kept, now.kept);
        set(&self.gauges.kept_bytes, now.kept_bytes);
        set(&self.gauges.held_bytes, now.held_bytes);
        set(&self.gauges.most_bytes, now.most_bytes);
        set(&self.gauges.limit_bytes, now.limit_bytes);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
