// See rewrite_training.h.
#include "core/tape/rewrite_training.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "core/ops/training.h"
#include "core/tape/rewriter.h"

namespace headlight {

namespace {

/// Logits begin at whole multiples of so many elements.
constexpr int64_t kPitch = 64;

/// Steps that one op replaces.
struct Joint {
  std::vector<int> members;
  std::shared_ptr<const Op> op;
  std::vector<BufferId> inputs, outputs;
};

/// Finds what joins in a program and copies it with that.
class Joiner {
 public:
  explicit Joiner(const Program& from)
      : from_(from), readers_(from.buffers().size()), joined_(from.steps().size(), false) {
    for (int s = 0; s < steps(); ++s) {
      for (const BufferId id : from.step(s).inputs) {
        if (id != no_buffer) readers_[static_cast<size_t>(id)].push_back(s);
      }
    }
  }

  std::shared_ptr<const Program> build() {
    for (int s = 0; s < steps(); ++s) {
      join_loss(s);
      join_gelu(s);
      join_gelu_grad(s);
      join_norm(s);
      join_norm_grad(s);
    }
    join_casts();
    join_updates();
    Rewriter rewriter(from_);
    for (int s = 0; s < steps(); ++s) {
      if (const auto joint = joints_.find(s); joint != joints_.end()) {
        const Joint& j = joint->second;
        rewriter.join(j.members, j.op, j.inputs, j.outputs);
      } else if (!joined_[static_cast<size_t>(s)]) {
        rewriter.copy(s);
      }
    }
    return rewriter.finish();
  }

 private:
  [[nodiscard]] int steps() const { return static_cast<int>(from_.steps().size()); }
  [[nodiscard]] std::string_view kind(int s) const { return from_.step(s).op->kind(); }
  [[nodiscard]] const std::vector<int>& readers(BufferId id) const {
    return readers_[static_cast<size_t>(id)];
  }
  [[nodiscard]] int writer(BufferId id) const { return id == no_buffer ? -1 : from_.buffer(id).writer; }
  [[nodiscard]] bool is_free(int s) const { return s >= 0 && !joined_[static_cast<size_t>(s)]; }

  /// Puts `joint` in the place of step `at`, unless a step in front of that reads what would not be there
  /// yet.
  bool put(int at, Joint joint) {
    const auto is_member = [&](int s) {
      return std::find(joint.members.begin(), joint.members.end(), s) != joint.members.end();
    };
    for (const int member : joint.members) {
      for (const BufferId id : from_.step(member).outputs) {
        if (id == no_buffer) continue;
        for (const int reader : readers(id)) {
          if (reader < at && !is_member(reader)) return false;
        }
      }
    }
    for (const int member : joint.members) joined_[static_cast<size_t>(member)] = true;
    joints_.emplace(at, std::move(joint));
    return true;
  }

