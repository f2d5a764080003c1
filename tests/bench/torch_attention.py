#!/usr/bin/env python3
"""Causal attention of PyTorch and of Headlight on the same machine, in one run.

    python3 tests/bench/torch_attention.py --headlight build/release/app/headlight [--device cpu|cuda] [--quick]
                                           [--compile]

Runs `headlight bench attention --json`, then measures each of its shapes with PyTorch: by hand (two products and
a softmax), with scaled_dot_product_attention, and with --compile also by hand compiled. Prints one JSON value:
seconds a call of all of them, and Headlight's fused attention as a multiple of PyTorch's. Needs torch.
"""
import argparse
import json
import math
import statistics
import subprocess
import time

import torch
from torch.nn import functional as F

TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def by_hand(q, k, v):
    T = q.shape[-2]
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ v


def library(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def seconds(attention, row, device, budget):
    """Median seconds of a call, behind three that warm up; None where the device has not enough memory."""
    B, T, H, D = (row[key] for key in "BTHD")
    # As Headlight keeps it: [B,T,3,H,D], so that both read rows the same distance apart.
    qkv = torch.randn(B, T, 3, H, D, device=device, dtype=TYPES[row["precision"]], requires_grad=row["backward"])
    dz = torch.randn(B, H, T, D, device=device, dtype=qkv.dtype)

    def call():
        start = time.perf_counter()
        z = attention(*qkv.permute(2, 0, 3, 1, 4))
        if row["backward"]:
            z.backward(dz)
            qkv.grad = None
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    try:
        for _ in range(3):
            call()
        times = []
        while len(times) < 3 or (sum(times) < budget and len(times) < 1000):
            times.append(call())
        return statistics.median(times)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headlight", required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="few shapes, few calls")
    parser.add_argument("--compile", action="store_true", help="also torch.compile what is done by hand")
    options = parser.parse_args()
    command = [options.headlight, "bench", "attention", "--device", options.device, "--json"]
    run = subprocess.run(command + (["--quick"] if options.quick else []), check=True, capture_output=True, text=True)
    ways = {"torch_by_hand": by_hand, "torch_library": library}
    if options.compile:
        ways["torch_compiled"] = torch.compile(by_hand)
    rows = []
    for row in json.loads(run.stdout)["attention"]:
        times = {name: seconds(way, row, options.device, 0.05 if options.quick else 0.5) for name, way in ways.items()}
        steps, fused = row["steps"].get("seconds"), row["fused"].get("seconds")
        best = min((t for t in times.values() if t), default=None)
        rows.append({key: row[key] for key in ("B", "T", "H", "D", "backward", "precision")} | {
            "headlight_steps": steps, "headlight_fused": fused, **times,
            "headlight_fused_over_best_torch": best / fused if best and fused else None,
        })
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(json.dumps({"device": name, "torch": torch.__version__, "attention": rows}, indent=2))


if __name__ == "__main__":
    main()
