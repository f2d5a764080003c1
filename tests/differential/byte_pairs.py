"""Holds Headlight's byte-level BPE against Hugging Face's `tokenizers` on random strings over all code points.

    pip install tokenizers
    python tests/differential/byte_pairs.py build/dev/app/headlight [--strings 1000000] [--gpt2 FOLDER]

Each string goes through both, with the two tokenizers of tests/golden/tokenizers (GPT-2's and GPT-4's pattern) and, with
--gpt2, through the vocabulary in FOLDER (encoder.json and vocab.bpe). Ids must be equal, and Headlight's decoding must
give the string back. The first difference is printed with everything that is needed to look at it; the exit status is 1.

Recorded: 21 November 2026, tokenizers 0.23.3, seed 1, with --gpt2: 1,000,000 strings through 3 tokenizers (every code point
stands in them, in four places each): all ids equal, all decoded back.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "tokenizers"
BATCH = 20000
POOLS = [
    "abcdefghijklmnopqrstuvwxyz", "The cat sat on the mat. ", " \t\r\n\x0b\x0c\x85\u00a0\u1680\u2003\u2028\u3000\u180e\u200b",
    "'sStTrReEvVmMlLdD\u017f\u212a\u2019", "0123456789\u0663\u0967\u00bd\u2167\u00b2", "\u0103\u00e2\u0111\u00ea\u00f4\u01a1\u01b0\u1ebf",
    ".,;:!?()[]{}<>|_-+*/\\\"#$%&@^`~", "\u6a5f\u68b0\ud55c\uad6d\u0e44\u0e17\u0e22\u05e9\u0644", "\U0001f642\U0001f44b\U0001f3fd\u200d\ufe0f\u0301\u0323",
]


def any_character(generator):
    point = generator.randrange(0x110000 - 0x800)
    return chr(point if point < 0xD800 else point + 0x800)


def strings(count, seed):
    """Every code point once between letters, digits and spaces; then mixtures of scripts and of any characters."""
    generator = random.Random(seed)
    made = 0
    points = [p for p in range(0x110000) if not 0xD800 <= p <= 0xDFFF]
    per_string = max(1, len(points) * 4 // max(count, 1))
    for start in range(0, len(points), per_string):
        if made == count:
            return
        yield "".join(f"a{chr(p)}b 1{chr(p)}2  {chr(p)} !{chr(p)}'" for p in points[start:start + per_string])
        made += 1
    while made < count:
        length = generator.randint(1, 40)
        kind = generator.random()
        if kind < 0.3:
            yield "".join(any_character(generator) for _ in range(length))
        elif kind < 0.4:
            yield "".join(any_character(generator) if generator.random() < 0.3 else generator.choice("a \n'1.") for _ in range(length))
        else:
            some = generator.sample(POOLS, generator.randint(1, 4))
            yield "".join(generator.choice(generator.choice(some)) for _ in range(length))
        made += 1


def converted(headlight, folder, lines, *options):
    result = subprocess.run([headlight, "tokenize", "--tokenizer", folder, "--lines", *options], input="\n".join(lines) + "\n",
                            capture_output=True, text=True, encoding="utf-8", check=True)
    return [json.loads(line) for line in result.stdout.rstrip("\n").split("\n")]


def gpt2(folder):
    made = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("headlight")
    parser.add_argument("--strings", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gpt2", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        subjects = []
        for name in ("gpt2", "gpt4"):
            folder = pathlib.Path(scratch) / name
            folder.mkdir()
            shutil.copy(GOLDEN / f"{name}.json", folder / "tokenizer.json")
            subjects.append((name, Tokenizer.from_file(str(folder / "tokenizer.json")), str(folder)))
        if options.gpt2:
            subjects.append(("GPT-2's own", gpt2(options.gpt2), str(options.gpt2)))
        batch, done = [], 0
        for text in [*strings(options.strings, options.seed), None]:
            if text is not None:
                batch.append(text)
            if not batch or (text is not None and len(batch) < BATCH):
                continue
            for name, reference, folder in subjects:
                wanted = [one.ids for one in reference.encode_batch(batch, add_special_tokens=False)]
                found = converted(options.headlight, folder, [json.dumps(one) for one in batch])
                back = converted(options.headlight, folder, [json.dumps(one) for one in found], "--decode")
                for one, ids, ours, again in zip(batch, wanted, found, back, strict=True):
                    if ids != ours or again != one:
                        print(f"{name}: {json.dumps(one)}\n reference {ids}\n headlight {ours}\n decoded {json.dumps(again)}")
                        return 1
            done += len(batch)
            batch = []
            print(f"\r{done} strings", end="", file=sys.stderr)
    print(f"\n{done} strings through {len(subjects)} tokenizers: all ids equal, all decoded back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
