#!/usr/bin/env python3
"""Training speed of PyTorch and of Headlight on the same machine, in turns, in one run.

    python3 tests/bench/torch_train.py --headlight build/release/app/headlight [--setting tiny|gpt2-124m]
                                       [--batch B] [--context T] [--device cpu|cuda] [--precision fp32|bf16]
                                       [--compile] [--rounds 3]

Prints one JSON value: tokens a second of both (median of the rounds) and their ratio. The model is GPT-2 as
Headlight's `bench train` builds it: pre-LN, learned positions, tied unembedding, tanh-GELU, no dropout; the step
is forward, cross-entropy, backward, the gradient's norm, and a fused AdamW. Needs torch.
"""
import argparse
import json
import math
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F

# blocks, heads, width, vocabulary, positions, batch, context: as in app/cli/bench_train.cpp
SETTINGS = {
    "tiny": (4, 8, 256, 65, 128, 32, 128),
    "gpt2-124m": (12, 12, 768, 50257, 1024, 4, 64),
}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.mlp_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(z.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self, blocks, heads, width, vocabulary, positions):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.ln_f = nn.LayerNorm(width)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def torch_steps(setting, B, T, device, precision, compiled):
    blocks, heads, width, vocabulary, positions, *_ = SETTINGS[setting]
    torch.manual_seed(1)
    model = Model(blocks, heads, width, vocabulary, positions).to(device)
    step_of = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, **({"fused": True} if device == "cuda" else {}))
    tokens = torch.randint(vocabulary, (B, T), device=device)

    def synchronize():
        if device == "cuda":
            torch.cuda.synchronize()

    def steps(count):
        synchronize()
        start = time.perf_counter()
        for _ in range(count):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                loss = step_of(tokens, tokens)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), math.inf)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        synchronize()
        return count * B * T / (time.perf_counter() - start)

    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headlight", required=True)
    parser.add_argument("--setting", choices=SETTINGS, default="tiny")
    parser.add_argument("--batch", type=int, help="in place of the setting's")
    parser.add_argument("--context", type=int, help="in place of the setting's")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of each round")
    options = parser.parse_args()
    B = options.batch or SETTINGS[options.setting][-2]
    T = options.context or SETTINGS[options.setting][-1]
    torch_run = torch_steps(options.setting, B, T, options.device, options.precision, options.compile)
    torch_run(2)  # compilation, first allocations
    torch_rates, headlight_rates = [], []
    for _ in range(options.rounds):
        torch_rates.append(torch_run(options.steps))
        command = [options.headlight, "bench", "train", "--setting", options.setting, "--batch", str(B),
                   "--context", str(T), "--device", options.device, "--precision", options.precision,
                   "--steps", str(options.steps), "--json"]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        headlight_rates.append(json.loads(result.stdout)["tokens_per_second"])
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(json.dumps({
        "setting": options.setting, "B": B, "T": T, "device": name, "precision": options.precision,
        "torch": torch.__version__, "compiled": options.compile,
        "torch_tokens_per_second": statistics.median(torch_rates),
        "headlight_tokens_per_second": statistics.median(headlight_rates),
        "headlight_over_torch": statistics.median(h / t for h, t in zip(headlight_rates, torch_rates)),
    }, indent=2))


if __name__ == "__main__":
    main()