  /// The loss and, of the same logits, its gradient; then everything that touches the logits.
  void join_loss(int s) {
    if (kind(s) != "softmax_cross_entropy") return;
    const Step& loss = from_.step(s);
    const BufferId logits = loss.inputs[0], lse = loss.outputs[2];
    if (lse == no_buffer || readers(lse).size() != 1 || kind(readers(lse)[0]) != "softmax_cross_entropy_grad")
      return;
    const int g = readers(lse)[0], product = writer(logits);
    const Step& grad = from_.step(g);
    const BufferId dlogits = grad.outputs[0];
    if (grad.inputs[1] != logits || writer(grad.inputs[0]) >= s) return;
    const int64_t V = from_.buffer(logits).shape.last();
    const int64_t pitch = (V + kPitch - 1) / kPitch * kPitch;
    // Rows with a gap are for steps that know of it.
    bool knows =
        pitch != V && product >= 0 && kind(product) == "linear" && readers(logits) == std::vector{s, g};
    for (const int reader : readers(dlogits)) {
      knows = knows && kind(reader).starts_with("linear_grad_") && from_.step(reader).inputs[0] == dlogits &&
              std::count(from_.step(reader).inputs.begin(), from_.step(reader).inputs.end(), dlogits) == 1;
    }
    const bool joins = put(s, {{s, g},
                               ops::softmax_cross_entropy_both(knows ? pitch : 0),
                               {logits, loss.inputs[1], grad.inputs[0]},
                               {loss.outputs[0], loss.outputs[1], dlogits}});
    if (!joins || !knows) return;
    // A 16-bit copy of the weight [V,C] can be made with room for rows up to the pitch.
    const Step& unembed = from_.step(product);
    const BufferId weight = unembed.inputs[1];
    const bool by_row = *ops::linear_layout(*unembed.op) == kernels::WeightLayout::out_in;
    const bool has_room = by_row && unembed.inputs[2] == no_buffer && is_weight_cast(writer(weight));
    const int64_t spare = has_room ? (pitch - V) * from_.buffer(weight).shape.last() : 0;
    if (has_room) spares_[weight] = spare;
    for (const int touching : readers(dlogits)) repitch(touching, pitch, spare);
    repitch(product, pitch, spare);
  }

  void repitch(int s, int64_t pitch, int64_t spare) {
    const Step& step = from_.step(s);
    put(s, {{s}, ops::pitched_linear(step.op, pitch, spare), step.inputs, step.outputs});
  }

  /// A cast of a parameter to 16 bits.
  [[nodiscard]] bool is_weight_cast(int s) const {
    if (s < 0) return false;
    const auto to = ops::cast_target(*from_.step(s).op);
    return to && *to != ElementType::f32 && from_.buffer(from_.step(s).inputs[0]).role == Role::parameter;
  }

  /// GELU behind a product.
  void join_gelu(int s) {
    if (kind(s) != "gelu_tanh") return;
    const BufferId pre = from_.step(s).inputs[0];
    const int product = writer(pre);
    if (!is_free(product) || kind(product) != "linear") return;
    const Step& linear = from_.step(product);
    put(s, {{product, s}, ops::linear_gelu(linear.op), linear.inputs, {from_.step(s).outputs[0], pre}});
  }

  /// The slope of GELU behind the gradient of the product that read its value.
  void join_gelu_grad(int s) {
    if (kind(s) != "gelu_tanh_grad") return;
    const Step& slope = from_.step(s);
    const int product = writer(slope.inputs[0]);
    if (!is_free(product) || kind(product) != "linear_grad_input" || readers(slope.inputs[0]).size() != 1)
      return;
    const Step& grad = from_.step(product);
    put(s, {{product, s},
            ops::linear_gelu_grad(grad.op),
            {grad.inputs[0], grad.inputs[1], slope.inputs[1]},
            {slope.outputs[0]}});
  }

  /// A sum and the norm of it.
  void join_norm(int s) {
    const bool centred = kind(s) == "layernorm";
    if (!centred && kind(s) != "rmsnorm") return;
    const Step& norm = from_.step(s);
    const int sum = writer(norm.inputs[0]);
    if (!is_free(sum) || kind(sum) != "add" || from_.step(sum).element != norm.element) return;
    const BufferId normalized = norm.outputs.back();
    if (normalized != no_buffer && !readers(normalized).empty()) return;
    const Step& add = from_.step(sum);
    put(s, {{sum, s},
            ops::add_norm(norm.op),
            {add.inputs[0], add.inputs[1], norm.inputs[1], centred ? norm.inputs[2] : no_buffer},
            {add.outputs[0], norm.outputs[0], norm.outputs[centred ? 2 : 1],
             centred ? norm.outputs[1] : no_buffer}});
  }

