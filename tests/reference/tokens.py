"""Makes `clip/tokens.json`: what OpenAI's tokenizer makes of 10,000 sentences, as a hash for each hundred.

The sentences are made from their number on both sides (`crates/pdn/tests/tokenizer.rs`): 4,000 are captions of Flickr8k,
which are not in the repository, the others are drawn from the lists below. The tokenizer is open_clip's, with OpenAI's
spelling of the start and the end. Left out are sentences that ftfy takes for wrongly decoded and repairs.

    venv/bin/pip install -r requirements-clip.txt && PDN_DATA=... venv/bin/python tokens.py
"""

import csv
import json
import os
from pathlib import Path

import ftfy
import regex
from open_clip.tokenizer import SimpleTokenizer

HERE = Path(__file__).parent
BLOCKS, BLOCK, CAPTIONS = 100, 100, 40

WORDS = """a the brown dog runs on beach two children's toys it's they're DON'T we'll I'd I'm you've 3D x2 2024 1,000.50
Café naïve straße İstanbul ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ fiancée e\u0301te\u0301 n\u0303 supercalifragilisticexpialidocious xylophonist
snow-boarder half/half #hashtag @home e-mail@example.org http://example.org/?q=1&r=2 C++ <b>bold</b> <|endoftext|>
<|startoftext|> <start_of_text> </w> !!! ... -- ( ) [x] {y} \\ ` ~ ^ _ __init__ 'quoted' "double" \u2018curly\u2019
\u201cdouble\u201d it\u2019s don\u2019t \ufb01ne \ufb02ow Ĳssel ʼn ŉ ＦＵＬＬ ｗｉｄｔｈ ｶﾀｶﾅ ½ ² Ⅷ ① ٣ 犬 猫が好き 한국어 русский العربية हिन्दी
ไทย עברית ﷽ \u1e9e ŒUVRE""".split()
EMOJI = ["🐕", "😀", "👨‍👩‍👧", "👍🏽", "🇩🇪", "❤️", "1️⃣", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "☀", "♥", "🦄🦄"]
ENTITIES = """&amp; &lt; &gt; &quot; &apos; &#39; &#x27; &nbsp; &eacute; &rsquo; &ldquo; &copy; &copy &amp;amp; &amp;quot;
&amp;amp;amp;lt; &notit; &NotEqual; &unknown; &#128054; &#x1F415; &#0; &#150; &amp &lt &; & &# &#x; &frac12; &Eacute; &fjlig;
&hellip; &#55296; &#1114112;""".split()
CONTROLS = [chr(c) for c in (0, 7, 8, 9, 10, 11, 12, 13, 14, 27, 31, 127, 0xA0, 0xAD, 0x2009, 0x200B, 0x200C, 0x200D, 0x200E,
                             0x2028, 0x202A, 0x2060, 0x206A, 0x3000, 0xFEFF, 0xFFFC, 0xFFFD)]
RANGES = [(0x20, 0x7E), (0xA1, 0xFF), (0x100, 0x17F), (0x391, 0x3A1), (0x3A3, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA),
          (0x621, 0x63A), (0x905, 0x939), (0xE01, 0xE30), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5),
          (0xAC00, 0xD7A3), (0x300, 0x30F), (0x2190, 0x21FF), (0x1F300, 0x1F320), (0x1F400, 0x1F43E)]
SEPARATORS = [" ", " ", " ", "  ", "", ", ", "\n"]
LISTS = {"words": WORDS, "emoji": EMOJI, "entities": ENTITIES, "controls": CONTROLS, "separators": SEPARATORS}


class Draw:
    """SplitMix64, begun at a sentence's number."""

    def __init__(self, seed: int):
        self.state = seed

    def below(self, n: int) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return (z ^ (z >> 31)) % n

    def of(self, items):
        return items[self.below(len(items))]

    def character(self) -> str:
        first, last = self.of(RANGES)
        return chr(first + self.below(last - first + 1))


def sentence(number: int, captions: list[str]) -> str:
    draw, block = Draw(number), number // BLOCK
    if block < CAPTIONS:
        return captions[draw.below(len(captions))]
    kind = block % 6
    pieces = []
    for _ in range(80 + draw.below(320) if kind == 0 else 1 + draw.below(24)):
        other = draw.below(2) == 1
        if kind == 1 and other:
            pieces.append(draw.of(EMOJI))
        elif kind == 2 and other:
            pieces.append(draw.of(ENTITIES))
        elif kind == 3 and other:
            pieces.append(draw.of(CONTROLS))
        elif kind == 4:
            pieces.append("".join(draw.character() for _ in range(1 + draw.below(6))))
        elif kind == 5 and other:
            pieces.append(draw.of(draw.of([EMOJI, ENTITIES, CONTROLS])))
        else:
            pieces.append(draw.of(WORDS))
        pieces.append(draw.of(SEPARATORS))
    return "".join(pieces)


def openai() -> SimpleTokenizer:
    """open_clip spells the start and the end `<start_of_text>` and `<end_of_text>`, OpenAI otherwise."""
    tokenizer = SimpleTokenizer()
    for token, spelled in ((49406, "<|startoftext|>"), (49407, "<|endoftext|>")):
        tokenizer.encoder[spelled] = token
    tokenizer.cache = {spelled: spelled for spelled in ("<|startoftext|>", "<|endoftext|>")}
    tokenizer.pat = regex.compile(
        r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""",
        regex.IGNORECASE)
    return tokenizer


def repaired(text: str) -> bool:
    return ftfy.fix_text(text) != ftfy.fix_text(text, fix_encoding=False, fix_c1_controls=False, remove_terminal_escapes=False)


def main() -> None:
    with open(Path(os.environ["PDN_DATA"]) / "train/flickr8k/captions.csv", encoding="utf-8") as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    tokenizer, hashes, skipped = openai(), [], []
    for block in range(BLOCKS):
        state = 0xCBF29CE484222325
        for number in range(block * BLOCK, (block + 1) * BLOCK):
            text = sentence(number, captions)
            if repaired(text):
                skipped.append(number)
                continue
            for token in [49406, *tokenizer.encode(text), 49407]:
                for byte in token.to_bytes(2, "little"):
                    state = ((state ^ byte) * 0x100000001B3) % 2**64
        hashes.append(f"{state:016x}")
    golden = LISTS | {"ranges": RANGES, "skipped": skipped, "hashes": hashes}
    (HERE / "clip/tokens.json").write_text(json.dumps(golden) + "\n")
    print(len(captions), "captions,", len(skipped), "sentences left out")


if __name__ == "__main__":
    main()
