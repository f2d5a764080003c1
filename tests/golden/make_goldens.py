"""Makes the goldens of tests/core/model_golden_test.cpp: a plain PyTorch model for every case, in double.

Run from anywhere, with any recent versions (the files here came from torch 2.x, numpy 2.x):
    pip install torch numpy safetensors transformers
    python tests/golden/make_goldens.py            # all of them
    python tests/golden/make_goldens.py llama rope # these alone

Each <case>.safetensors holds, in fp32 (the arithmetic is fp64):
    <parameter>               initial weights, under Hugging Face's GPT-2 names, linear weights as [in, out]
    tokens, targets           [B,T]; target -1: not counted
    <hook name>               forward activations, under TransformerLens's names and Headlight's finer ones
    <hook name>_grad          gradients of some of them
    loss, <parameter>_grad    the loss and the gradient of every parameter
    steps/tokens, /targets    [10,B,T], the batches of ten training steps that start at the initial weights
    steps/loss, /grad_norm    [10], before each update; the norm before clipping
    after/<parameter>         the weights after the ten steps
The metadata holds the model's and the training's keys. huggingface.safetensors holds weights, tokens and
logits of transformers' own GPT2LMHeadModel.
"""

import math
import pathlib
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
BATCH, CONTEXT, STEPS = 2, 7, 10

DEFAULTS = dict(
    n_layer=1, n_head=2, n_kv_head=0, n_embd=12, n_positions=8, vocab_size=11, n_inner=20, activation_function="gelu_new",
    layer_norm_epsilon=1e-5, norm="layernorm", norm_position="pre", final_norm=True, mlp="plain",
    position="learned", rope_theta=10000.0, mask="causal", residual=True, scale_attn_weights=True, attention_temperature=1.0,
    tie_word_embeddings=True, bias=True)

# A large epsilon: the gradient of the keys' bias is 0 in exact arithmetic (a softmax does not see a shift), and
# with 1e-8 AdamW would make full steps of its rounding errors.
TRAINING = dict(
    steps=12, learning_rate=0.02, min_learning_rate=0.002, warmup_steps=3, schedule="cosine", weight_decay=0.1,
    beta1=0.9, beta2=0.95, epsilon=1e-5, grad_clip=0.5)

# What each case changes. Two blocks where depth matters, one where it does not (files stay small).
CASES = {
    "one_head": dict(n_head=1, norm_position="pre", mlp="none", bias=False, final_norm=False),
    "pre_ln": dict(n_layer=2, n_head=3),
    "post_ln": dict(n_layer=2, n_head=3, norm_position="post"),
    "no_norm": dict(n_layer=2, norm="none"),
    "no_mlp": dict(n_layer=2, mlp="none"),
    "no_bias": dict(bias=False),
    "untied": dict(tie_word_embeddings=False),
    "gelu_erf": dict(activation_function="gelu"),
    "relu": dict(activation_function="relu", n_head=4),
    "no_residual": dict(residual=False),
    "no_residual_post_ln": dict(residual=False, norm_position="post"),
    "no_scale": dict(scale_attn_weights=False),
    "no_position": dict(position="none"),
    "mask_none": dict(mask="none"),
    "mask_zero": dict(mask="zero"),
    "mask_finite": dict(mask="finite"),
    "temperature": dict(attention_temperature=0.4, n_head=6),
    "rmsnorm": dict(norm="rmsnorm"),
    "gated": dict(mlp="gated", n_inner=14),
    "silu": dict(activation_function="silu"),
    "rope": dict(position="rope", rope_theta=100.0),
    "grouped": dict(n_head=6, n_kv_head=2),
    "llama": dict(n_layer=2, n_head=6, n_kv_head=3, norm="rmsnorm", mlp="gated", n_inner=14, position="rope",
                  activation_function="silu", tie_word_embeddings=False, bias=False),
}


def key_width(c):
    """Elements of a token's keys: fewer where heads share them."""
    return c["n_embd"] // c["n_head"] * (c["n_kv_head"] or c["n_head"])


