//! CLIP's tokenizer: byte-pair encoding, with merges in the order in which they were learned.
//!
//! Like OpenAI's (`clip/simple_tokenizer.py`), it unescapes HTML entities twice, as some captions need, and converts to
//! lower case; `<|startoftext|>` and `<|endoftext|>` are tokens inside a sentence, too. OpenAI leaves the rest to ftfy;
//! this does the part that sentences need: it composes characters (NFC), straightens curly quotes, spells out ligatures
//! and full-width letters, and drops control characters. It does not repair wrongly decoded text.
//!
//! With CLIP's vocabulary of 49,408, the `instant-clip-tokenizer` crate merges words. A smaller vocabulary keeps the
//! first of CLIP's merges. The crate does not expose the merges, only the piece that each one made, so two neighbours
//! are merged wherever their concatenation is such a piece, the earliest first. Pieces that are not whole characters
//! are left out: rare letters are spelled in bytes.
//!
//! Merging is quadratic in the length of a word, so words beyond 256 characters are merged in parts of that size, and
//! entities are unescaped at most eight times: the time is linear in the length of the text.

use instant_clip_tokenizer::{Token, Tokenizer as Clip};
use regex::Regex;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// CLIP's own vocabulary.
const CLIP_VOCABULARY: usize = 49408;

/// The start and end tokens, spelled out.
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Matches a word or one of the tokens above.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// Tokens for single bytes: one within a word and one at its end for each byte.
const BYTES: usize = 256;

/// The most characters that are merged together; no single-token word has as many.
const LONGEST_WORD: usize = 256;

/// The most times that nested entities are unescaped.
const UNESCAPED: usize = 8;

/// Turns sentences into tokens.
pub struct Tokenizer {
    kind: Kind,
    words: Regex,
    vocabulary: usize,
}

enum Kind {
    Clip(Box<Clip>),
    First(Box<First>),
}

/// The first merges of CLIP's vocabulary.
struct First {
    /// The token of each byte within a word.
    bytes: [usize; BYTES],
    /// Whole pieces; a piece that ends a word is followed by a space.
    pieces: HashMap<String, usize>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Creates a tokenizer with this many tokens, the last two being the start and end of a sentence; `None` if that is
    /// more than CLIP has or fewer than the bytes need.
    pub fn new(vocabulary: usize) -> Option<Self> {
        let kind = match vocabulary {
            CLIP_VOCABULARY => Kind::Clip(Box::new(Clip::new())),
            _ if (2 * BYTES + 2..CLIP_VOCABULARY).contains(&vocabulary) => {
                Kind::First(Box::new(First::new(vocabulary - 2)))
            }
            _ => return None,
        };
        Some(Self { kind, words: Regex::new(WORDS).expect("a fixed expression"), vocabulary })
    }

    /// Returns the tokens of a sentence, including its start and end tokens.
    pub fn encode(&self, text: &str) -> Vec<usize> {
        let (start, end) = (self.vocabulary - 2, self.vocabulary - 1);
        let mut tokens = vec![start];
        let text = clean(text);
        for word in self.words.find_iter(&text).flat_map(|word| in_parts(word.as_str())) {
            match (word, &self.kind) {
                (START, _) => tokens.push(start),
                (END, _) => tokens.push(end),
                (_, Kind::Clip(clip)) => {
                    let mut found = Vec::new();
                    clip.encode(word, &mut found);
                    tokens.extend(found.into_iter().map(|token| usize::from(token.to_u16())));
                }
                (_, Kind::First(first)) => first.encode(word, &mut tokens),
            }
        }
        tokens.push(end);
        tokens
    }
}

/// Splits a word into parts that are merged separately; almost always one.
fn in_parts(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(LONGEST_WORD).map_or(rest.len(), |(at, _)| at);
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Cleans a sentence before it is split into words.
fn clean(text: &str) -> String {
    // Up to the first line with a tag, ftfy repeats this until nothing changes.
    let tag = text.find('<').map_or(text.len(), |at| text[..at].rfind('\n').map_or(0, |end| end + 1));
    let (plainly, tagged) = text.split_at(tag);
    let mut text = plainly.to_owned();
    for _ in 0..UNESCAPED {
        match unescaped(&text) {
            same if same == text => break,
            next => text = next,
        }
    }
    let text: String = (text + tagged).chars().filter(|c| !is_control(*c)).flat_map(plain).nfc().collect();
    unescaped(&unescaped(&text)).to_lowercase()
}

/// Unescapes HTML entities; like Python's `html.unescape`, drops control characters.
fn unescaped(text: &str) -> String {
    htmlize::unescape(text).chars().filter(|c| !is_control(*c)).collect()
}

/// Returns whether ftfy drops the character: control characters other than white space, and marks about encoding or
/// layout.
fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

/// Returns a character as ftfy spells it.
fn plain(c: char) -> impl Iterator<Item = char> {
    let spelled: &[char] = match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => &['\''],
        '\u{201c}'..='\u{201f}' => &['"'],
        'Ĳ' => &['I', 'J'],
        'ĳ' => &['i', 'j'],
        'ŉ' => &['\'', 'n'],
        'Ǳ' => &['D', 'Z'],
        'ǲ' => &['D', 'z'],
        'ǳ' => &['d', 'z'],
        'Ǆ' => &['D', 'Ž'],
        'ǅ' => &['D', 'ž'],
        'ǆ' => &['d', 'ž'],
        'Ǉ' => &['L', 'J'],
        'ǈ' => &['L', 'j'],
        'ǉ' => &['l', 'j'],
        'Ǌ' => &['N', 'J'],
        'ǋ' => &['N', 'j'],
        'ǌ' => &['n', 'j'],
        'ﬀ' => &['f', 'f'],
        'ﬁ' => &['f', 'i'],
        'ﬂ' => &['f', 'l'],
        'ﬃ' => &['f', 'f', 'i'],
        'ﬄ' => &['f', 'f', 'l'],
        'ﬅ' => &['ſ', 't'],
        'ﬆ' => &['s', 't'],
        _ => &[],
    };
    let wide = matches!(c, '\u{3000}' | '\u{ff01}'..='\u{ffef}');
    let own = (spelled.is_empty() && !wide).then_some(c);
    let folded = wide.then(|| [c].into_iter().nfkc());
    spelled.iter().copied().chain(own).chain(folded.into_iter().flatten())
}

