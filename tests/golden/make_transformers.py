"""Makes tests/golden/transformers for tests/core/transformers_test.cpp: models of Hugging Face's transformers
with random weights, in the layout that save_pretrained writes, and what they compute.

    pip install torch numpy safetensors transformers   # these files came from torch 2.15, transformers 5.23
    python tests/golden/make_transformers.py

Each <case>.safetensors holds the state dict under its own names and, under the prefix "golden/":
    tokens [B,T], logits [B,T,V], <hook name> under TransformerLens's names
    prompt [P], greedy [N]: the tokens that greedy generation appends to the prompt
The metadata holds the model's config.json as the key "config".
"""

import json
import pathlib

import numpy
import torch
from safetensors.numpy import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

HERE = pathlib.Path(__file__).resolve().parent / "transformers"
BATCH, CONTEXT, GREEDY = 2, 9, 10

GPT2 = dict(n_layer=2, n_head=2, n_embd=16, n_positions=24, vocab_size=29, bos_token_id=0, eos_token_id=0)
LLAMA = dict(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_size=16, intermediate_size=20,
             max_position_embeddings=24, vocab_size=29, rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=0)
LLAMA3_SCALING = dict(rope_type="llama3", rope_theta=50.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=2.0,
                      original_max_position_embeddings=12)

CASES = {
    "gpt2": (GPT2Config, GPT2),
    "gpt2_wide_mlp": (GPT2Config, GPT2 | dict(n_inner=24, activation_function="gelu", layer_norm_epsilon=1e-3)),
    "gpt2_one_head_untied": (GPT2Config, GPT2 | dict(n_head=1, tie_word_embeddings=False, n_layer=1)),
    "gpt2_unscaled_relu": (GPT2Config, GPT2 | dict(n_head=4, scale_attn_weights=False, activation_function="relu")),
    "llama": (LlamaConfig, LLAMA),
    "llama_all_heads_tied": (LlamaConfig, LLAMA | dict(num_key_value_heads=4, tie_word_embeddings=True)),
    "llama_one_key_head": (LlamaConfig, LLAMA | dict(num_key_value_heads=1, num_hidden_layers=1,
                                                     rope_parameters=dict(rope_type="default", rope_theta=500.0))),
    "llama_biases": (LlamaConfig, LLAMA | dict(attention_bias=True, mlp_bias=True, rms_norm_eps=1e-3)),
    "llama_scaled_rope": (LlamaConfig, LLAMA | dict(rope_parameters=LLAMA3_SCALING)),
}


def fp32(x):
    return numpy.ascontiguousarray(x.detach().numpy().astype(numpy.float32))


class Recorder:
    """Collects outputs and inputs of modules under hook names."""

    def __init__(self):
        self.values = {}

    def output(self, module, name, shape=lambda x: x):
        def keep(_module, _inputs, result):
            self.values[name] = shape(result[0] if isinstance(result, tuple) else result)
        module.register_forward_hook(keep)

    def input(self, module, name, shape=lambda x: x):
        module.register_forward_pre_hook(lambda _module, inputs: self.values.update({name: shape(inputs[0])}))


def watch_gpt2(model, record):
    c = model.config
    for i, block in enumerate(model.transformer.h):
        hook = f"blocks.{i}."
        record.input(block.ln_1, hook + "hook_resid_pre")
        record.output(block.ln_1, hook + "ln1.hook_out")
        record.input(block.ln_2, hook + "hook_resid_mid")
        record.output(block.attn, hook + "hook_attn_out")
        record.input(block.attn.c_proj, hook + "attn.hook_z", lambda x: x.reshape(*x.shape[:2], c.n_head, -1))
        record.output(block.mlp.c_fc, hook + "mlp.hook_pre")
        record.input(block.mlp.c_proj, hook + "mlp.hook_post")
        record.output(block.mlp, hook + "hook_mlp_out")
        record.output(block, hook + "hook_resid_post")
    record.output(model.transformer.ln_f, "ln_final.hook_out")