def parameter_shapes(c):
    """Names and shapes, in the order of the forward pass."""
    C, inner = c["n_embd"], c["n_inner"]
    shapes = {"wte.weight": (c["vocab_size"], C)}

    def norm(name):
        shapes[name + ".weight"] = (C,)
        if c["bias"] and c["norm"] == "layernorm":
            shapes[name + ".bias"] = (C,)

    def linear(name, n_in, n_out):
        shapes[name + ".weight"] = (n_in, n_out)
        if c["bias"]:
            shapes[name + ".bias"] = (n_out,)

    if c["position"] == "learned":
        shapes["wpe.weight"] = (c["n_positions"], C)
    for block in range(c["n_layer"]):
        h = f"h.{block}."
        if c["norm"] != "none":
            norm(h + "ln_1")
        linear(h + "attn.c_attn", C, C + 2 * key_width(c))
        linear(h + "attn.c_proj", C, C)
        if c["mlp"] != "none":
            if c["norm"] != "none":
                norm(h + "ln_2")
            if c["mlp"] == "gated":
                linear(h + "mlp.c_gate", C, inner)
            linear(h + "mlp.c_fc", C, inner)
            linear(h + "mlp.c_proj", inner, C)
    if c["norm"] != "none" and c["norm_position"] == "pre" and c["final_norm"]:
        norm("ln_f")
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], C)
    return shapes


def random_parameters(c, generator):
    """Weights that are far from their usual start, so that every term of every gradient matters."""
    parameters = {}
    for name, shape in parameter_shapes(c).items():
        value = 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
        if ".ln_" in name or name.startswith("ln_"):
            value = value + (1.0 if name.endswith("weight") else 0.0)
        # The start must be the same number in fp32 and fp64.
        parameters[name] = value.float().double().requires_grad_()
    return parameters


