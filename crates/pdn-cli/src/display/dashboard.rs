//! The dashboard of a training run on the terminal: its progress, loss curve and figures. Without a terminal, it prints
//! lines.

use crate::display::say::say;
use pdn_train::run::{Progress, Record};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal, Stdout, stdout};
use std::time::{Duration, Instant};

/// Rows of the dashboard.
const ROWS: u16 = 20;

/// Time between two lines without a terminal, if nothing else happens.
const LINE: Duration = Duration::from_secs(30);

/// The destination of progress.
pub(crate) enum Dashboard {
    /// A terminal, and the losses so far, each the mean of as many steps as fit the width.
    Terminal(Box<Terminal<CrosstermBackend<Stdout>>>, Vec<(f64, f64)>),
    /// Lines, and when the last one was printed.
    Lines(Instant),
}

impl Dashboard {
    pub(crate) fn new() -> Self {
        let options = TerminalOptions { viewport: Viewport::Inline(ROWS) };
        let terminal = stdout().is_terminal().then(|| Terminal::with_options(CrosstermBackend::new(stdout()), options));
        match terminal {
            Some(Ok(terminal)) => Self::Terminal(Box::new(terminal), Vec::new()),
            _ => Self::Lines(Instant::now()),
        }
    }

    /// Shows a step.
    pub(crate) fn show(&mut self, progress: &Progress) {
        match self {
            Self::Terminal(terminal, losses) => {
                losses.push((progress.step.done as f64, progress.loss));
                // A terminal that cannot be drawn on is no reason to stop a run.
                let _ = terminal.draw(|frame| draw(frame, progress, losses));
            }
            Self::Lines(last) => {
                if progress.evaluated || last.elapsed() > LINE || progress.step.done <= 1 {
                    *last = Instant::now();
                    say!("{}", line(progress));
                }
            }
        }
    }
}

fn draw(frame: &mut Frame, progress: &Progress, losses: &[(f64, f64)]) {
    let Progress { step, rate, pace, records, .. } = progress;
    let [gauge, chart, figures] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(6), Constraint::Length(5)]).areas(frame.area());
    let label = format!(
        "step {} of {}, {pace:.2} s/step, learning rate {rate:.1e}, {} left",
        step.done,
        step.of,
        minutes(progress)
    );
    let done = step.done as f64 / step.of.max(1) as f64;
    frame.render_widget(Gauge::default().block(Block::bordered().title("pdn train")).ratio(done).label(label), gauge);
    let smooth = smoothed(losses, usize::from(chart.width));
    let (low, high) = smooth.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
    let curve = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::default().fg(Color::Cyan))
        .data(&smooth);
    let first = losses.first().map_or(0.0, |(step, _)| *step);
    let chart_widget = Chart::new(vec![curve])
        .block(Block::bordered().title(format!("loss {:.4}", progress.loss)))
        .x_axis(Axis::default().bounds([first, step.done as f64]))
        .y_axis(Axis::default().bounds([low, high]).labels([format!("{low:.3}"), format!("{high:.3}")]));
    frame.render_widget(chart_widget, chart);
    let lines: Vec<Line> = records.iter().rev().take(3).map(|record| Line::from(figures_of(record))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("measurements, newest first")), figures);
}

/// Returns means of adjacent losses, at most `count`.
fn smoothed(losses: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let size = losses.len().div_ceil(count.max(1)).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let sum = chunk.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
        (sum.0 / chunk.len() as f64, sum.1 / chunk.len() as f64)
    };
    losses.chunks(size).map(mean).collect()
}

fn figures_of(record: &Record) -> String {
    let mut line = format!("step {}: mean loss {:.4}", record.step, record.loss);
    for (name, value) in &record.figures {
        line += &format!(", {name} {value:.3}");
    }
    line
}

fn minutes(progress: &Progress) -> String {
    let seconds = progress.pace * (progress.step.of - progress.step.done) as f64;
    format!("{} min", (seconds / 60.0).ceil())
}

fn line(progress: &Progress) -> String {
    let Progress { step, loss, rate, seconds, pace, records, evaluated, .. } = progress;
    let mut line = format!(
        "step {} of {}, {seconds:.0} s: loss {loss:.4}, learning rate {rate:.2e}, {pace:.2} s/step, {} left",
        step.done,
        step.of,
        minutes(progress)
    );
    if let Some(record) = records.last().filter(|_| *evaluated) {
        line += &format!("; {}", figures_of(record));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_smoothed_to_the_width() {
        let losses: Vec<(f64, f64)> = (0..10).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        assert_eq!(smoothed(&losses, 5), [(0.5, 0.5), (2.5, 0.5), (4.5, 0.5), (6.5, 0.5), (8.5, 0.5)]);
        assert_eq!(smoothed(&losses[..1], 80), [(0.0, 0.0)]);
    }
}
