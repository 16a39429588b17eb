//! Compares the tokenizer with OpenAI's on 10,000 sentences, which `tests/reference/tokens.py` draws in the same way.

use pdn::Tokenizer;
use serde::Deserialize;

const BLOCK: u64 = 100;
const CAPTIONS: u64 = 40;

#[derive(Deserialize)]
struct Golden {
    words: Vec<String>,
    emoji: Vec<String>,
    entities: Vec<String>,
    controls: Vec<String>,
    separators: Vec<String>,
    ranges: Vec<(u32, u32)>,
    skipped: Vec<u64>,
    hashes: Vec<String>,
}

/// SplitMix64, seeded with a sentence's number.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

impl Golden {
    /// Returns a random sentence.
    fn sentence(&self, number: u64) -> String {
        let (mut draw, kind) = (Draw(number), number / BLOCK % 6);
        let mut text = String::new();
        let pieces = if kind == 0 { 80 + draw.below(320) } else { 1 + draw.below(24) };
        for _ in 0..pieces {
            let other = draw.below(2) == 1;
            match kind {
                1 if other => text += draw.of(&self.emoji).as_str(),
                2 if other => text += draw.of(&self.entities).as_str(),
                3 if other => text += draw.of(&self.controls).as_str(),
                4 => {
                    for _ in 0..1 + draw.below(6) {
                        let (first, last) = *draw.of(&self.ranges);
                        text.extend(char::from_u32(first + draw.below((last - first + 1) as usize) as u32));
                    }
                }
                5 if other => {
                    let list = *draw.of(&[&self.emoji[..], &self.entities, &self.controls]);
                    text += draw.of(list).as_str();
                }
                _ => text += draw.of(&self.words).as_str(),
            }
            text += draw.of(&self.separators).as_str();
        }
        text
    }

    /// Checks blocks of a hundred sentences, and reports those that differ.
    fn check(&self, blocks: std::ops::Range<u64>, sentence: impl Fn(u64) -> String) {
        let tokenizer = Tokenizer::new(49408).unwrap();
        let differs = |block: &u64| {
            let numbers = (block * BLOCK..(block + 1) * BLOCK).filter(|number| !self.skipped.contains(number));
            let tokens = numbers.flat_map(|number| tokenizer.encode(&sentence(number)));
            let bytes = tokens.flat_map(|token| u16::try_from(token).unwrap().to_le_bytes());
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
            format!("{hash:016x}") != self.hashes[*block as usize]
        };
        let different: Vec<u64> = blocks.filter(differs).collect();
        assert!(different.is_empty(), "blocks of sentences with other tokens: {different:?}");
    }
}

fn golden() -> Golden {
    let path = pdn_testing::root().join("tests/reference/clip/tokens.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn drawn_sentences_have_openai_s_tokens() {
    let golden = golden();
    assert!(golden.hashes.len() == 100 && golden.skipped.len() < 100);
    golden.check(CAPTIONS..100, |number| golden.sentence(number));
}

#[test]
fn captions_have_openai_s_tokens() {
    let Some(path) = pdn_testing::data("train/flickr8k/captions.csv") else { return };
    let mut file = csv::Reader::from_path(path).unwrap();
    let at = file.headers().unwrap().iter().position(|name| name == "caption").unwrap();
    let captions: Vec<String> = file.records().map(|record| record.unwrap()[at].to_owned()).collect();
    golden().check(0..CAPTIONS, |number| Draw(number).of(&captions).clone());
}
