//! How well the bundled encoder hears faults in sentences that share nothing with its training.

use pdn::{KnownFaults, Slot, bundled_encoder};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sentences {
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    tells: String,
    text: String,
}

/// How often something is right.
#[derive(Default)]
struct Count {
    right: usize,
    all: usize,
}

impl Count {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    fn per_cent(&self) -> f64 {
        100.0 * self.right as f64 / self.all as f64
    }
}

#[test]
fn sentences_of_someone_else_are_heard() {
    let encoder = bundled_encoder().unwrap();
    let all: Sentences = toml::from_str(include_str!("fault_sentences.toml")).unwrap();
    let (mut told, mut untold) = (Count::default(), Count::default());
    let mut of_slot = Slot::ALL.map(|slot| (slot, Count::default()));
    for Sentence { tells, text } in &all.sentences {
        let expected: KnownFaults = if tells.is_empty() { KnownFaults::default() } else { tells.parse().unwrap() };
        let heard = encoder.faults_of_text(text).unwrap();
        for (slot, count) in &mut of_slot {
            let right = heard.level(*slot) == expected.level(*slot);
            match expected.level(*slot) {
                Some(_) => {
                    told.add(right);
                    count.add(right);
                }
                None => untold.add(right),
            }
            if !right {
                println!("{text:?}: {}, expected {expected}, heard {heard}", slot.name());
            }
        }
    }
    for (slot, count) in &of_slot {
        println!("{}: {} of {} heard at their level", slot.name(), count.right, count.all);
    }
    println!("told slots heard at their level: {:.1} %", told.per_cent());
    println!("slots that are not told, not heard: {:.1} %", untold.per_cent());
    assert!(all.sentences.len() >= 150 && told.all >= 180, "{} {}", all.sentences.len(), told.all);
    assert!(told.per_cent() > 80.0 && untold.per_cent() > 94.0);
}
