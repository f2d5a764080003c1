// See differentiate.h.
#include "core/tape/differentiate.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace headlight {

namespace {

/// "blocks.0.ln1.hook_out" → "ln1", "blocks.0.hook_resid_post" → "resid_post": who took part, in a gradient's
/// name.
std::string short_name(std::string_view name) {
  if (name.starts_with("blocks.")) {
    name.remove_prefix(7);
    name.remove_prefix(name.find('.') + 1);
  }
  name = name.substr(0, name.find('.'));
  if (name.starts_with("hook_")) name.remove_prefix(5);
  return std::string(name);
}

}  // namespace

Differentiator::Differentiator(ProgramBuilder& builder, const Program& forward, BufferId loss)
    : builder_(builder),
      forward_(forward),
      loss_(loss),
      reaches_loss_(forward.steps().size(), false),
      needs_(forward.buffers().size(), false),
      partials_(forward.buffers().size()) {
  // A buffer needs a gradient when a parameter lies behind it …
  for (size_t i = 0; i < forward.buffers().size(); ++i) {
    needs_[i] = forward.buffers()[i].role == Role::parameter;
  }
  for (const Step& step : forward.steps()) {
    bool any = false;
    for (const BufferId id : step.inputs) any = any || (id != no_buffer && needs_[static_cast<size_t>(id)]);
    for (const BufferId id : step.outputs) {
      if (id != no_buffer) needs_[static_cast<size_t>(id)] = any;
    }
  }
  // … and gets one contribution from each input slot of each step on a path to the loss.
  std::vector<bool> reached(forward.buffers().size(), false);
  reached[static_cast<size_t>(loss)] = true;
  for (size_t i = forward.steps().size(); i-- > 0;) {
    const Step& step = forward.steps()[i];
    for (const BufferId id : step.outputs) {
      if (id != no_buffer && reached[static_cast<size_t>(id)]) reaches_loss_[i] = true;
    }
    if (!reaches_loss_[i]) continue;
    for (const BufferId id : step.inputs) {
      if (id == no_buffer) continue;
      reached[static_cast<size_t>(id)] = true;
      if (wants(id)) partials_[static_cast<size_t>(id)].expected += 1;
    }
  }
}

bool Differentiator::wants(BufferId input) const {
  return input != no_buffer && needs_[static_cast<size_t>(input)];
}

std::string Differentiator::contribution_name(const Step& consumer, BufferId input) {
  const Partials& p = partials_[static_cast<size_t>(input)];
  const std::string base = forward_.buffer(input).name + "_grad";
  // The only one, or one that took all earlier ones over and is the last: it is the gradient itself.
  if (p.expected == 1 && p.ready.empty()) return base;
  std::string name = base + "@" + short_name(consumer.name);
  for (int n = 2; builder_.peek().find(name); ++n)
    name = fmt::format("{}@{}{}", base, short_name(consumer.name), n);
  return name;
}

BufferId Differentiator::gradient(BufferId forward_buffer) {
  Partials& p = partials_[static_cast<size_t>(forward_buffer)];
  if (p.total != no_buffer || p.ready.empty()) return p.total;
  if (p.expected != 0)
    fail("the gradient of \"{}\" was asked for too early", forward_.buffer(forward_buffer).name);
  const std::string name = forward_.buffer(forward_buffer).name + "_grad";
  BufferId sum = p.ready[0];
  for (size_t i = 1; i < p.ready.size(); ++i) {
    const bool last = i + 1 == p.ready.size();
    sum = builder_.apply(ops::add(), {sum, p.ready[i]}, last ? name : fmt::format("{}@sum{}", name, i));
  }
  if (!builder_.peek().find(name)) builder_.alias(name, sum);
  p.total = sum;
  return sum;
}

void Differentiator::pass(BufferId input, BufferId gradient) {
  if (!wants(input)) return;
  Partials& p = partials_[static_cast<size_t>(input)];
  p.ready.push_back(gradient);
  p.expected -= 1;
}

BufferId Differentiator::take_partial(BufferId input) {
  Partials& p = partials_[static_cast<size_t>(input)];
  if (p.ready.size() != 1) return no_buffer;
  const BufferId taken = p.ready[0];
  p.ready.clear();
  return taken;
}

void Differentiator::contribute(const Step& consumer, std::shared_ptr<const Op> op,
                                std::vector<BufferId> inputs, const std::vector<BufferId>& wrt) {
  std::vector<std::string> names;
  for (const BufferId id : wrt) names.push_back(wants(id) ? contribution_name(consumer, id) : "");
  const std::vector<BufferId> outputs = builder_.append(std::move(op), std::move(inputs), names);
  for (size_t i = 0; i < wrt.size(); ++i) {
    if (outputs[i] != no_buffer) pass(wrt[i], outputs[i]);
  }
}

void Differentiator::run() {
  const BufferId seed = builder_.declare(forward_.buffer(loss_).name + "_grad", Shape{}, Role::input);
  partials_[static_cast<size_t>(loss_)].total = seed;
  for (size_t i = forward_.steps().size(); i-- > 0;) {
    if (!reaches_loss_[i]) continue;
    const Step& step = forward_.steps()[i];
    bool wanted = false;
    for (const BufferId id : step.inputs) wanted = wanted || wants(id);
    if (!wanted) continue;
    builder_.enter(Phase::backward, step.block);
    step.op->backward(*this, step);
  }
  // Parameters have no writer at which their contributions would be summed.
  builder_.enter(Phase::backward, -1);
  for (size_t i = 0; i < forward_.buffers().size(); ++i) {
    if (forward_.buffers()[i].role == Role::parameter) (void)gradient(static_cast<BufferId>(i));
  }
  // What has two names has two names for its gradient.
  for (const auto& [name, id] : forward_.aliases()) {
    const BufferId total = partials_[static_cast<size_t>(id)].total;
    if (total != no_buffer) builder_.alias(name + "_grad", total);
  }
}

std::shared_ptr<const Program> differentiate(const Program& forward, BufferId loss) {
  ProgramBuilder builder(forward);
  Differentiator(builder, forward, loss).run();
  return builder.finish();
}

}  // namespace headlight