  /// A norm's gradient, the sum that alone reads it, and the gradient of a bias by that sum.
  void join_norm_grad(int s) {
    const bool centred = kind(s) == "layernorm_grad";
    if (!centred && kind(s) != "rmsnorm_grad") return;
    const Step& grad = from_.step(s);
    BufferId dx = grad.outputs[0];
    if (dx == no_buffer || grad.outputs[1] == no_buffer) return;
    Joint joint;
    joint.members = {s};
    int at = s;
    BufferId base = no_buffer;
    if (readers(dx).size() == 1 && kind(readers(dx)[0]) == "add" && is_free(readers(dx)[0])) {
      at = readers(dx)[0];
      const Step& sum = from_.step(at);
      base = sum.inputs[sum.inputs[0] == dx ? 1 : 0];
      dx = sum.outputs[0];
      joint.members.push_back(at);
    }
    BufferId dbias = no_buffer;
    const BufferId gain = grad.inputs[centred ? 4 : 3];
    for (const int reader : readers(dx)) {
      if (kind(reader) != "linear_grad_bias" || !is_free(reader)) continue;
      const BufferId written = from_.step(reader).outputs[0];
      if (dbias != no_buffer || from_.buffer(written).shape != from_.buffer(gain).shape) continue;
      dbias = written;
      joint.members.push_back(reader);
    }
    if (joint.members.size() == 1) return;
    joint.op = ops::add_norm_grad(grad.op);
    joint.inputs = {grad.inputs[0],
                    grad.inputs[1],
                    grad.inputs[centred ? 3 : 2],
                    gain,
                    centred ? grad.inputs[2] : no_buffer,
                    base};
    joint.outputs = {dx, grad.outputs[1], centred ? grad.outputs[2] : no_buffer, dbias};
    put(at, std::move(joint));
  }

  /// The 16-bit copies of all weights; a program has them in one type.
  void join_casts() {
    Joint joint;
    std::vector<int64_t> spares;
    for (int s = 0; s < steps(); ++s) {
      if (!is_weight_cast(s)) continue;
      const Step& step = from_.step(s);
      const auto room = spares_.find(step.outputs[0]);
      joint.members.push_back(s);
      joint.inputs.push_back(step.inputs[0]);
      joint.outputs.push_back(step.outputs[0]);
      spares.push_back(room == spares_.end() ? 0 : room->second);
    }
    if (joint.members.empty()) return;
    joint.op = ops::cast_all(from_.step(joint.members[0]).op, std::move(spares));
    const int first = joint.members[0];
    put(first, std::move(joint));
  }

  /// The updates of all parameters.
  void join_updates() {
    Joint joint;
    std::vector<std::shared_ptr<const Op>> updates;
    std::vector<BufferId> shared;
    for (int s = 0; s < steps(); ++s) {
      const Step& step = from_.step(s);
      if (!ops::adamw_constants(*step.op)) continue;
      const auto own_end = step.inputs.end() - 2;
      const std::vector<BufferId> with(own_end, step.inputs.end());
      if (!shared.empty() && with != shared) return;  // parts of the model with a rate of their own
      shared = with;
      joint.members.push_back(s);
      updates.push_back(step.op);
      joint.inputs.insert(joint.inputs.end(), step.inputs.begin(), own_end);
      joint.outputs.insert(joint.outputs.end(), step.outputs.begin(), step.outputs.end());
    }
    if (joint.members.size() < 2) return;
    joint.inputs.insert(joint.inputs.end(), shared.begin(), shared.end());
    joint.op = ops::adamw_all(std::move(updates));
    const int last = joint.members.back();
    put(last, std::move(joint));
  }

  const Program& from_;
  std::vector<std::vector<int>> readers_;  ///< by buffer, in order
  std::vector<bool> joined_;               ///< by step: part of a joint
  std::map<int, Joint> joints_;            ///< by the step in whose place they stand
  std::map<BufferId, int64_t> spares_;     ///< what weights' copies are to have behind them
};

}  // namespace

std::shared_ptr<const Program> fuse_training(const Program& training) { return Joiner(training).build(); }

}  // namespace headlight