def watch_llama(model, record):
    D = model.config.hidden_size // model.config.num_attention_heads
    heads = lambda x: x.reshape(*x.shape[:2], -1, D)
    for i, block in enumerate(model.model.layers):
        hook = f"blocks.{i}."
        record.input(block.input_layernorm, hook + "hook_resid_pre")
        record.output(block.input_layernorm, hook + "ln1.hook_out")
        record.output(block.self_attn.q_proj, hook + "attn.hook_q", heads)
        record.output(block.self_attn.k_proj, hook + "attn.hook_k", heads)
        record.output(block.self_attn.v_proj, hook + "attn.hook_v", heads)
        record.input(block.self_attn.o_proj, hook + "attn.hook_z", heads)
        record.output(block.self_attn, hook + "hook_attn_out")
        record.input(block.post_attention_layernorm, hook + "hook_resid_mid")
        record.output(block.mlp.gate_proj, hook + "mlp.hook_pre")
        record.output(block.mlp.up_proj, hook + "mlp.hook_pre_linear")
        record.input(block.mlp.down_proj, hook + "mlp.hook_post")
        record.output(block.mlp, hook + "hook_mlp_out")
        record.output(block, hook + "hook_resid_post")
    record.output(model.model.norm, "ln_final.hook_out")


def watch_rotations(record):
    """Llama turns queries and keys in a function, which knows no layer: calls are counted."""
    plain, calls = modeling_llama.apply_rotary_pos_emb, iter(range(1000))

    def counted(q, k, *arguments, **options):
        q, k = plain(q, k, *arguments, **options)
        hook = f"blocks.{next(calls)}.attn."
        record.values[hook + "hook_rot_q"], record.values[hook + "hook_rot_k"] = q.transpose(1, 2), k.transpose(1, 2)
        return q, k

    modeling_llama.apply_rotary_pos_emb = counted
    return plain


def make_case(name, kind, sizes, seed):
    torch.manual_seed(seed)
    config = kind(**sizes, attn_implementation="eager")
    llama = kind is LlamaConfig
    model = (LlamaForCausalLM if llama else GPT2LMHeadModel)(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            gain = "norm" in key or ".ln_" in key
            p.copy_(0.3 * torch.randn(p.shape) + (1.0 if gain and key.endswith("weight") else 0.0))
    tokens = torch.randint(0, config.vocab_size, (BATCH, CONTEXT))
    prompt = torch.randint(0, config.vocab_size, (1, 4))
    with torch.no_grad():
        greedy = prompt
        for _ in range(GREEDY):
            greedy = torch.cat([greedy, model(greedy).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
        record = Recorder()
        (watch_llama if llama else watch_gpt2)(model, record)
        plain = watch_rotations(record) if llama else None
        result = model(tokens, output_attentions=True)
        if llama:
            modeling_llama.apply_rotary_pos_emb = plain
    for i, pattern in enumerate(result.attentions):
        record.values[f"blocks.{i}.attn.hook_pattern"] = pattern
    shared = config.tie_word_embeddings
    out = {key: fp32(value) for key, value in model.state_dict().items()
           if not (shared and key == "lm_head.weight")}
    out |= {"golden/" + key: fp32(value) for key, value in record.values.items()}
    out["golden/logits"] = fp32(result.logits)
    out["golden/tokens"] = tokens.int().numpy()
    out["golden/prompt"] = prompt[0].int().numpy()
    out["golden/greedy"] = greedy[0, prompt.shape[1]:].int().numpy()
    path = HERE / f"{name}.safetensors"
    save_file({key: out[key] for key in sorted(out)}, path, {"config": json.dumps(config.to_dict(), default=str)})
    path.chmod(0o644)
    return path.stat().st_size


def main():
    HERE.mkdir(exist_ok=True)
    total = sum(make_case(name, kind, sizes, seed) for seed, (name, (kind, sizes)) in enumerate(CASES.items(), 1))
    print(f"{len(CASES)} files, {total / 1e6:.2f} MB")
    assert total < 1e6, "the goldens are to stay under 1 MB"


if __name__ == "__main__":
    main()
