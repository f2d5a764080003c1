"""Encoding speed of Headlight and of Hugging Face's `tokenizers`, one thread each, in turns on the same machine.

    pip install tokenizers
    python tests/bench/compare_tokenizers.py build/release/app/headlight --tokenizer FOLDER --text FILE

FOLDER holds a tokenizer.json. The reference is measured twice: the text in one call, and by paragraphs, which suits
its cache. Medians of the rounds, and the ratio to the faster of the two, are printed as JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, __version__  # noqa: E402  (the setting is read at import)


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("headlight")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    reference = Tokenizer.from_file(os.path.join(options.tokenizer, "tokenizer.json"))
    with open(options.text, encoding="utf-8", newline="") as file:
        text = file.read()
    size = len(text.encode())
    parts = text.split("\n\n")
    ours, whole, by_part = [], [], []
    for _ in range(options.rounds):
        result = subprocess.run([options.headlight, "bench", "tokenize", "--json", "--runs", "5", "--tokenizer", options.tokenizer,
                                 "--text", options.text], capture_output=True, text=True, check=True)
        ours.append(json.loads(result.stdout)["encode_bytes_per_second"])
        whole.append(size / seconds(lambda: reference.encode_batch_fast([text])))
        by_part.append(size / seconds(lambda: reference.encode_batch_fast(parts)))
    best = max(statistics.median(whole), statistics.median(by_part))
    print(json.dumps({"headlight_bytes_per_second": statistics.median(ours), "tokenizers_version": __version__,
                      "tokenizers_whole_bytes_per_second": statistics.median(whole),
                      "tokenizers_by_paragraph_bytes_per_second": statistics.median(by_part),
                      "ratio": statistics.median(ours) / best}, indent=2))


if __name__ == "__main__":
    main()
