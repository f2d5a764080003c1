#!/usr/bin/env python3
"""Trains two small tokenizers with Hugging Face's `tokenizers` and writes them with ids of many texts.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/golden/make_tokenizers.py

tests/golden/tokenizers/: gpt2.json and gpt4.json (tokenizer.json files with GPT-2's and GPT-4's pattern), and cases.json
with the training text, the texts and their ids.
"""
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXT = """The cat sat on the mat, and the dog didn't. The cat that sat there wasn't the cat that we'd seen at 10:45.
Trong lớp học, thầy nói: “Các em hãy nhìn vào mô hình.” Các em nhìn, và mô hình nhìn lại các em.
for (int i = 0; i < 1000; ++i) {
\tsum += values[i] * 2.5;  // the sum of the values
}
A token is a piece of text; the text is made of tokens, and the tokens are made of bytes. We'll see 12345 tokens, 12346
tokens, then 100000 tokens.   Three spaces here,   and there.\r\n\r\nНейронная сеть читает текст. Сеть пишет текст.
機械は文を読む。機械は文を書く。 🙂🙂 🙂 café naïve
"""


def tokenizer(pattern):
    made = Tokenizer(models.BPE())
    if pattern is None:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        made.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=500, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator([TEXT], trainer)
    made.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return made


def texts():
    yield from ["", " ", "  ", "\t", "\n", "\r\n\r\n x", "don't DON'T we'LL 'twas", "x'\u017f y", "a<|endoftext|> b", "<|endoftext|",
                "<|endoftext|><|endoftext|>", "\u00a0a\u2003b", "1234567 ١٢٣٤٥ Ⅷ½", "e\u0301 ế", "\u180ea", "...\n\n\nword", " \n \n  b",
                "👩‍👩‍👧‍👦 ok", "\x00\x7f", "a" * 200, "ab" * 60, " " * 77, "the cat " * 9]
    generator = random.Random(20261121)
    pools = ["abcdefghijklmnopqrstuvwxyz", "The cat sat on the mat ", " \t\r\n\u00a0\u2028\u3000", "'stmdrvel'STMDRVEL\u017f", "0123456789٣½Ⅷ",
             "ăâđêôơưếộữĂÂĐ", ".,;:!?()[]{}<>|_-+*/\\\"", "機械は文字を読む한국어ไทย", "🙂👋🏽\u200d\ufe0f\u0301"]
    for _ in range(220):
        length = generator.randint(1, 28)
        if generator.random() < 0.25:  # any code point that UTF-8 can write
            points = (generator.randrange(0x110000 - 0x800) for _ in range(length // 3 + 1))
            yield "".join(chr(p if p < 0xD800 else p + 0x800) for p in points)
        else:
            some = generator.sample(pools, 3)
            yield "".join(generator.choice(generator.choice(some)) for _ in range(length))


def main():
    folder = pathlib.Path(__file__).parent / "tokenizers"
    folder.mkdir(exist_ok=True)
    made = {"gpt2": tokenizer(None), "gpt4": tokenizer(GPT4)}
    for name, one in made.items():
        one.save(str(folder / f"{name}.json"), pretty=False)
    cases = [{"text": text, **{name: one.encode(text, add_special_tokens=False).ids for name, one in made.items()}}
             for text in texts()]
    with open(folder / "cases.json", "w", encoding="utf-8") as out:
        out.write('{"trained_on": ' + json.dumps(TEXT) + ',\n"cases": [\n')
        out.write(",\n".join(json.dumps(case) for case in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
