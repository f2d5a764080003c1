// Reverse-mode differentiation: appends the backward steps of a forward program to it. Called by the model
// builder; ops contribute through Differentiator in their backward().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tape/op.h"
#include "core/tape/program.h"

namespace headlight {

/// The forward program with its backward phase: for every buffer X on a path from a parameter to `loss` a
/// buffer (or alias) X_grad. Where X feeds several steps, each contribution is X_grad@<consumer> and their
/// sum is X_grad.
[[nodiscard]] std::shared_ptr<const Program> differentiate(const Program& forward, BufferId loss);

/// What an op's backward() talks to.
class Differentiator {
 public:
  Differentiator(ProgramBuilder& builder, const Program& forward, BufferId loss);

  /// Gradient of a forward buffer, complete when its writer's backward() runs; no_buffer where the loss does
  /// not depend on it.
  [[nodiscard]] BufferId gradient(BufferId forward_buffer);
  /// True where a gradient of this input is needed (a parameter lies behind it).
  [[nodiscard]] bool wants(BufferId input) const;

  /// The gradient of `input` through `consumer` is the existing buffer `gradient` unchanged.
  void pass(BufferId input, BufferId gradient);
  /// Appends `op`; its output i contributes to the gradient of wrt[i] (no_buffer: that output is not wanted).
  void contribute(const Step& consumer, std::shared_ptr<const Op> op, std::vector<BufferId> inputs,
                  const std::vector<BufferId>& wrt);
  /// Takes over what other consumers contributed to `input` so far, for an op that adds onto it in one pass;
  /// no_buffer when there is nothing yet. The caller's contribution then stands for all of it.
  [[nodiscard]] BufferId take_partial(BufferId input);

  void run();

 private:
  struct Partials {
    int expected = 0;  ///< contributions still to come
    std::vector<BufferId> ready;
    BufferId total = no_buffer;
  };
  [[nodiscard]] std::string contribution_name(const Step& consumer, BufferId input);

  ProgramBuilder& builder_;
  const Program& forward_;
  BufferId loss_;
  std::vector<bool> reaches_loss_;  ///< by step
  std::vector<bool> needs_;         ///< by buffer
  std::vector<Partials> partials_;  ///< by buffer
};

}  // namespace headlight