class Model:
    """One forward pass; `hooks` collects what happens under the hook names."""

    def __init__(self, c, parameters):
        self.c, self.p, self.hooks = c, parameters, {}

    def hook(self, name, x):
        self.hooks[name] = x
        if x.requires_grad:
            x.retain_grad()
        return x

    def linear(self, x, name):
        y = x @ self.p[name + ".weight"]
        return y + self.p[name + ".bias"] if self.c["bias"] else y

    def norm(self, x, hook, name):
        if self.c["norm"] == "rmsnorm":
            scale = torch.sqrt(x.square().mean(-1, keepdim=True) + self.c["layer_norm_epsilon"])
            self.hook(hook + ".hook_scale", scale)
            return self.hook(hook + ".hook_normalized", x / scale) * self.p[name + ".weight"]
        scale = torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + self.c["layer_norm_epsilon"])
        self.hook(hook + ".hook_scale", scale)
        self.hook(hook + ".hook_normalized", (x - x.mean(-1, keepdim=True)) / scale)
        bias = self.p[name + ".bias"] if self.c["bias"] else None
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], bias, self.c["layer_norm_epsilon"])

    def attention(self, x, block):
        hook, c = f"blocks.{block}.attn.", self.c
        B, T, C = x.shape
        D, K = C // c["n_head"], key_width(c)
        q, k, v = (part.reshape(B, T, -1, D)
                   for part in self.linear(x, f"h.{block}.attn.c_attn").split([C, K, K], dim=-1))
        q, k, v = self.hook(hook + "hook_q", q), self.hook(hook + "hook_k", k), self.hook(hook + "hook_v", v)
        if c["position"] == "rope":
            q, k = self.hook(hook + "hook_rot_q", self.rotate(q)), self.hook(hook + "hook_rot_k", self.rotate(k))
        k, v = (part.repeat_interleave(C // K, dim=2) for part in (k, v))
        scores = self.hook(hook + "hook_scores_raw", torch.einsum("bihd,bjhd->bhij", q, k))
        if c["scale_attn_weights"]:
            scores = self.hook(hook + "hook_scores_scaled", scores / math.sqrt(q.shape[-1]))
        future = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
        fill = {"none": None, "causal": -math.inf, "zero": 0.0, "finite": -1e9}[c["mask"]]
        if fill is not None:
            scores = scores.masked_fill(future, fill)
        scores = self.hook(hook + "hook_attn_scores", scores)
        pattern = self.hook(hook + "hook_pattern", torch.softmax(scores / c["attention_temperature"], dim=-1))
        z = self.hook(hook + "hook_z", torch.einsum("bhij,bjhd->bihd", pattern, v))
        out = self.linear(z.reshape(B, T, C), f"h.{block}.attn.c_proj")
        return self.hook(f"blocks.{block}.hook_attn_out", out)

    def rotate(self, x):
        """Each pair (x[d], x[d + D/2]) as a complex number, times e^(i t theta^(-2d/D))."""
        half = x.shape[-1] // 2
        frequency = self.c["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None, None] * frequency
        turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([turned.real, turned.imag], dim=-1)

    def mlp(self, x, block):
        hook, gated = f"blocks.{block}.", self.c["mlp"] == "gated"
        pre = self.hook(hook + "mlp.hook_pre", self.linear(x, f"h.{block}.mlp.{'c_gate' if gated else 'c_fc'}"))
        activation = {"gelu_new": lambda a: F.gelu(a, approximate="tanh"), "gelu": F.gelu, "relu": F.relu,
                      "silu": F.silu}
        post = activation[self.c["activation_function"]](pre)
        if gated:
            post = self.hook(hook + "mlp.hook_gate", post)
            post = post * self.hook(hook + "mlp.hook_pre_linear", self.linear(x, f"h.{block}.mlp.c_fc"))
        post = self.hook(hook + "mlp.hook_post", post)
        return self.hook(hook + "hook_mlp_out", self.linear(post, f"h.{block}.mlp.c_proj"))

    def sublayer(self, x, part, block, number, result):
        """Pre-LN: x + part(LN(x)); post-LN: LN(x + part(x)); no norm: x + part(x); the x is the residual."""
        normed = self.c["norm"] != "none"
        names = f"blocks.{block}.ln{number}", f"h.{block}.ln_{number}"
        if normed and self.c["norm_position"] == "post":
            written = part(x, block)
            x = self.norm(x + written if self.c["residual"] else written, *names)
        else:
            written = part(self.norm(x, *names) if normed else x, block)
            x = x + written if self.c["residual"] else written
        return self.hook(f"blocks.{block}.{result}", x)

    def forward(self, tokens, targets):
        c = self.c
        x = self.hook("hook_embed", self.p["wte.weight"][tokens])
        if c["position"] == "learned":
            x = x + self.hook("hook_pos_embed", self.p["wpe.weight"][: tokens.shape[1]].expand_as(x))
        x = self.hook("blocks.0.hook_resid_pre", x)
        for block in range(c["n_layer"]):
            x = self.sublayer(x, self.attention, block, 1, "hook_resid_mid")
            if c["mlp"] != "none":
                x = self.sublayer(x, self.mlp, block, 2, "hook_resid_post")
        if "ln_f.weight" in self.p:
            x = self.norm(x, "ln_final", "ln_f")
        head = self.p["wte.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
        logits = self.hook("unembed.hook_out", x @ head.T)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def learning_rate(step):
    t = TRAINING
    if step < t["warmup_steps"]:
        return t["learning_rate"] * (step + 1) / t["warmup_steps"]
    done = (step - t["warmup_steps"]) / (t["steps"] - t["warmup_steps"])
    low, high = t["min_learning_rate"], t["learning_rate"]
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * done))


def random_batch(c, generator):
    tokens = torch.randint(0, c["vocab_size"], (BATCH, CONTEXT), generator=generator)
    targets = torch.randint(0, c["vocab_size"], (BATCH, CONTEXT), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < 0.2] = -1
    return tokens, targets


def train(c, parameters, batches):
    """Ten AdamW steps; matrices decay, gains and biases do not."""
    t = TRAINING
    optimizer = torch.optim.AdamW(
        [dict(params=[p for p in parameters.values() if p.dim() == 2], weight_decay=t["weight_decay"]),
         dict(params=[p for p in parameters.values() if p.dim() == 1], weight_decay=0.0)],
        lr=1.0, betas=(t["beta1"], t["beta2"]), eps=t["epsilon"])
    losses, norms = [], []
    for step, (tokens, targets) in enumerate(batches):
        optimizer.zero_grad()
        loss = Model(c, parameters).forward(tokens, targets)
        loss.backward()
        norm = math.sqrt(sum(float((p.grad ** 2).sum()) for p in parameters.values()))
        for p in parameters.values():
            p.grad *= min(1.0, t["grad_clip"] / norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm)
    return losses, norms


def fp32(x):
    return numpy.ascontiguousarray(x.detach().numpy().astype(numpy.float32))


def save(tensors, path, metadata):
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)
    return path.stat().st_size


def make_case(name, changes, seed):
    c = {**DEFAULTS, **changes}
    generator = torch.Generator().manual_seed(seed)
    parameters = random_parameters(c, generator)
    tokens, targets = random_batch(c, generator)
    batches = [random_batch(c, generator) for _ in range(STEPS)]
    out = {key: fp32(value) for key, value in parameters.items()}
    out["tokens"], out["targets"] = tokens.int().numpy(), targets.int().numpy()

    model = Model(c, parameters)
    loss = model.forward(tokens, targets)
    loss.backward()
    out["loss"] = fp32(loss)
    for key, value in parameters.items():
        out[key + "_grad"] = fp32(value.grad)
    with_gradient = ("hook_resid_pre", "hook_resid_mid", "hook_q", "hook_k", "hook_v", "hook_pattern", "hook_pre",
                     "hook_rot_q", "hook_rot_k", "hook_pre_linear",
                     "hook_attn_out", "hook_out")
    for key, value in model.hooks.items():
        out[key] = fp32(value)
        if key.endswith(with_gradient):
            out[key + "_grad"] = fp32(value.grad)

    losses, norms = train(c, parameters, batches)
    out["steps/tokens"] = numpy.stack([b[0].int().numpy() for b in batches])
    out["steps/targets"] = numpy.stack([b[1].int().numpy() for b in batches])
    out["steps/loss"] = numpy.array(losses, dtype=numpy.float32)
    out["steps/grad_norm"] = numpy.array(norms, dtype=numpy.float32)
    for key, value in parameters.items():
        out["after/" + key] = fp32(value)

    def text(value):
        return str(value).lower() if isinstance(value, bool) else str(value)

    metadata = {"model/" + key: text(value) for key, value in c.items()}
    metadata |= {"train/" + key: text(value) for key, value in TRAINING.items()}
    path = HERE / f"{name}.safetensors"
    return save({key: out[key] for key in sorted(out)}, path, metadata)


def make_huggingface(seed):
    """GPT-2's own layout: weights and logits of transformers' model, dropout off."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    sizes = dict(n_layer=2, n_head=3, n_embd=12, n_positions=8, vocab_size=11)
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(0.3 * torch.randn(p.shape) + (1.0 if ".ln_" in name and name.endswith("weight") else 0.0))
    state = {name: value.clone() for name, value in model.named_parameters()}
    model = model.double()
    tokens = torch.randint(0, sizes["vocab_size"], (BATCH, CONTEXT))
    logits = model(tokens).logits
    out = {name.removeprefix("transformer."): fp32(value) for name, value in state.items()}
    out["tokens"], out["logits"] = tokens.int().numpy(), fp32(logits)
    path = HERE / "huggingface.safetensors"
    return save(out, path, {"model/" + key: str(value) for key, value in sizes.items()})


def main():
    wanted = set(sys.argv[1:]) or {*CASES, "huggingface"}
    for seed, (name, changes) in enumerate(CASES.items(), 1):
        if name in wanted:
            make_case(name, changes, seed)
    if "huggingface" in wanted:
        make_huggingface(99)
    total = sum(path.stat().st_size for path in HERE.glob("*.safetensors"))
    print(f"{len(wanted)} files made, {total / 1e6:.2f} MB in all")
    assert total < 1.5e6, "the goldens are to stay under 1.5 MB"


if __name__ == "__main__":
    main()