impl First {
    fn new(limit: usize) -> Self {
        let clip = Clip::new();
        let piece = |id: usize| Some((clip.decode([Token::from_u16(u16::try_from(id).ok()?, &clip)?]), id));
        let whole = |(piece, _): &(String, usize)| !piece.contains(char::REPLACEMENT_CHARACTER);
        let pieces = (2 * BYTES..limit).filter_map(piece).filter(whole).collect();
        // CLIP's order of bytes: printable ones first, as in GPT-2.
        let printed = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let (first, rest): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(|b| printed(*b));
        let mut bytes = [0; BYTES];
        first.into_iter().chain(rest).enumerate().for_each(|(token, byte)| bytes[usize::from(byte)] = token);
        Self { bytes, pieces }
    }

    fn encode(&self, word: &str, tokens: &mut Vec<usize>) {
        // A space ends the word's last part, as it does in the pieces.
        let word = format!("{word} ");
        for part in self.parts(&word) {
            match self.pieces.get(part) {
                Some(token) => tokens.push(*token),
                None => tokens.extend(self.spelled(part)),
            }
        }
    }

    /// Splits a word into pieces by merging its characters.
    fn parts<'a>(&self, word: &'a str) -> Vec<&'a str> {
        let characters = word.trim_end_matches(' ').char_indices().map(|(at, _)| at);
        let mut starts: Vec<usize> = characters.chain([word.len()]).collect();
        // For each boundary, looks up once the piece that its two neighbours make together.
        let piece = |starts: &[usize], at: usize| match (at.checked_sub(1).map(|at| starts[at]), starts.get(at + 1)) {
            (Some(begin), Some(end)) => self.pieces.get(&word[begin..*end]).copied().unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let mut pieces: Vec<usize> = (0..starts.len()).map(|at| piece(&starts, at)).collect();
        while let Some((_, at)) = pieces.iter().copied().zip(0..).min().filter(|(first, _)| *first < usize::MAX) {
            starts.remove(at);
            pieces.remove(at);
            pieces[at - 1] = piece(&starts, at - 1);
            pieces[at] = piece(&starts, at);
        }
        starts.windows(2).map(|pair| &word[pair[0]..pair[1]]).collect()
    }

    /// Returns the tokens of a part, byte by byte.
    fn spelled<'a>(&'a self, part: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = part.trim_end_matches(' ').as_bytes();
        let last = if part.ends_with(' ') { bytes.len() } else { 0 };
        bytes.iter().enumerate().map(move |(i, b)| {
            let end = if i + 1 == last { BYTES } else { 0 };
            self.bytes[usize::from(*b)] + end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_s_vocabulary_is_openai_s() {
        let tokens = Tokenizer::new(CLIP_VOCABULARY).unwrap().encode("A person riding a motorcycle");
        assert_eq!(tokens, [49406, 320, 2533, 6765, 320, 10297, 49407]);
    }

    #[test]
    fn a_smaller_vocabulary_agrees_where_it_has_the_words() {
        let (small, clip) = (Tokenizer::new(49000).unwrap(), Tokenizer::new(CLIP_VOCABULARY).unwrap());
        for text in ["A person riding a motorcycle", "two dogs' toys, 3 of them!!", "It's a small-town café"] {
            let (small, clip) = (small.encode(text), clip.encode(text));
            assert_eq!(small[1..small.len() - 1], clip[1..clip.len() - 1], "{text}");
        }
    }

    #[test]
    fn rare_words_fall_into_known_pieces() {
        let tokenizer = Tokenizer::new(8192).unwrap();
        let long = tokenizer.encode("xylophonist 犬 🐕 \u{7}");
        assert!(long.len() > 8 && long.iter().all(|t| *t < 8192), "{long:?}");
        assert_eq!(tokenizer.encode("  "), [8190, 8191]);
        assert_eq!(tokenizer.encode("A  DOG"), tokenizer.encode("a dog"));
        assert_ne!(tokenizer.encode("a dog"), tokenizer.encode("a cat"));
    }

    /// If the time grew with the square of the length, this would not end.
    #[test]
    fn a_megabyte_is_read_as_well() {
        for vocabulary in [8192, CLIP_VOCABULARY] {
            let tokenizer = Tokenizer::new(vocabulary).unwrap();
            for piece in ["in", "&amp;amp;", "=", "\u{72ac}", "&amp"] {
                assert!(tokenizer.encode(&piece.repeat((1 << 20) / piece.len())).len() > 2, "{piece}");
            }
        }
    }

    #[test]
    fn long_words_are_cut_and_lose_nothing() {
        let word = "ab\u{72ac}".repeat(400);
        let parts: Vec<&str> = in_parts(&word).collect();
        assert!(parts.len() == 5 && parts.concat() == word && parts[0].chars().count() == LONGEST_WORD);
        assert_eq!(in_parts("word").collect::<Vec<_>>(), ["word"]);
    }

    #[test]
    fn no_vocabulary_is_too_small_or_too_large_to_be_refused() {
        assert!(Tokenizer::new(513).is_none() && Tokenizer::new(49409).is_none());
    }
}
